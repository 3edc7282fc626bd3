#!/usr/bin/env python3
"""Give every room its own include folder holding links to just the rooms it may see.

usage: room-includes.py TABLE SOURCE_ROOT BUILD_ROOT

For a room r the folder BUILD_ROOT/rooms/r (slashes become dashes) gets one link per allowed room,
its own included, so `#include "base/error.h"` works where the table allows it and fails to compile
elsewhere. Prints one line per room for meson: NAME.
"""
import os
import sys


def read_table(path):
    rooms = {}
    with open(path, encoding="utf-8") as table:
        for line in table:
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            room, rest = line.split(":", 1)
            allowed = rest.split("|", 1)[0].split()
            rooms[room.strip()] = allowed
    return rooms


def link(target, name):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    if os.path.islink(name):
        if os.readlink(name) == target:
            return
        os.unlink(name)
    os.symlink(target, name)


def main():
    table, source, build = sys.argv[1:4]
    for room, allowed in read_table(table).items():
        folder = os.path.join(build, "rooms", room.replace("/", "-"))
        for seen in [room] + allowed:
            if seen == "leat":
                target = os.path.join(source, "include", "leat")
            else:
                target = os.path.join(source, "src", seen)
            link(target, os.path.join(folder, seen))
        print(room)


main()
