#!/usr/bin/env python3
"""Turn opencl.table into the OpenCL library's entry points.

usage: opencl.py api TABLE OUTPUT       prototypes of the functions that src/card/opencl implements
       opencl.py dispatch TABLE OUTPUT  the wrappers and the ICD dispatch table
       opencl.py coverage TABLE OUTPUT  docs/opencl-coverage.md
"""
import re
import sys

# Handle type: (kind of object, the code for anything else).
HANDLES = {
    "cl_platform_id": ("OBJECT_PLATFORM", "CL_INVALID_PLATFORM"),
    "cl_device_id": ("OBJECT_DEVICE", "CL_INVALID_DEVICE"),
    "cl_context": ("OBJECT_CONTEXT", "CL_INVALID_CONTEXT"),
    "cl_command_queue": ("OBJECT_QUEUE", "CL_INVALID_COMMAND_QUEUE"),
    "cl_mem": ("OBJECT_MEMORY", "CL_INVALID_MEM_OBJECT"),
    "cl_program": ("OBJECT_PROGRAM", "CL_INVALID_PROGRAM"),
    "cl_kernel": ("OBJECT_KERNEL", "CL_INVALID_KERNEL"),
    "cl_event": ("OBJECT_EVENT", "CL_INVALID_EVENT"),
    "cl_sampler": ("OBJECT_SAMPLER", "CL_INVALID_SAMPLER"),
    "cl_command_buffer_khr": ("OBJECT_COMMAND_BUFFER", "CL_INVALID_COMMAND_BUFFER_KHR"),
}
CLASSES = {"local": "CALL_LOCAL", "posted": "CALL_POSTED", "waited": "CALL_WAITED"}


class Parameter:
    """One C declarator: `text` as written in C, its `name`, and its handle type when it is checked."""

    def __init__(self, text):
        self.nullable = "?" in text
        self.text = text.replace("?", "").strip()
        pointer = re.search(r"\(CL_CALLBACK \*(\w+)\)", self.text)
        self.name = pointer.group(1) if pointer else re.search(r"(\w+)$", self.text).group(1)
        kind = self.text[: -len(self.name)].strip() if not pointer else ""
        self.handle = kind if kind in HANDLES else None


class Function:
    def __init__(self, row, lists, extension):
        match = re.match(r"(\S+) (.+?) ?(cl\w+)\((.*)\)$", row)
        if not match:
            sys.exit(f"opencl.table: not understood: {row}")
        self.call_class, self.result, self.name, text = match.groups()
        self.extension = extension  # or None: an entry of the dispatch table
        for name, value in lists.items():
            text = re.sub(re.escape(name) + r"\b", lambda _m, v=value: v, text)
        self.opaque = text == "opaque"
        pieces = [] if text in ("void", "opaque") else split_parameters(text)
        self.parameters = [Parameter(piece) for piece in pieces]
        kind, _, self.detail = self.call_class.partition(":")
        self.refused = kind == "refused"
        self.has_code = any(p.name == "errcode_ret" for p in self.parameters)

    def declaration(self, prefix, storage=""):
        inside = ", ".join(p.text for p in self.parameters) or "void"
        gap = "" if self.result.endswith("*") else " "
        return f"{storage}{self.result}{gap}{prefix}{self.name}({inside})"

    def class_text(self):
        if self.detail and not self.refused:
            return f"{self.detail} ? CALL_WAITED : CALL_POSTED"
        return CLASSES[self.call_class]


def split_parameters(text):
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(text + ","):
        if letter == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
        depth += (letter == "(") - (letter == ")")
    return parts


def parse(path):
    lists, rows, extension = {}, [], None
    with open(path, encoding="utf-8") as table:
        for line in table:
            line = line.split("#")[0].strip()
            if line.startswith("let "):
                name, value = line[4:].split("=", 1)
                lists[name.strip()] = value.strip()
            elif line.startswith("extension "):
                extension = line.split()[1]
            elif line:
                rows.append(Function(line, lists, extension))
    return rows


def refusals(function):
    """(condition, code) pairs that are looked at before the function runs, in order."""
    pairs = []
    for p in function.parameters:
        if p.handle:
            kind, code = HANDLES[p.handle]
            null = f"{p.name} && " if p.nullable else ""
            pairs.append((f"{null}!handle_is({p.name}, {kind})", code))
    if pairs and (function.call_class != "local" or function.has_code):
        pairs.append(("!process_alive()", "CL_DEVICE_NOT_AVAILABLE"))
    return pairs


def emit_call(out, function, target):
    names = ", ".join("&code" if p.name == "errcode_ret" else p.name for p in function.parameters)
    out.append("    int saved_errno = errno;")
    out.append(f"    process_count({function.class_text()});")
    out.append(f"    {target}api_{function.name}({names});")
    out.append("    errno = saved_errno;")


