# The two commands of a newcomer are `make demo` and `make check`; the rest is for people at work on Leat.
# Everything real happens in Meson (build), tools/ and tests/.

BUILD ?= build
PREFIX ?= /usr/local
export BUILD

.PHONY: all demo check conformance random-calls deps build install bench bench-card bench-cuda bench-daemon bench-estimate bench-sched fuzz format clean

all: build

demo: ; @tools/deps.sh build run && $(MAKE) --no-print-directory build && tools/demo.sh

check: deps
	@/usr/bin/python3 tools/check.py

# Programs of others, directly and on a card; one table. CONFORMANCE names some of them.
conformance: build
	@tools/deps.sh build run conformance
	@/usr/bin/python3 tests/conformance/run.py $(CONFORMANCE)

# Random sequences of right and wrong calls, directly and on a card; RANDOM_CALLS has options of the script.
random-calls: build
	@/usr/bin/python3 tests/e2e/random_calls.py $(RANDOM_CALLS)

deps:
	@tools/deps.sh build run test

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix $(PREFIX) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

install: build
	meson install -C $(BUILD) --no-rebuild

# One tab-separated line a figure: name, value, unit, target.
bench: build
	@/usr/bin/python3 tests/bench/run.py all
bench-card: build
	@/usr/bin/python3 tests/bench/run.py card
bench-cuda: build
	@/usr/bin/python3 tests/bench/run.py cuda
bench-daemon: build
	@/usr/bin/python3 tests/bench/run.py daemon
bench-sched: build
	@/usr/bin/python3 tests/bench/run.py sched
bench-estimate: build
	@/usr/bin/python3 tests/bench/bench_estimate.py
	@/usr/bin/python3 tests/bench/held_out.py
	@/usr/bin/python3 tests/bench/bench_predict.py

# The long form of what `make check` does briefly: every fuzz target for FUZZ_SECONDS, 200 kills, a million allocations, all shares.
fuzz: deps
	@/usr/bin/python3 tools/fuzz.py --seconds $${FUZZ_SECONDS:-300}
	@LEAT_LONG=1 /usr/bin/python3 -m pytest -q tests/e2e/test_kill.py tests/e2e/test_cuda.py

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-*
