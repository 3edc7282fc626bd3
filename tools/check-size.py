#!/usr/bin/env python3
"""Size limits of the house: function length and cyclomatic complexity (pmccabe), file length.
Exit status 1 and one line per offence; --top N prints the N most complex functions instead."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUNCTION_LINES, COMPLEXITY = 70, 15
FILE_LINES = {".c": 800, ".h": 250}


def tracked(*patterns):
    return subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout.split()


def functions(files):
    """(complexity, lines, file, line, name) of every function."""
    out = subprocess.run(["pmccabe", *files], cwd=ROOT, check=True, capture_output=True, text=True)
    for row in out.stdout.splitlines():
        # modified complexity (a switch counts once), traditional, statements, first line, lines, place
        cells = row.split("\t")
        place, name = cells[5].split(": ", 1)
        path, line = place.rsplit("(", 1)
        yield int(cells[0]), int(cells[4]), path, int(line.rstrip(")")), name


def main():
    sources = tracked("*.c")
    found = sorted(functions(sources), reverse=True)
    if sys.argv[1:2] == ["--top"]:
        for complexity, lines, path, line, name in found[:int(sys.argv[2])]:
            print(f"{complexity}\t{lines}\t{path}:{line}\t{name}")
        return
    bad = 0
    for complexity, lines, path, line, name in found:
        if lines > FUNCTION_LINES:
            print(f"{path}:{line}: {name} has {lines} lines; the limit is {FUNCTION_LINES}")
            bad += 1
        if complexity > COMPLEXITY:
            print(f"{path}:{line}: {name} has complexity {complexity}; the limit is {COMPLEXITY}")
            bad += 1
    for path in tracked("*.c", "*.h"):
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            lines = sum(1 for _ in source)
        limit = FILE_LINES[os.path.splitext(path)[1]]
        if lines > limit:
            print(f"{path}: {lines} lines; the limit is {limit}")
            bad += 1
    sys.exit(1 if bad else 0)


main()
