#!/usr/bin/env python3
"""Turn cuda.table and nvml.table into the entry points of Leat's libcuda.so.1 and libnvidia-ml.so.1.

usage: cuda.py api TABLE OUTPUT       numbers of the names, calls into the driver, prototypes of Leat's own functions
       cuda.py entries TABLE OUTPUT   the exported symbols, in assembler
       cuda.py names TABLE OUTPUT     what the resolver knows, and the functions of classes gate, context and stream
       cuda.py remote TABLE OUTPUT    what stands in for the driver where an executor calls it
       cuda.py coverage TABLE OUTPUT  docs/cuda-coverage.md
       cuda.py check TABLE HEADER [STAMP]   names of a driver header (or of a list, one a line) that the table lacks: status 1;
                                      else STAMP is written
"""
import copy
import re
import sys

CLASSES = {
    "pass": "the driver's own function", "account": "counted in the card's ledger", "gate": "waits for share, is measured",
    "report": "tells of the card", "resolve": "hands out Leat's functions", "context": "ends measurements first",
    "stream": "ends the measurement that it is part of first",
    "refused": "not supported: `CUDA_ERROR_NOT_SUPPORTED`"}
TESTS = {  # in tests/e2e/test_cuda.py
    "pass": "test_exports_are_the_interface, test_same_answer_on_driver_and_card",
    "account": "test_quota_is_exact_over_many_processes_and_kills, test_a_failed_allocation_is_not_charged, test_graphs_that_allocate",
    "gate": "test_shares", "report": "test_return_codes_and_figures", "resolve": "test_resolver",
    "context": "test_same_answer_on_driver_and_card", "stream": "test_streams_come_and_go", "refused": "test_return_codes_and_figures"}
REMOTE_TEST = "test_same_answer_everywhere"  # in tests/e2e/test_cuda_remote.py
HOOKED = ("account", "gate", "report", "resolve", "context", "stream")
ROW = re.compile(r"(\w+) ((?:cu|nvml)[A-Z]\w+)(?: \+(ptsz|ptds))?(?: (\d+))?( remote)?(?: \((.*)\))?$")
RESULTS = {"CUDA": "CUresult", "NVML": "nvmlReturn_t"}  # what the functions of a table return
ALIAS = re.compile(r"alias (\w+) (\d+) (\w+)$")
FIRST_VERSION = 2000


class Entry:
    def __init__(self, kind, name, twin, version, remote, parameters):
        self.remote = bool(remote)
        self.kind, self.name, self.twin = kind, name, twin
        self.base = re.sub(r"_v\d+$", "", name)
        self.version = int(version) if version else FIRST_VERSION
        self.parameters = parameters
        self.symbol = f"{name}_{twin}" if twin else name
        self.hooked = kind in HOOKED
        self.number = self.symbol

    def alias(self, base, version):
        """The same function under another name; it is exported once."""
        other = copy.copy(self)
        other.kind, other.hooked, other.parameters = "alias", False, None
        other.base, other.version, other.number = base, int(version), f"{base}_{version}"
        return other

    def names(self):
        return "" if self.parameters == "void" else ", ".join(re.search(r"(\w+)$", p).group(1) for p in self.parameters.split(", "))


def fail(text):
    sys.exit(f"{sys.argv[2]}: {text}")


def parse(path):
    entries, aliases = [], []
    with open(path, encoding="utf-8") as table:
        for line in table:
            line = line.split("#")[0].strip()
            if not line:
                continue
            row = ALIAS.match(line)
            if row:
                aliases.append(row.groups())
                continue
            row = ROW.match(line)
            if not row or row[1] not in CLASSES:
                fail(f"not classified: {line}")
            kind, name, twin, version, remote, parameters = row.groups()
            if (kind in HOOKED or remote) and not parameters:
                fail(f"{name} is of class {kind}{remote or ''} and has no parameters")
            for suffix in ("", twin) if twin else ("",):
                entries.append(Entry(kind, name, suffix, version, remote, parameters))
    seen = [e.symbol for e in entries]
    for name in sorted({n for n in seen if seen.count(n) > 1}):
        fail(f"{name} comes twice")
    for base, version, other in aliases:
        entries += [e.alias(base, version) for e in entries if e.symbol == other and e.kind != "alias"]
    return sorted(entries, key=lambda e: (e.base, e.version, e.symbol))  # the resolver searches by base


def interface(entries):
    return "NVML" if entries[0].symbol.startswith("nvml") else "CUDA"


def api(entries):
    prefix = interface(entries)
    result, lower = RESULTS[prefix], prefix.lower()
    out = [f"/* Generated from {lower}.table; do not edit. */", f"#ifndef LEAT_{prefix}_API_H",
           f"#define LEAT_{prefix}_API_H", "", '#include "card/cuda/driver.h"', '#include "card/cuda/types.h"', "",
           f"enum {lower}_name {{"]
    out += [f"    {prefix}_{e.number}," for e in entries] + [f"    {prefix}_NAMES", "};", ""]
    for e in entries:
        if e.parameters:
            out += [f"static inline {result} driver_{e.symbol}({e.parameters})", "{",
                    f"    {result} (*call)({e.parameters});",
                    f"    *(void **)&call = driver_entry({prefix}_{e.symbol});",
                    f"    return call({e.names()});", "}"]
        if e.hooked:
            out.append(f"{result} api_{e.symbol}({e.parameters});")
        if e.remote and e.parameters and not e.twin:
            out.append(f"{result} remote_{e.name}({e.parameters});")
    return out + ["", "#endif"]


