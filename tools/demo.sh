#!/usr/bin/env bash
# The demonstration behind `make demo`: train a network in a container on half a device, then say what happened.
# Builds nothing. Uses the centre of this machine, which it starts when none runs and leaves running.
# usage: demo.sh [STEPS]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-build}
[[ $build = /* ]] || build=$root/$build
steps=${1:-3000}
share=50%
leat=$build/src/cli/leat
digits=$build/examples/digits/digits

for program in "$leat" "$build/src/leatd/leatd" "$build/src/card/cardd/leat-cardd" "$digits"; do
    [ -x "$program" ] || { echo "demo: $program is missing; run 'make build' first" >&2; exit 1; }
done
if [ "$(id -u)" != 0 ] && [ -z "${XDG_RUNTIME_DIR:-}${LEAT_RUN_DIR:-}" ]; then
    echo "demo: no folder for sockets: log in through a session that sets XDG_RUNTIME_DIR, or set LEAT_RUN_DIR" >&2
    exit 1
fi

started=$(date +%s.%N)
echo "== A centre: the daemon that shares the devices of this machine"
"$leat" up

echo
echo "== A model: what its training needs, so that nobody has to say how much memory"
echo "leat model register digits examples/digits/model.yaml"
"$leat" model register digits "$root/examples/digits/model.yaml" >/dev/null

echo
echo "== A job: train it on $share of the device's compute, on a card of the memory it needs"
echo "leat run --library opencl-c --type training --share $share --model digits digits --steps $steps"
name=demo-$(date +%s)-$$
"$leat" run --name "$name" --library opencl-c --type training --share "$share" --model digits \
    "$digits" --steps "$steps" --report 250 --checkpoint /work/digits.ckpt

echo
/usr/bin/python3 "$root/tools/demo-summary.py" "$leat" "$name" "$started"
