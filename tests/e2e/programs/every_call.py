#!/usr/bin/env python3
"""Turn every_call.table into C: a function and a row for each case. The functions' parameters are those of opencl.table,
of whose core no function may be left out.

usage: every_call.py OPENCL_PY OPENCL_TABLE EVERY_CALL_TABLE OUTPUT
"""
import os
import re
import sys

ANOTHER_TYPE = {"cl_command_queue": "w.context"}  # a handle that is none of this type; others get the queue


def split(text, mark):
    """The parts of `text` between marks that stand outside all brackets and strings."""
    parts, depth, start, quoted = [], 0, 0, False
    for i, letter in enumerate(text + mark):
        if letter == '"':
            quoted = not quoted
        if letter == mark and depth == 0 and not quoted:
            parts.append(text[start:i].strip())
            start = i + 1
        depth += 0 if quoted else (letter in "([{") - (letter in ")]}")
    return [part for part in parts if part]


def read_code(text):
    """What stands before "=> CODE, NOTE", and the code; None: the driver is asked."""
    value, _, code = text.partition("=>")
    return value.strip(), code.split(",")[0].strip() or None


def read_change(text):
    """([parameter], [([value], code or None)]) of a line PARAMETERS: VALUES => CODE, NOTE; ..."""
    names, values = text.split(":", 1)
    cases = []
    for value in split(values, ";"):
        value, code = read_code(value)
        cases.append((split(value, ","), code))
    return split(names, ","), cases


def read_table(path):
    """Changes for all functions, and (name, arguments, code, changes) of each function."""
    lists, common, calls = {}, [], []
    with open(path, encoding="utf-8") as table:
        for line in table:
            text = line.strip()
            for name, value in lists.items():
                text = re.sub(re.escape(name) + r"\b", lambda _m, v=value: v, text)
            if not text or text.startswith("#"):
                continue
            if text.startswith("let "):
                name, value = text[4:].split("=", 1)
                lists[name.strip()] = value.strip()
            elif text.startswith("any "):
                common.append(read_change(text[4:]))
            elif line.startswith(" "):
                calls[-1][3].append(read_change(text))
            else:
                text, code = read_code(text)
                name, arguments = re.fullmatch(r"(\w+)\((.*)\)", text).groups()
                calls.append((name, split(arguments, ","), code, []))
    return common, calls


def core(path):
    """Names of the functions of the sections "OpenCL x.y"."""
    names, inside = set(), False
    with open(path, encoding="utf-8") as table:
        for line in table:
            if line.startswith("## "):
                inside = line.startswith("## OpenCL")
            match = re.search(r"(cl\w+)\(", line)
            if inside and match and not line.startswith(("#", "let")):
                names.add(match.group(1))
    return {name for name in names if not re.search(r"GL|EGL|D3D|DX9|KHR|EXT$", name)}


def handle_changes(function, handles):
    """Every handle once as NULL and once of another type."""
    for parameter in function.parameters:
        if parameter.handle:
            other = ANOTHER_TYPE.get(parameter.handle, "w.queue")
            yield [parameter.name], [(["NULL"], None)]
            code = handles[parameter.handle][1]
            if function.result.endswith("*") and not function.has_code:
                code = "NOTHING"
            elif function.result == "void":
                code = "CL_SUCCESS"
            yield [parameter.name], [([f"({parameter.handle}){other}"], code)]


def cases(function, arguments, code, changes):
    """(label, arguments, code that is not asked for or None) of each case."""
    names = [parameter.name for parameter in function.parameters]
    if len(names) != len(arguments):
        sys.exit(f"{function.name}: {len(arguments)} arguments for {names}")
    told = {""}
    yield "", arguments, code
    for which, values in changes:
        unknown = set(which) - set(names)
        if unknown:
            sys.exit(f"{function.name}: no parameter {unknown} in {names}")
        for given, code in values:
            if len(given) != len(which):
                sys.exit(f"{function.name}: {given} for {which}")
            new = dict(zip(which, given))
            label = ", ".join(f"{name}={value}" for name, value in new.items())
            if label not in told:  # the function's own come first
                told.add(label)
                yield label, [new.get(name, argument) for name, argument in zip(names, arguments)], code


def emit(function, number, arguments):
    """The C of one case."""
    call = f"{function.name}({', '.join(arguments)})"
    if function.has_code:
        body = f"    cl_int code = UNTOLD;\n    const void *made = {call};\n    return created(made, code);"
    elif function.result == "void":
        body = f"    {call};\n    return CL_SUCCESS;"
    elif function.result.endswith("*"):
        body = f"    return {call} ? CL_SUCCESS : NOTHING;"
    else:
        body = f"    return {call};"
    return f"static cl_int case_{number}(void)\n{{\n{body}\n}}\n"


def main():
    opencl_py, opencl_table, table, output = sys.argv[1:5]
    sys.path.insert(0, os.path.dirname(opencl_py))
    import opencl  # pylint: disable=import-outside-toplevel
    functions = {function.name: function for function in opencl.parse(opencl_table)}
    common, calls = read_table(table)
    left_out = core(opencl_table) - {call[0] for call in calls}
    if left_out:
        sys.exit(f"no case for {sorted(left_out)}")
    code, rows = [], []
    for name, arguments, base_code, changes in calls:
        function = functions[name]
        has = {parameter.name for parameter in function.parameters}
        changes = [*changes, *handle_changes(function, opencl.HANDLES), *(c for c in common if has.issuperset(c[0]))]
        for label, given, expected in cases(function, arguments, base_code, changes):
            code.append(emit(function, len(rows), given))
            text = f"{name}({label})".replace("\\", "\\\\").replace('"', '\\"')
            rows.append(f'    {{"{text}", case_{len(rows)}, {expected or "ASKED"}}},')
    with open(output, "w", encoding="utf-8") as target:
        target.write("/* Generated from every_call.table; do not edit. */\n" + "\n".join(code) +
                     "\nstatic const struct row rows[] = {\n" + "\n".join(rows) + "\n};\n")


main()
