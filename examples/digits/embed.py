#!/usr/bin/env python3
"""Make a C file of a text file: embed.py IN OUT NAME."""
import sys

source, target, name = sys.argv[1:]
with open(source) as text, open(target, "w") as out:
    out.write(f"extern const char {name}[];\nconst char {name}[] =\n")
    for line in text:
        line = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
        out.write(f'    "{line}\\n"\n')
    out.write("    ;\n")