def emit_creator(out, function):
    """A function that gives an object or a pointer, and its code through errcode_ret."""
    gap = "" if function.result.endswith("*") else " "
    out.append(f"    {function.result}{gap}result = NULL;")
    out.append("    cl_int code = CL_SUCCESS;")
    for condition, code in refusals(function):
        out.append(f"    if (code == CL_SUCCESS && {condition})")
        out.append(f"        code = {code};")
    out.append("    if (code == CL_SUCCESS) {")
    body = []
    emit_call(body, function, "result = ")
    out += ["    " + line for line in body]
    out.append("    }")
    out.append("    if (errcode_ret)")
    out.append("        *errcode_ret = code;")
    out.append("    return result;")


def emit_entry(out, function):
    out.append(function.declaration("CL_API_CALL entry_", "static "))
    out.append("{")
    if function.has_code:
        emit_creator(out, function)
    else:
        failure = "NULL" if function.result.endswith("*") else None
        nothing = function.result == "void"
        for condition, code in refusals(function):
            out.append(f"    if ({condition})")
            out.append("        return;" if nothing else f"        return {failure or code};")
        target = "" if nothing else f"{function.result}{'' if failure else ' '}result = "
        emit_call(out, function, target)
        if not nothing:
            out.append("    return result;")
    out.append("}")
    out.append("")


def emit_stub(out, function):
    """A function that is not supported: wrong handles have their codes all the same."""
    out.append(function.declaration("CL_API_CALL entry_", "static "))
    out.append("{")
    creates = function.result in HANDLES or function.result.endswith("*")
    if function.result == "void" or (creates and not function.has_code):
        out += ["    return NULL;"] if creates else []
        out += ["}", ""]
        return
    out.append(f"    cl_int code = {function.detail};")
    for condition, code in reversed(refusals(function)):
        if code != "CL_DEVICE_NOT_AVAILABLE":
            out.append(f"    if ({condition})")
            out.append(f"        code = {code};")
    if function.has_code:
        out.append("    if (errcode_ret)")
        out.append("        *errcode_ret = code;")
    out.append("    return NULL;" if creates else "    return code;")
    out.append("}")
    out.append("")


def api(functions):
    out = ["/* Generated from opencl.table; do not edit. */", "#ifndef LEAT_OPENCL_API_H",
           "#define LEAT_OPENCL_API_H", "", "#include <CL/cl.h>", "#include <CL/cl_ext.h>", ""]
    out += [f.declaration("api_") + ";" for f in functions if not f.refused]
    out += ["", "/* Functions that are found by name alone; a row without a name is the last. */",
            "struct opencl_named {", "    const char *name, *extension;", "    void *function;", "};",
            "extern const struct opencl_named opencl_named[];"]
    return out + ["", "#endif"]


def dispatch(functions):
    out = ["/* Generated from opencl.table; do not edit. */", "#include \"card/opencl/process.h\"", "",
           "#include <errno.h>", "", "#include \"opencl_api.h\"", ""]
    for function in functions:
        if function.refused:
            emit_stub(out, function)
        else:
            emit_entry(out, function)
    out.append("const struct _cl_icd_dispatch opencl_dispatch = {")
    for function in functions:
        if function.extension:
            continue
        # The header types another system's entries as `void *`.
        cast = "(void *)" if function.opaque else ""
        out.append(f"    .{function.name} = {cast}entry_{function.name},")
    out += ["};", "", "const struct opencl_named opencl_named[] = {"]
    for function in functions:
        if function.extension:
            out.append(f'    {{"{function.name}", "{function.extension}", (void *)entry_{function.name}}},')
    return out + ["    {0, 0, 0},", "};"]


WHERE = {"local": "in the client", "posted": "posted, no wait", "waited": "waits for the device",
         "blocking": "waits when asked to block, else posted"}


def coverage(functions):
    entries = [f for f in functions if not f.extension]
    supported = sum(not f.refused for f in entries)
    out = ["# OpenCL functions on a card", "",
           f"Made from `src/card/gen/opencl.table` by `src/card/gen/opencl.py`. Of {len(entries)} entries of the dispatch",
           f"table {supported} work; each of the others returns its code and does nothing. No entry is null. The functions of an",
           "extension, which are no entries, are found by name where the device has it.", "",
           "| function | answered |", "| --- | --- |"]
    for function in functions:
        kind = function.call_class.split(":")[0]
        answer = f"not supported: `{function.detail}`" if function.refused else WHERE[kind]
        if function.extension:
            answer += f", with `{function.extension}`"
        out.append(f"| `{function.name}` | {answer} |")
    return out


def main():
    mode, table, output = sys.argv[1:4]
    lines = {"api": api, "dispatch": dispatch, "coverage": coverage}[mode](parse(table))
    with open(output, "w", encoding="utf-8") as target:
        target.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
