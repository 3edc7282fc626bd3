/* A stack machine for the opcodes of pickle protocols 2 to 5 that PyTorch's archives use: see
 * pickle.h. Opcodes: Lib/pickletools.py of CPython. Values are small records; texts point into the
 * file, tuples into a pool. */
#include "estimate/pickle.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "estimate/reader.h"

#define VALUES_MAX (1u << 19) /* on the stack, in tuples, in the memo: each */
#define NAME_MAX_BYTES 256u
#define KEY_MAX_BYTES 128u

enum kind { OTHER, MARK, NUMBER, TEXT, TUPLE, GLOBAL, STORAGE, TENSOR, DICT };

struct value {
    enum kind kind;
    unsigned format;       /* of a storage or a tensor; of a global: which */
    uint32_t first, count; /* text: in the file; tuple: in the pool; storage, tensor: its key */
    uint64_t number;       /* also the elements of a storage, of a tensor */
    uint64_t offset;       /* of a tensor in its storage */
};

struct values {
    struct value *list;
    size_t count, room;
};

struct walker {
    const uint8_t *data;
    size_t length, at;
    struct values stack, pool, memo;
    struct map *seen; /* storages and offsets that were counted */
    struct tally *tally;
    bool done;
};

/* -- what may be called or named -- */

enum callable { CALL_TENSOR, CALL_PARAMETER, CALL_DICT, CALL_NOTHING, CALL_STORAGE };

static const struct global {
    const char *name; /* module and name */
    enum callable callable;
    const char *format; /* of a storage's elements */
    unsigned bytes;
} globals[] = {
    {"torch._utils _rebuild_tensor_v2", CALL_TENSOR, NULL, 0},
    {"torch._utils _rebuild_parameter", CALL_PARAMETER, NULL, 0},
    {"collections OrderedDict", CALL_DICT, NULL, 0},
    {"torch Size", CALL_NOTHING, NULL, 0},
    {"torch device", CALL_NOTHING, NULL, 0},
    {"torch FloatStorage", CALL_STORAGE, "fp32", 4},
    {"torch HalfStorage", CALL_STORAGE, "fp16", 2},
    {"torch BFloat16Storage", CALL_STORAGE, "bf16", 2},
    {"torch DoubleStorage", CALL_STORAGE, "fp64", 8},
    {"torch LongStorage", CALL_STORAGE, "int64", 8},
    {"torch IntStorage", CALL_STORAGE, "int32", 4},
    {"torch ShortStorage", CALL_STORAGE, "int16", 2},
    {"torch CharStorage", CALL_STORAGE, "int8", 1},
    {"torch ByteStorage", CALL_STORAGE, "uint8", 1},
    {"torch BoolStorage", CALL_STORAGE, "bool", 1},
};

/* States of optimizers, which a checkpoint may hold beside the model. */
static const char *const not_of_the_model[] = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq",
                                               "momentum_buffer", "step"};

/* -- the stack -- */

static int values_push(struct values *values, const struct value *value)
{
    if (values->count == values->room) {
        size_t room = values->room ? 2 * values->room : 64;
        struct value *list =
            room <= VALUES_MAX ? realloc(values->list, room * sizeof(*list)) : NULL;
        if (!list)
            return room <= VALUES_MAX ? -ENOMEM : -EINVAL;
        values->list = list;
        values->room = room;
    }
    values->list[values->count++] = *value;
    return 0;
}

static int push(struct walker *walker, struct value value)
{
    return values_push(&walker->stack, &value);
}

/* The one `depth` below the top; NULL: there is none. */
static struct value *top(const struct walker *walker, size_t depth)
{
    return depth < walker->stack.count ? &walker->stack.list[walker->stack.count - 1 - depth]
                                       : NULL;
}

static int pop(struct walker *walker, size_t count)
{
    if (count > walker->stack.count)
        return -EINVAL;
    walker->stack.count -= count;
    return 0;
}

/* How many values lie above the last mark; -EINVAL: there is none. */
static int64_t above_mark(const struct walker *walker)
{
    for (size_t i = walker->stack.count; i > 0; i--) {
        if (walker->stack.list[i - 1].kind == MARK)
            return (int64_t)(walker->stack.count - i);
    }
    return -EINVAL;
}