def entries_text(entries):
    out = ["/* Generated; do not edit. */", '#include "card/cuda/entry.h"', ""]
    for number, e in enumerate(entries):
        if e.kind == "alias":
            continue
        if e.hooked:
            out.append(f"OWN({e.symbol}, api_{e.symbol});")
        elif e.kind == "refused":
            out.append(f"OWN({e.symbol}, driver_refuses);")
        else:
            out.append(f"PASS({e.symbol}, {number});")
    return out


def gate(e):
    """A launch: let in, handed to the driver, measured."""
    parameters = e.names().split(", ")
    stream = "launch->stream" if "launch" in parameters else "stream" if "stream" in parameters else "NULL"
    subject = "graph" if "graph" in parameters else "function"
    size = {"grid_x": "(uint64_t)grid_x * grid_y * grid_z",
            "launch": "(uint64_t)launch->grid_x * launch->grid_y * launch->grid_z",
            "width": "(uint64_t)width * (uint64_t)height"}
    blocks = next((text for name, text in size.items() if name in parameters), "1")
    flavour = "STREAM_PER_THREAD" if e.twin else "STREAM_LEGACY"
    call = f"graph_run(driver_{e.symbol}, {e.names()}, {flavour})" if subject == "graph" else f"driver_{e.symbol}({e.names()})"
    return [f"CUresult api_{e.symbol}({e.parameters})", "{", "    struct launch_pass pass;",
            f"    CUresult result = launch_enter(&pass, {stream}, {flavour}, {subject}, {blocks});",
            "    if (result == CUDA_SUCCESS)",
            f"        result = launch_leave(&pass, {call});",
            "    return result;", "}", ""]


def context(e):
    """The end of a context, or of all of a device: what is measured in it ends first."""
    return [f"CUresult api_{e.symbol}({e.parameters})", "{", "    launch_drain();",
            f"    return driver_{e.symbol}({e.names()});", "}", ""]


def stream(e):
    """The end of a stream, which is in an open measurement perhaps."""
    return [f"CUresult api_{e.symbol}({e.parameters})", "{", "    launch_end_stream(stream);",
            f"    return driver_{e.symbol}({e.names()});", "}", ""]


def names(entries):
    prefix = interface(entries)
    out = ["/* Generated; do not edit. */", '#include "card/cuda/driver.h"', '#include "card/cuda/graph.h"',
           '#include "card/cuda/launch.h"', "",
           f'#include "{prefix.lower()}_api.h"', ""]
    for e in entries:
        out += {"gate": gate, "context": context, "stream": stream}.get(e.kind, lambda e: [])(e)
    own = [e for e in entries if e.hooked or e.kind == "refused"]
    out += [f"extern char entry_{e.symbol}[];" for e in own] + [""]
    out += [f"void *driver_table[{prefix}_NAMES];", f"const struct driver_name driver_names[{prefix}_NAMES] = {{"]
    for e in entries:
        address = f"entry_{e.symbol}" if any(e.symbol == o.symbol for o in own) else "0"
        out.append(f'    {{"{e.symbol}", "{e.base}", {address}, {e.version}, {1 if e.twin else 0}}},')
    return out + ["};"]


def remote(entries):
    out = ["/* Generated; do not edit. */", '#include "card/cuda/remote.h"', '#include "cuda_api.h"', "",
           "void *const remote_table[CUDA_NAMES] = {"]
    out += [f"    [CUDA_{e.number}] = (void *)remote_{e.name}," for e in entries if e.remote]
    return out + ["};"]


def coverage(entries):
    entries = [e for e in entries if e.kind != "alias"]
    count = {kind: sum(e.kind == kind for e in entries) for kind in CLASSES}
    summary = ", ".join(f"{count[kind]} {kind}" for kind in CLASSES)
    out = ["# CUDA driver functions on a card", "",
           f"Made from `src/card/gen/cuda.table` by `src/card/gen/cuda.py`: {len(entries)} names, {summary}.",
           "A name that is not listed is looked up in the driver and handed out untouched.", "",
           "On a remote card, where an executor calls the driver, those marked are served; the others return",
           f"`CUDA_ERROR_NOT_SUPPORTED`. Served: {sum(e.remote for e in entries)}.", "",
           "| function | class | what happens | remote | test |", "| --- | --- | --- | --- | --- |"]
    return out + [f"| `{e.symbol}` | {e.kind} | {CLASSES[e.kind]} | {'served' if e.remote else ''} | {TESTS[e.kind]}"
                  f"{', ' + REMOTE_TEST if e.remote else ''} |" for e in entries]


def check(entries, path):
    with open(path, encoding="utf-8") as header:
        text = header.read()
    declared = set(re.findall(r"CUDAAPI\s+(cu[A-Z]\w+)\s*\(", text)) or set(re.findall(r"^\s*(cu[A-Z]\w+)\s*$", text, re.M))
    known = {e.symbol for e in entries}
    missing = sorted(declared - known)
    for name in missing:
        print(f"{path}: {name} is not classified in cuda.table")
    return 1 if missing else 0


def main():
    mode, table, other = sys.argv[1:4]
    entries = parse(table)
    if mode == "check":
        if check(entries, other):
            sys.exit(1)
        for stamp in sys.argv[4:]:
            open(stamp, "w", encoding="utf-8").close()
        return
    lines = {"api": api, "entries": entries_text, "names": names, "remote": remote, "coverage": coverage}[mode](entries)
    with open(other, "w", encoding="utf-8") as target:
        target.write("\n".join(lines) + "\n")


main()
