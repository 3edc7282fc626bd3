#!/bin/bash
# Leat's OpenCL cards on a real driver, NVIDIA's unless another is named: programs, calls, shares, quota, and a card that
# leaves its device and comes back. Prints a Markdown table for docs/measurements; exits with the number of promises that were
# not kept, or with 2 when there is no such driver. Needs a built tree and Python 3.
#
# usage: tests/gpu/opencl.sh [BUILD]
#   DRIVER      the driver's OpenCL library; without it NVIDIA's is looked for
#   LOADER      folder of libOpenCL.so.1, for a machine that has none
#   CARD_BYTES  size of the card that is filled and suspended (8 GiB)
#   LEAT_LONG   1: all limits and lengths of the share table
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 2
driver=${DRIVER:-$(ls /usr/lib/x86_64-linux-gnu/libnvidia-opencl.so.1 /usr/lib/aarch64-linux-gnu/libnvidia-opencl.so.1 \
    /usr/lib64/libnvidia-opencl.so.1 /usr/local/nvidia/lib64/libnvidia-opencl.so.1 2>/dev/null | head -1)}
[ -n "$driver" ] || { echo "no OpenCL library of NVIDIA's on this machine; DRIVER names another" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/vendors"
echo "$driver" >"$work/vendors/driver.icd"
export LEAT_RUN_DIR=$work/run OCL_ICD_VENDORS=$work/vendors LEAT_DEVICE_ICD_VENDORS=$work/vendors LEAT_CACHE_DIR=$work/cache BUILD=$build
export LD_LIBRARY_PATH=${LOADER:+$LOADER:}${LD_LIBRARY_PATH:-}
[ -n "$LD_LIBRARY_PATH" ] || unset LD_LIBRARY_PATH

"$build/src/cli/leat" version 2>/dev/null | head -1 # no daemon runs yet
nvidia-smi -L 2>/dev/null
python3 "$root/tests/gpu/opencl_table.py"