/* The upper `count` values become one tuple, in place of them and of `below` more. */
static int tuple_make(struct walker *walker, size_t count, size_t below)
{
    struct value tuple = {.kind = TUPLE, .first = (uint32_t)walker->pool.count};
    if (count + below > walker->stack.count)
        return -EINVAL;
    tuple.count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        int r = values_push(&walker->pool, top(walker, count - 1 - i));
        if (r < 0)
            return r;
    }
    walker->stack.count -= count + below;
    return push(walker, tuple);
}

static const struct value *member(const struct walker *walker, const struct value *tuple,
                                  uint32_t index)
{
    return tuple && tuple->kind == TUPLE && index < tuple->count
               ? &walker->pool.list[tuple->first + index]
               : NULL;
}

/* -- tensors -- */

static bool text_copy(const struct walker *walker, const struct value *value, char *text,
                      size_t room)
{
    if (value->count >= room)
        return false;
    memcpy(text, walker->data + value->first, value->count);
    text[value->count] = '\0';
    return true;
}

/* ('storage', a storage's type, key, where it was, elements) */
static int op_persistent(struct walker *walker, const struct value *operand)
{
    (void)operand;
    const struct value *id = top(walker, 0);
    const struct value *type = member(walker, id, 1), *key = member(walker, id, 2);
    const struct value *elements = member(walker, id, 4);
    if (!elements || elements->kind != NUMBER || key->kind != TEXT || type->kind != GLOBAL ||
        globals[type->format].callable != CALL_STORAGE)
        return -EINVAL;
    struct value storage = {.kind = STORAGE,
                            .format = type->format,
                            .first = key->first,
                            .count = key->count,
                            .number = elements->number};
    int r = pop(walker, 1);
    return r < 0 ? r : push(walker, storage);
}

/* (storage, offset, sides, strides, ...) */
static int tensor_make(const struct walker *walker, const struct value *arguments,
                       struct value *ret_tensor)
{
    const struct value *storage = member(walker, arguments, 0);
    const struct value *offset = member(walker, arguments, 1),
                       *sides = member(walker, arguments, 2);
    uint64_t elements = 1;
    if (!sides || sides->kind != TUPLE || storage->kind != STORAGE || offset->kind != NUMBER)
        return -EINVAL;
    for (uint32_t i = 0; i < sides->count; i++) {
        const struct value *side = member(walker, sides, i);
        if (side->kind != NUMBER || __builtin_mul_overflow(elements, side->number, &elements))
            return -EINVAL;
    }
    *ret_tensor = *storage;
    ret_tensor->kind = TENSOR;
    ret_tensor->number = elements;
    ret_tensor->offset = offset->number;
    return 0;
}

static int op_call(struct walker *walker, const struct value *operand)
{
    (void)operand;
    const struct value *arguments = top(walker, 0), *called = top(walker, 1);
    struct value result = {.kind = OTHER};
    int r = 0;
    if (!called || called->kind != GLOBAL)
        return -EINVAL;
    enum callable callable = globals[called->format].callable;
    if (callable == CALL_TENSOR)
        r = tensor_make(walker, arguments, &result);
    else if (callable == CALL_PARAMETER && member(walker, arguments, 0))
        result = *member(walker, arguments, 0);
    else if (callable == CALL_DICT)
        result.kind = DICT;
    if (r == 0)
        r = pop(walker, 2);
    return r < 0 ? r : push(walker, result);
}

static bool is_of_model(const char *name)
{
    for (size_t i = 0; i < sizeof(not_of_the_model) / sizeof(*not_of_the_model); i++) {
        if (strcmp(name, not_of_the_model[i]) == 0)
            return false;
    }
    return true;
}

