#!/usr/bin/env python3
"""What the built libraries hold: the OpenCL library exports only what the API requires, libleat only names that start
with leat_, and no room keeps mutable globals (tools/mutable-globals.txt lists the few with a reason).

usage: check-symbols.py BUILD
"""
import glob
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ICD_EXPORTS = {"clGetExtensionFunctionAddress", "clIcdGetPlatformIDsKHR", "clGetPlatformInfo"}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def allowed_globals():
    with open(os.path.join(HERE, "mutable-globals.txt"), encoding="utf-8") as table:
        return {line.split()[0] for line in table if line.strip() and not line.startswith("#")}


def mutable(archive):
    """(object file, symbol) of every variable in writable data. const tables with addresses are in .data.rel.ro."""
    member = ""
    for line in run("objdump", "-t", archive).splitlines():
        if line.endswith("file format elf64-x86-64") or ": " in line and "file format" in line:
            member = line.split(":")[0]
        found = re.match(r"^\S+ .{7} (\.t?(?:data|bss)(?:\.(?!rel)\S*)?|\*COM\*)\s+(\S+)\s+(?:\.hidden )?(\S+)$", line)
        if found and found[1] != found[3] and int(found[2], 16) > 0:
            yield member, found[3].split(".")[0]


def exports(library):
    return {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()}


def main():
    build = sys.argv[1]
    bad = 0
    libleat = os.path.join(build, "src/client/libleat.so")
    for name in sorted(n for n in exports(libleat) if not n.startswith("leat_")):
        print(f"{libleat}: {name} is exported")
        bad += 1
    icd = os.path.join(build, "src/card/opencl/libleat-opencl.so")
    exported = exports(icd)
    for name in sorted(exported ^ ICD_EXPORTS):
        print(f"{icd}: {name} is {'exported but not required' if name in exported else 'not exported'}")
        bad += 1
    for library, names in (("libcuda.so.1", r"cu[A-Z]"), ("libnvidia-ml.so.1", r"nvml[A-Z]")):
        driver = os.path.join(build, "src/card/cuda", library)
        for name in sorted(n for n in exports(driver) if not re.match(names, n)):
            print(f"{driver}: {name} is exported")
            bad += 1
    allowed = allowed_globals()
    # The CUDA library is linked from its objects: hiding what comes out of archives must leave its names alone.
    archives = glob.glob(os.path.join(build, "src/**/lib*.a"), recursive=True)
    for archive in sorted(archives + glob.glob(os.path.join(build, "src/card/cuda/lib*.so.1.p/*.o"))):
        for member, name in mutable(archive):
            if name not in allowed:
                print(f"{os.path.relpath(archive, build)}({member}): mutable global {name}")
                bad += 1
    sys.exit(1 if bad else 0)


main()
