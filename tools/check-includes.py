#!/usr/bin/env python3
"""Every include obeys tools/rooms.txt: the build already hides forbidden rooms; this also covers
third-party headers, and says what to do. Exit status 1 and one line per offence."""
import os
import re
import subprocess
import sys

import rooms

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
THIRD_PARTY = ("jansson.h", "yaml.h", "sqlite3.h", "uv.h", "curl/", "gnutls/", "microhttpd.h", "CL/", "cuda.h")


def room_of(path, table):
    matches = [r for r in table if path.startswith(f"src/{r}/")]
    return max(matches, key=len) if matches else None


def offence(room, quote, name, table):
    seen, headers = table[room]
    if name.endswith(".c"):
        return f"includes a source file {name}"
    if quote == "<":
        if name.startswith(THIRD_PARTY) and not name.startswith(tuple(headers) or ("\0",)):
            return f"room {room} may not use <{name}>"
        return None
    if "/" not in name:  # a generated header of src/card/gen
        return None if room.startswith("card/") else f"\"{name}\" must be written \"room/{name}\""
    target = room_of("src/" + name, table) or name.split("/", 1)[0]
    if target != room and target not in seen:
        return f"room {room} may not include \"{name}\" (tools/rooms.txt)"
    return None


def main():
    table = rooms.read()
    files = subprocess.run(["git", "ls-files", "src/*.c", "src/*.h"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    bad = 0
    for path in files:
        room = room_of(path, table)
        if room is None:
            print(f"{path}: no room of tools/rooms.txt holds this file")
            bad += 1
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            for number, line in enumerate(source, 1):
                match = INCLUDE.match(line)
                fault = match and offence(room, match[1], match[2], table)
                if fault:
                    print(f"{path}:{number}: {fault}")
                    bad += 1
    sys.exit(1 if bad else 0)


main()