/* A tensor under a name: counted, unless its storage was, as of tied weights. */
static int item_count(struct walker *walker, const struct value *key, const struct value *value)
{
    char name[NAME_MAX_BYTES], storage[KEY_MAX_BYTES], place[KEY_MAX_BYTES + 24];
    if (key->kind != TEXT || value->kind != TENSOR)
        return 0;
    if (!text_copy(walker, key, name, sizeof(name)) ||
        !text_copy(walker, value, storage, sizeof(storage)))
        return -EINVAL;
    (void)snprintf(place, sizeof(place), "%s %llu", storage, (unsigned long long)value->offset);
    if (!is_of_model(name) || map_get(walker->seen, place))
        return 0;
    int r = map_put(walker->seen, place, walker, NULL);
    const struct global *type = &globals[value->format];
    uint64_t bytes = 0;
    if (r == 0 && __builtin_mul_overflow(value->number, (uint64_t)type->bytes, &bytes))
        r = -EINVAL;
    return r < 0 ? r : tally_add(walker->tally, name, type->format, value->number, bytes);
}

/* -- opcodes -- */

static int op_nothing(struct walker *walker, const struct value *operand)
{
    (void)walker;
    (void)operand;
    return 0;
}

static int op_push(struct walker *walker, const struct value *operand)
{
    return push(walker, *operand);
}

static int op_other(struct walker *walker, const struct value *operand)
{
    (void)operand;
    return push(walker, (struct value){.kind = OTHER});
}

static int op_mark(struct walker *walker, const struct value *operand)
{
    (void)operand;
    return push(walker, (struct value){.kind = MARK});
}

static int op_dict(struct walker *walker, const struct value *operand)
{
    (void)operand;
    return push(walker, (struct value){.kind = DICT});
}

static int op_pop(struct walker *walker, const struct value *operand)
{
    (void)operand;
    return pop(walker, 1);
}

static int op_pop_mark(struct walker *walker, const struct value *operand)
{
    (void)operand;
    int64_t count = above_mark(walker);
    return count < 0 ? (int)count : pop(walker, (size_t)count + 1);
}

/* Tuples of a fixed length carry it as their operand's number. */
static int op_tuple(struct walker *walker, const struct value *operand)
{
    return tuple_make(walker, operand->number, 0);
}

static int op_tuple_marked(struct walker *walker, const struct value *operand)
{
    (void)operand;
    int64_t count = above_mark(walker);
    return count < 0 ? (int)count : tuple_make(walker, (size_t)count, 1);
}

static int op_setitem(struct walker *walker, const struct value *operand)
{
    (void)operand;
    if (walker->stack.count < 3)
        return -EINVAL;
    int r = item_count(walker, top(walker, 1), top(walker, 0));
    return r < 0 ? r : pop(walker, 2);
}

static int op_setitems(struct walker *walker, const struct value *operand)
{
    (void)operand;
    int64_t count = above_mark(walker);
    if (count < 0 || count % 2)
        return -EINVAL;
    for (size_t depth = (size_t)count; depth > 0; depth -= 2) {
        int r = item_count(walker, top(walker, depth - 1), top(walker, depth - 2));
        if (r < 0)
            return r;
    }
    return pop(walker, (size_t)count + 1);
}

static int memo_put(struct walker *walker, uint64_t index)
{
    const struct value *value = top(walker, 0);
    const struct value nothing = {.kind = OTHER};
    if (!value || index >= walker->at) /* picklers number what they keep from zero, in order */
        return -EINVAL;
    struct value kept = *value;
    while (walker->memo.count <= index) {
        int r = values_push(&walker->memo, &nothing);
        if (r < 0)
            return r;
    }
    walker->memo.list[index] = kept;
    return 0;
}

static int op_put(struct walker *walker, const struct value *operand)
{
    return memo_put(walker, operand->number);
}

static int op_memoize(struct walker *walker, const struct value *operand)
{
    (void)operand;
    return memo_put(walker, walker->memo.count);
}

static int op_get(struct walker *walker, const struct value *operand)
{
    return operand->number < walker->memo.count ? push(walker, walker->memo.list[operand->number])
                                                : -EINVAL;
}

static int global_push(struct walker *walker, const char *name)
{
    for (size_t i = 0; i < sizeof(globals) / sizeof(*globals); i++) {
        if (strcmp(globals[i].name, name) == 0)
            return push(walker, (struct value){.kind = GLOBAL, .format = (unsigned)i});
    }
    return -ENOTSUP;
}

