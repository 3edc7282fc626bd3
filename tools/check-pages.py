#!/usr/bin/env python3
"""The pages tell the truth where a program can see it: local links lead somewhere, every room of tools/rooms.txt is
described in docs/architecture.md, and every file under tools/ is named in docs/development.md."""
import os
import re
import subprocess
import sys

import rooms

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as page:
        return page.read()


def main():
    faults = []
    pages = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    for page in pages:
        for target in LINK.findall(text(page)):
            if not os.path.exists(os.path.join(ROOT, os.path.dirname(page), target)):
                faults.append(f"{page}: the link to {target} leads nowhere")
    architecture = text("docs/architecture.md")
    faults += [f"docs/architecture.md: room {room} is not described" for room in rooms.read()
               if f"`src/{room}`" not in architecture]
    development = text("docs/development.md")
    tools = subprocess.run(["git", "ls-files", "tools"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    faults += [f"docs/development.md: {tool} is not described" for tool in tools if f"`{tool}`" not in development]
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


main()
