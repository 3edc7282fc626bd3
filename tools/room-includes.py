#!/usr/bin/env python3
"""Give every room its own include folder holding links to just the rooms it may see.

usage: room-includes.py SOURCE_ROOT BUILD_ROOT

For a room r the folder BUILD_ROOT/rooms/r (slashes become dashes) gets one link per allowed room,
its own included, so `#include "base/error.h"` works where tools/rooms.txt allows it and fails to
compile elsewhere. Prints the rooms' names, one a line, for the build file.
"""
import os
import sys

import rooms


def link(target, name):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    if os.path.islink(name):
        if os.readlink(name) == target:
            return
        os.unlink(name)
    os.symlink(target, name)


def main():
    source, build = sys.argv[1:3]
    for room, (seen, _headers) in rooms.read().items():
        folder = os.path.join(build, "rooms", room.replace("/", "-"))
        for name in [room] + seen:
            target = os.path.join(source, "include/leat" if name == "leat" else "src/" + name)
            link(target, os.path.join(folder, name))
        print(room)


main()