/* The operand is both lines. */
static int op_global(struct walker *walker, const struct value *operand)
{
    char name[NAME_MAX_BYTES];
    if (!text_copy(walker, operand, name, sizeof(name)))
        return -ENOTSUP;
    char *line = strchr(name, '\n');
    if (line)
        *line = ' ';
    return global_push(walker, name);
}

static int op_stack_global(struct walker *walker, const struct value *operand)
{
    (void)operand;
    char module[NAME_MAX_BYTES / 2], name[NAME_MAX_BYTES / 2], both[NAME_MAX_BYTES];
    const struct value *below = top(walker, 1);
    if (!below || below->kind != TEXT || top(walker, 0)->kind != TEXT)
        return -EINVAL;
    if (!text_copy(walker, below, module, sizeof(module)) ||
        !text_copy(walker, top(walker, 0), name, sizeof(name)))
        return -ENOTSUP;
    (void)snprintf(both, sizeof(both), "%s %s", module, name);
    int r = pop(walker, 2);
    return r < 0 ? r : global_push(walker, both);
}

static int op_stop(struct walker *walker, const struct value *operand)
{
    (void)operand;
    walker->done = true;
    return walker->stack.count == 1 ? 0 : -EINVAL;
}

/* What follows an opcode in the file. */
enum operand {
    NONE,
    BYTES,      /* `size` of them: a number, low byte first */
    TEXT_AFTER, /* a text behind its length of `size` bytes */
    LONG_AFTER, /* a number behind its length of one byte */
    LINES,      /* `size` of them */
    FIXED,      /* nothing; `size` is the number itself */
};

static const struct opcode {
    uint8_t code;
    enum operand operand;
    uint8_t size;
    int (*run)(struct walker *walker, const struct value *operand);
} opcodes[] = {
    {0x80, BYTES, 1, op_nothing},     /* PROTO */
    {0x95, BYTES, 8, op_nothing},     /* FRAME */
    {'c', LINES, 2, op_global},       /* GLOBAL */
    {0x93, NONE, 0, op_stack_global}, /* STACK_GLOBAL */
    {'Q', NONE, 0, op_persistent},    /* BINPERSID */
    {'R', NONE, 0, op_call},          /* REDUCE */
    {0x81, NONE, 0, op_call},         /* NEWOBJ */
    {'b', NONE, 0, op_pop},           /* BUILD: the state is left out */
    {'q', BYTES, 1, op_put},          /* BINPUT */
    {'r', BYTES, 4, op_put},          /* LONG_BINPUT */
    {0x94, NONE, 0, op_memoize},      /* MEMOIZE */
    {'h', BYTES, 1, op_get},          /* BINGET */
    {'j', BYTES, 4, op_get},          /* LONG_BINGET */
    {'(', NONE, 0, op_mark},          /* MARK */
    {'0', NONE, 0, op_pop},           /* POP */
    {'1', NONE, 0, op_pop_mark},      /* POP_MARK */
    {')', FIXED, 0, op_tuple},        /* EMPTY_TUPLE */
    {0x85, FIXED, 1, op_tuple},       /* TUPLE1 */
    {0x86, FIXED, 2, op_tuple},       /* TUPLE2 */
    {0x87, FIXED, 3, op_tuple},       /* TUPLE3 */
    {'t', NONE, 0, op_tuple_marked},  /* TUPLE */
    {'}', NONE, 0, op_dict},          /* EMPTY_DICT */
    {']', NONE, 0, op_other},         /* EMPTY_LIST */
    {0x8f, NONE, 0, op_other},        /* EMPTY_SET */
    {'a', NONE, 0, op_pop},           /* APPEND */
    {'e', NONE, 0, op_pop_mark},      /* APPENDS */
    {0x90, NONE, 0, op_pop_mark},     /* ADDITEMS */
    {'s', NONE, 0, op_setitem},       /* SETITEM */
    {'u', NONE, 0, op_setitems},      /* SETITEMS */
    {'X', TEXT_AFTER, 4, op_push},    /* BINUNICODE */
    {0x8c, TEXT_AFTER, 1, op_push},   /* SHORT_BINUNICODE */
    {0x8d, TEXT_AFTER, 8, op_push},   /* BINUNICODE8 */
    {'C', TEXT_AFTER, 1, op_push},    /* SHORT_BINBYTES */
    {'B', TEXT_AFTER, 4, op_push},    /* BINBYTES */
    {'U', TEXT_AFTER, 1, op_push},    /* SHORT_BINSTRING */
    {'T', TEXT_AFTER, 4, op_push},    /* BINSTRING */
    {'K', BYTES, 1, op_push},         /* BININT1 */
    {'M', BYTES, 2, op_push},         /* BININT2 */
    {'J', BYTES, 4, op_push},         /* BININT */
    {0x8a, LONG_AFTER, 0, op_push},   /* LONG1 */
    {'G', BYTES, 8, op_other},        /* BINFLOAT */
    {'N', NONE, 0, op_other},         /* NONE */
    {0x88, NONE, 0, op_other},        /* NEWTRUE */
    {0x89, NONE, 0, op_other},        /* NEWFALSE */
    {'.', NONE, 0, op_stop},          /* STOP */
};

