#!/bin/bash
# Leat's CUDA cards on a real NVIDIA driver: what no fake can tell. Prints a Markdown table of measure, value, target and writes
# it to docs/measurements/cuda.md; exits with the number of promises that were not kept. Needs a built tree; with PyTorch it
# does more, and with transformers it estimates language models.
#
# usage: tests/gpu/run.sh [BUILD]        (PYTHON names the Python that has torch; SECONDS_EACH the length of a measurement, 20;
#                                         PAGE another file for the table)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 2
python=${PYTHON:-python3}
seconds=${SECONDS_EACH:-20}
leat=$build/src/cli/leat
probe=$build/tests/fake-cuda/cuda-probe
jobs="$python $root/tests/gpu/torch_jobs.py"
work=$(mktemp -d)
export LEAT_RUN_DIR=$work/run LEAT_STATE_DIR=$work/state
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
failed=0

card() { # SHARE MEMORY COMMAND...
    local share=$1 memory=$2
    shift 2
    "$leat" card exec --cuda --share "$share" --memory "$memory" -- "$@"
}

row() { echo "| $1 | $2 | $3 | $4 |"; }

value() { # NAME of the last line of standard input
    sed -n "\$s/.*\b$1=\([^ ]*\).*/\1/p"
}

expect() { # WHAT CONDITION VALUE TARGET: the condition is awk's
    local verdict=yes
    awk "BEGIN { exit !($2) }" || { verdict=NO; failed=$((failed + 1)); }
    row "$1" "$3" "$4" "$verdict"
}

driver=${LEAT_CUDA_DRIVER:-$(ls /usr/lib/x86_64-linux-gnu/libcuda.so.1 /usr/lib/aarch64-linux-gnu/libcuda.so.1 /usr/lib64/libcuda.so.1 \
    /usr/local/nvidia/lib64/libcuda.so.1 2>/dev/null | head -1)}
[ -n "$driver" ] || { echo "no CUDA driver on this machine" >&2; exit 2; }
export LEAT_CUDA_DRIVER=$driver
direct() { LD_PRELOAD=$driver "$@"; }

page=${PAGE:-$root/docs/measurements/cuda.md}
exec > >(tee "$page")
echo "# CUDA cards on a real driver"
echo
echo "One run of \`tests/gpu/run.sh\`, $(date -u +%Y-%m-%d), $("$leat" version 2>/dev/null | head -1), on"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "a driver that nvidia-smi does not tell of"
echo
row measure value target kept
row --- --- --- ---

# A program on the driver's interface, directly and on a card.
expect "driver-API program, same output" "\"$(direct "$probe" numbers)\" == \"$(card 100% 1GiB "$probe" numbers)\"" "" "equal"
whole=$(card 50% 1GiB "$probe" codes | value whole)
expect "memory that a program is told of" "${whole:-0} == 1073741824" "$whole" "1073741824"
expect "NVML tells of the card" "$(card 50% 1GiB "$probe" nvml | value total) + 0 == 1073741824" "" "1073741824"
expect "a program notices nothing" "\"$(card 50% 1GiB "$probe" manners)\" == \"changed=0\"" "" "changed=0"

if "$leat" card exec -h 2>&1 | grep -q -- --remote; then
    got=$("$leat" card exec --cuda --remote --share 100% --memory 1GiB -- "$probe" numbers)
    expect "the same program on a remote card" "\"$got\" == \"$(direct "$probe" numbers)\"" "$got" "equal"
fi

plain=$(direct "$probe" bench)
carded=$(card 100% 1GiB "$probe" bench)
for call in alloc_free launch; do
    over=$(awk "BEGIN { print $(value "${call}_mean_ns" <<<"$carded") - $(value "${call}_mean_ns" <<<"$plain") }")
    row "$call over direct, ns" "$over" "150 and 100 on the fake driver" "-"
done

# Two cards that both want everything: launches that each got, of kernels of 1 ms.
milliseconds=$((seconds * 1000))
card 30% 1GiB "$probe" spin $milliseconds 1000 plain >"$work/a" & first=$!
card 70% 1GiB "$probe" spin $milliseconds 1000 plain >"$work/b" & second=$!
wait $first $second
for name in a:30 b:70; do
    got=$(awk "BEGIN { print $(value launched <"$work/${name%:*}") * 100 / $milliseconds }")
    expect "share of ${name#*:} %, kernels of 1 ms" "($got - ${name#*:})^2 <= 25" "$got %" "+-5 points"
done

if ! $python -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    echo
    echo "no PyTorch with CUDA in $python: the rest was left out; $failed promises were not kept"
    exit $failed
fi

# Memory is refused at the quota, and PyTorch knows the error.
got=$(card 50% 4GiB $jobs quota)
expect "PyTorch catches its out-of-memory error" "$(value caught <<<"$got") == 1 && $(value works_again <<<"$got") == 1" "$got" "caught, works again"
expect "granted below a quota of 4 GiB" "$(value granted <<<"$got") <= 4294967296 && $(value granted <<<"$got") > 3.5 * 2^30" \
    "$(value granted <<<"$got")" "3.5 to 4 GiB"

# The whole device: what the library costs. Then 30 and 70 %, alone and together.
for kind in transformer cnn; do
    for way in "" compile graph; do
        alone=$($jobs $kind "$seconds" $way | value steps_per_s)
        whole=$(card 100% 40GiB $jobs $kind "$seconds" $way | value steps_per_s)
        expect "$kind $way: whole device, of direct" "${whole:-0} >= 0.99 * ${alone:-1}" "$whole of $alone steps/s" ">= 99 %"
        [ -n "$way" ] && continue
        direct_rate=$alone
    done
    card 30% 20GiB $jobs $kind "$seconds" >"$work/a" & first=$!
    card 70% 20GiB $jobs $kind "$seconds" >"$work/b" & second=$!
    wait $first $second
    for name in a:30 b:70; do
        got=$(awk "BEGIN { print $(value steps_per_s <"$work/${name%:*}") * 100 / $direct_rate }")
        expect "$kind on ${name#*:} % beside the other" "($got - ${name#*:})^2 <= 25" "$got % of direct" "+-5 points"
    done
done
for library in cudnn cublas; do
    got=$(card 100% 8GiB $jobs $library)
    expect "$library on a card, against the processor" "$(value error <<<"$got") + 0 < 0.01 && \"$got\" != \"\"" "$got" "error < 0.01"
done
expect "NCCL in a group of one" "\"$(card 100% 8GiB $jobs nccl)\" == \"sum=1048576\"" "" "sum=1048576"

# Estimates against fresh rows, of which no constant was fitted.
$jobs estimate "$leat" >"$work/rows"
rows=$(grep -c '^row' "$work/rows")
got=$(value mean_error_percent <"$work/rows")
expect "estimates of $rows fresh rows: mean error" "$rows >= 20 && ${got:-100} <= 10" "${got:-none} %" "20 rows, <= 10 %"
echo
echo "| row | measured, bytes | estimated, bytes | error, % |"
echo "| --- | ---: | ---: | ---: |"
sed -n 's/^row=\([^ ]*\) measured=\([^ ]*\) estimated=\([^ ]*\) error_percent=\(.*\)$/| \1 | \2 | \3 | \4 |/p' "$work/rows"
echo
echo "$failed promises were not kept"
exit $failed
