#!/usr/bin/env python3
"""Turn records.table into wire_records.h: opcodes, record layouts and one bounds check per record.

usage: records.py TABLE OUTPUT
"""
import sys

SIZES = {"u8": 1, "u32": 4, "i32": 4, "u64": 8, "f64": 8}
TYPES = {"u8": "uint8_t", "u32": "uint32_t", "i32": "int32_t", "u64": "uint64_t", "f64": "double"}


def parse(path):
    records = []
    with open(path, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            if words[0] == "record":
                records.append({"name": words[1], "waits": "waits" in words[2:], "fields": [], "tails": []})
            elif words[0] == "tail":
                records[-1]["tails"].append(tuple(words[1:4]))
            elif words[0] in SIZES and len(words) == 2:
                records[-1]["fields"].append((words[0], words[1]))
            else:
                sys.exit(f"{path}:{number}: not understood: {line.strip()}")
    return records


def emit_struct(out, record):
    low = record["name"].lower()
    out.append(f"struct wire_{low} {{")
    out.append("    struct wire_header header;")
    offset = 16
    pad = 0
    for kind, name in record["fields"]:
        gap = -offset % SIZES[kind]
        if gap:
            out.append(f"    uint8_t pad_{pad}[{gap}];")
            pad += 1
        offset += gap + SIZES[kind]
        out.append(f"    {TYPES[kind]} {name};")
    gap = -offset % 8
    if gap:
        out.append(f"    uint8_t pad_{pad}[{gap}];")
    out.append("};")
    out.append(f"_Static_assert(sizeof(struct wire_{low}) == {offset + gap}, \"layout of {low}\");")
    out.append("")


def emit_tails(out, record):
    low = record["name"].lower()
    for i, (kind, name, _count) in enumerate(record["tails"]):
        before = "".join(
            f" + wire_pad8((uint64_t)record->{c} * {SIZES[k]})" for k, _n, c in record["tails"][:i])
        out.append(f"static inline {TYPES[kind]} *wire_{low}_{name}(const struct wire_{low} *record)")
        out.append("{")
        out.append(f"    return ({TYPES[kind]} *)((uintptr_t)record + sizeof(*record){before});")
        out.append("}")
        out.append("")


def emit_check(out, records):
    out.append("/* 0 when the record's fixed part and tails lie inside its `length` bytes (a private copy), else -1. */")
    out.append("static inline int wire_record_check(const struct wire_header *header)")
    out.append("{")
    out.append("    uint64_t need;")
    out.append("    switch (header->opcode) {")
    for record in records:
        low = record["name"].lower()
        out.append(f"    case WIRE_{record['name']}: {{")
        out.append(f"        need = sizeof(struct wire_{low});")
        if record["tails"]:
            out.append("        if (header->length < need)")
            out.append("            return -1;")
            out.append(f"        const struct wire_{low} *record = (const void *)header;")
            for kind, _name, count in record["tails"]:
                out.append(f"        need += wire_pad8((uint64_t)record->{count} * {SIZES[kind]});")
        out.append("        break;")
        out.append("    }")
    out.append("    default:")
    out.append("        return -1;")
    out.append("    }")
    out.append("    return header->length >= need ? 0 : -1;")
    out.append("}")
    out.append("")


# Fields by which a record refers to something outside itself, and the member of struct wire_shape that says where they are.
SHAPE = {"queue_id": "queue", "event": "event", "slab_offset": "slab", "size_bytes": "slab_bytes", "length": "slab_bytes",
         "reply_offset": "reply", "reply_room": "reply_room"}


def emit_shapes(out, records):
    out += ["/* Where a record has the fields that lead out of it, as offsets in bytes; 0: it has none. A record whose part of",
            "   the slab has no field for its size (RECT_SLAB) has `slab` and no `slab_bytes`. */",
            "struct wire_shape {", "    uint16_t queue, event;      /* u32 */",
            "    uint16_t slab, slab_bytes;  /* u64 */", "    uint16_t reply, reply_room; /* u64 */", "};",
            "static inline const struct wire_shape *wire_record_shape(unsigned opcode)", "{",
            "    static const struct wire_shape shapes[WIRE_OPCODE_COUNT] = {"]
    for record in records:
        low = record["name"].lower()
        names = [name for _kind, name in record["fields"]]
        fields = [f".{SHAPE[n]} = (uint16_t)offsetof(struct wire_{low}, {n})" for n in names
                  if n in SHAPE and ("slab" not in SHAPE[n] or "slab_offset" in names)]
        if fields:
            out.append(f"        [WIRE_{record['name']}] = {{{', '.join(fields)}}},")
    out += ["    };", "    return &shapes[opcode < WIRE_OPCODE_COUNT ? opcode : WIRE_INVALID];", "}", ""]


def main():
    records = parse(sys.argv[1])
    out = ["/* Generated from records.table; do not edit. */", "#ifndef LEAT_WIRE_RECORDS_H",
           "#define LEAT_WIRE_RECORDS_H", "", "#include <stddef.h>", "#include <stdint.h>", "",
           "/* Every record starts with this header; `length` is the whole record, a multiple of 8. */",
           "struct wire_header {", "    uint32_t sequence; /* position in the session's total order */",
           "    uint16_t opcode;", "    uint16_t flags;", "    uint32_t length;", "    uint32_t reserved;", "};", "",
           "enum wire_opcode {", "    WIRE_INVALID,"]
    out += [f"    WIRE_{r['name']}," for r in records]
    out += ["    WIRE_OPCODE_COUNT", "};", "",
            "static inline uint64_t wire_pad8(uint64_t bytes)", "{", "    return (bytes + 7) & ~(uint64_t)7;", "}", ""]
    for record in records:
        emit_struct(out, record)
        emit_tails(out, record)
    emit_check(out, records)
    emit_shapes(out, records)
    out += ["static inline const char *wire_opcode_name(unsigned opcode)", "{",
            "    static const char *const names[] = {", "        \"INVALID\","]
    out += [f"        \"{r['name']}\"," for r in records]
    out += ["    };", "    return opcode < WIRE_OPCODE_COUNT ? names[opcode] : \"INVALID\";", "}", "",
            "/* 1 when the client waits for a reply to this operation. */",
            "static inline int wire_opcode_waits(unsigned opcode)", "{", "    switch (opcode) {"]
    out += [f"    case WIRE_{r['name']}:" for r in records if r["waits"]]
    out += ["        return 1;", "    default:", "        return 0;", "    }", "}", "", "#endif", ""]
    with open(sys.argv[2], "w", encoding="utf-8") as target:
        target.write("\n".join(out))


main()
