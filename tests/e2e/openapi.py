"""docs/openapi.yaml as a judge: does an answer look as the description says? Covers the part of JSON Schema that the
file uses. Objects without `additionalProperties` may not hold members that are not described either: a new member is to
be written down."""
import os
import re

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KINDS = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "null": lambda v: v is None,
}

with open(os.path.join(ROOT, "docs/openapi.yaml"), encoding="utf-8") as file:
    PAGE = yaml.safe_load(file)


def follow(value):
    while "$ref" in value:
        found = PAGE
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def operation(method, path):
    """The described operation behind a real path."""
    path = path.partition("?")[0]
    for pattern, methods in PAGE["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) and method.lower() in methods:
            return methods[method.lower()]
    raise AssertionError(f"{method} {path} is not described")


def faults(value, schema, where="$"):
    """What is wrong with `value`, as a list of sentences."""
    schema = follow(schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(KINDS[kind](value) for kind in kinds):
        return [f"{where} is {value!r}, not {'/'.join(kinds)}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where} is {value!r}, not one of {schema['enum']}"]
    if isinstance(value, list) and "items" in schema:
        return [fault for i, item in enumerate(value) for fault in faults(item, schema["items"], f"{where}[{i}]")]
    if isinstance(value, dict) and "properties" in schema:
        found = [f"{where} lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, member in value.items():
            if name in schema["properties"]:
                found += faults(member, schema["properties"][name], f"{where}.{name}")
            elif "additionalProperties" not in schema:
                found.append(f"{where}.{name} is not described")
        return found
    return []


def answer_faults(method, path, status, content_type, value):
    """What is wrong with an answer as a whole."""
    responses = operation(method, path)["responses"]
    described = follow(responses.get(str(status), responses["default"]))
    if str(status) not in responses and status < 400:
        return [f"{method} {path}: status {status} is not described"]
    content = described.get("content", {})
    kind = (content_type or "").partition(";")[0]
    if not content:
        return [] if value in ("", None) else [f"{method} {path}: {status} has a body"]
    if kind not in content:
        return [f"{method} {path}: content type {kind!r}, not {list(content)}"]
    return faults(value, content[kind]["schema"]) if "json" in kind else []