static int number_take(struct walker *walker, uint64_t size, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (size > 8 || size > walker->length - walker->at)
        return -EINVAL;
    for (uint64_t i = 0; i < size; i++)
        number |= (uint64_t)walker->data[walker->at + i] << 8 * i;
    walker->at += size;
    *ret_number = number;
    return 0;
}

static int text_take(struct walker *walker, uint64_t length, struct value *ret_text)
{
    if (length > walker->length - walker->at)
        return -EINVAL;
    *ret_text =
        (struct value){.kind = TEXT, .first = (uint32_t)walker->at, .count = (uint32_t)length};
    walker->at += length;
    return 0;
}

/* So many lines as one text, without the last end of line. */
static int lines_take(struct walker *walker, unsigned lines, struct value *ret_text)
{
    size_t begin = walker->at;
    for (; lines > 0; lines--) {
        const uint8_t *rest = walker->data + walker->at;
        const uint8_t *end = memchr(rest, '\n', walker->length - walker->at);
        if (!end)
            return -EINVAL;
        walker->at += (size_t)(end - rest) + 1;
    }
    *ret_text = (struct value){
        .kind = TEXT, .first = (uint32_t)begin, .count = (uint32_t)(walker->at - 1 - begin)};
    return 0;
}

static int operand_take(struct walker *walker, const struct opcode *opcode,
                        struct value *ret_operand)
{
    uint64_t size = opcode->size;
    int r = 0;
    *ret_operand = (struct value){.kind = NUMBER, .number = size};
    switch (opcode->operand) {
    case BYTES:
        return number_take(walker, size, &ret_operand->number);
    case LONG_AFTER:
        r = number_take(walker, 1, &size);
        return r < 0 ? r : number_take(walker, size, &ret_operand->number);
    case TEXT_AFTER:
        r = number_take(walker, size, &size);
        return r < 0 ? r : text_take(walker, size, ret_operand);
    case LINES:
        return lines_take(walker, (unsigned)size, ret_operand);
    case NONE:
    case FIXED:
        break;
    }
    return 0;
}

static const struct opcode *opcode_find(uint8_t code)
{
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(*opcodes); i++) {
        if (opcodes[i].code == code)
            return &opcodes[i];
    }
    return NULL;
}

int pickle_walk(const uint8_t *data, size_t length, struct tally *tally)
{
    struct walker walker = {.data = data, .length = length, .seen = map_create(), .tally = tally};
    int r = walker.seen && length <= PICKLE_LIMIT_BYTES ? 0 : -ENOMEM;
    while (r == 0 && !walker.done) {
        struct value operand;
        const struct opcode *opcode = walker.at < length ? opcode_find(data[walker.at++]) : NULL;
        if (!opcode)
            r = walker.at < length ? -ENOTSUP : -EINVAL;
        if (r == 0)
            r = operand_take(&walker, opcode, &operand);
        if (r == 0)
            r = opcode->run(&walker, &operand);
    }
    map_destroy(walker.seen);
    free(walker.stack.list);
    free(walker.pool.list);
    free(walker.memo.list);
    return r;
}
