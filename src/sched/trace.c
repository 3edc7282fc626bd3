/* Traces as text: see trace.h. */
#include "sched/trace.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define TRACE_ROWS_MAX 10000000u
#define TASKS_PER_NODE 1001 /* the limit of the published experiment */
#define MIB 1048576.0

/* A column of interest: its names in the known forms, and where its number goes. */
enum column {
    COLUMN_CPUS,
    COLUMN_RAM,
    COLUMN_COUNT,
    COLUMN_SHARE,
    COLUMN_MODEL,
    COLUMN_MEMORY,
    COLUMN_ARRIVAL,
    COLUMN_DURATION,
    COLUMN_TENANT,
    COLUMN_KINDS
};

static const char *const column_names[COLUMN_KINDS][3] = {
    [COLUMN_CPUS] = {"cpu_milli", "cpus_milli", NULL},
    [COLUMN_RAM] = {"memory_mib", "ram_mib", NULL},
    [COLUMN_COUNT] = {"num_gpu", "cards", "gpu"},
    [COLUMN_SHARE] = {"gpu_milli", "share_permille", NULL},
    [COLUMN_MODEL] = {"gpu_spec", "models", "model"},
    [COLUMN_MEMORY] = {"card_memory_mib", NULL, NULL},
    [COLUMN_ARRIVAL] = {"arrival_s", NULL, NULL},
    [COLUMN_DURATION] = {"duration_s", NULL, NULL},
    [COLUMN_TENANT] = {"tenant", NULL, NULL},
};

struct span {
    const char *start;
    size_t length;
};

struct row {
    struct span fields[TRACE_LINE_FIELDS_MAX];
    size_t count;
    unsigned line;
};

struct table {
    const char *next;
    unsigned line;
    int places[COLUMN_KINDS]; /* field index of each column, -1 when absent */
};

static bool row_next(struct table *table, struct row *row)
{
    while (*table->next == '\n' || *table->next == '\r')
        table->next++;
    if (!*table->next)
        return false;
    row->count = 0;
    row->line = ++table->line;
    for (;;) {
        size_t length = strcspn(table->next, ",\r\n");
        if (row->count < TRACE_LINE_FIELDS_MAX)
            row->fields[row->count++] = (struct span){table->next, length};
        table->next += length;
        if (*table->next != ',')
            return true;
        table->next++;
    }
}

static bool span_is(struct span span, const char *text)
{
    return text && strlen(text) == span.length && memcmp(text, span.start, span.length) == 0;
}

static int table_open(struct table *table, const char *text, const enum column *needed,
                      size_t needed_count, struct error *err)
{
    struct row row;
    *table = (struct table){.next = text};
    if (!row_next(table, &row))
        return error_set(err, -EINVAL, "bad-trace",
                         "the list is empty; a line of column names was "
                         "expected");
    for (size_t kind = 0; kind < COLUMN_KINDS; kind++) {
        table->places[kind] = -1;
        for (size_t i = 0; i < row.count; i++) {
            for (size_t n = 0; n < 3; n++) {
                if (span_is(row.fields[i], column_names[kind][n]))
                    table->places[kind] = (int)i;
            }
        }
    }
    for (size_t i = 0; i < needed_count; i++) {
        if (table->places[needed[i]] < 0)
            return error_set(err, -EINVAL, "bad-trace", "there is no column '%s'",
                             column_names[needed[i]][0]);
    }
    return 0;
}

/* The number in a column, `absent` when the column or its text is not there. */
static int number_of(const struct table *table, const struct row *row, enum column kind,
                     double absent, double *ret_value, struct error *err)
{
    int place = table->places[kind];
    *ret_value = absent;
    if (place < 0 || (size_t)place >= row->count || row->fields[place].length == 0)
        return 0;
    char text[32], *end;
    struct span field = row->fields[place];
    if (field.length < sizeof(text)) {
        memcpy(text, field.start, field.length);
        text[field.length] = '\0';
        double value = strtod(text, &end);
        if (!*end && value >= 0 && value < 1e15) {
            *ret_value = value;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "bad-trace", "line %u: '%.*s' is not a number for '%s'",
                     row->line, (int)(field.length < 40 ? field.length : 40), field.start,
                     column_names[kind][0]);
}

/* The index of a name in a fixed table of names, added when new. */
static int name_index(char *names, size_t name_max, size_t *count, size_t count_max,
                      struct span name, const char *what, struct error *err)
{
    for (size_t i = 0; i < *count; i++) {
        if (span_is(name, names + i * name_max))
            return (int)i;
    }
    if (*count == count_max || name.length >= name_max)
        return error_set(err, -ENOSPC, "bad-trace", "more than %zu %s, or a name over %zu letters",
                         count_max, what, name_max - 1);
    memcpy(names + *count * name_max, name.start, name.length);
    names[*count * name_max + name.length] = '\0';
    return (int)(*count)++;
}

static int model_index(struct trace *trace, struct span name, struct error *err)
{
    return name_index(trace->models[0], TRACE_MODEL_NAME_MAX, &trace->model_count, FLEET_MODELS_MAX,
                      name, "device models", err);
}

static size_t count_lines(const char *text)
{
    size_t lines = 1;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

/* The numbers of a row, in the order of `kinds`. */
static int numbers_of(const struct table *table, const struct row *row, const enum column *kinds,
                      size_t count, double *values, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        int r = number_of(table, row, kinds[i], 0, &values[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int node_of(struct trace *trace, const struct table *table, const struct row *row,
                   struct fleet_node *node, struct error *err)
{
    static const enum column kinds[] = {COLUMN_CPUS, COLUMN_RAM, COLUMN_COUNT, COLUMN_MEMORY};
    double values[4];
    int r = numbers_of(table, row, kinds, 4, values, err);
    if (r < 0)
        return r;
    if (values[2] > FLEET_NODE_DEVICES_MAX)
        return error_set(err, -ERANGE, "bad-trace", "line %u: a node has at most %d devices",
                         row->line, FLEET_NODE_DEVICES_MAX);
    *node = (struct fleet_node){.tasks_max = TASKS_PER_NODE};
    node->cpus_milli = node->cpus_free_milli = (uint32_t)values[0];
    node->ram_bytes = node->ram_free_bytes =
        values[1] > 0 ? (uint64_t)(values[1] * MIB) : UINT64_MAX;
    node->device_count = (uint32_t)values[2];
    for (unsigned i = 0; i < node->device_count; i++) {
        node->share_free[i] = FLEET_WHOLE;
        node->memory_free[i] = values[3] > 0 ? (uint64_t)(values[3] * MIB) : UINT64_MAX;
    }
    int place = table->places[COLUMN_MODEL];
    if (place >= 0 && (size_t)place < row->count) {
        r = model_index(trace, row->fields[place], err);
        memset(node->models, r < 0 ? 0 : r, sizeof(node->models));
    }
    return r < 0 ? r : 0;
}

int trace_read_nodes(struct trace *trace, const char *text, struct error *err)
{
    static const enum column needed[] = {COLUMN_CPUS, COLUMN_COUNT};
    struct table table;
    struct row row;
    int r = table_open(&table, text, needed, 2, err);
    size_t room = count_lines(text);
    if (r < 0 || room > TRACE_ROWS_MAX)
        return r < 0 ? r
                     : error_set(err, -EFBIG, "bad-trace", "more than %u nodes", TRACE_ROWS_MAX);
    trace->nodes = calloc(room, sizeof(*trace->nodes));
    if (!trace->nodes)
        return error_set(err, -ENOMEM, "out-of-memory", "reading nodes");
    while (row_next(&table, &row)) {
        r = node_of(trace, &table, &row, &trace->nodes[trace->node_count], err);
        if (r < 0)
            return r;
        trace->node_count++;
    }
    return 0;
}

/* "A|B" into a bit per model. */
static int models_of(struct trace *trace, struct span names, uint64_t *ret_models,
                     struct error *err)
{
    *ret_models = 0;
    for (size_t at = 0; at < names.length;) {
        struct span name = {names.start + at, 0};
        while (at + name.length < names.length && name.start[name.length] != '|')
            name.length++;
        if (name.length) {
            int model = model_index(trace, name, err);
            if (model < 0)
                return model;
            *ret_models |= 1ull << model;
        }
        at += name.length + 1;
    }
    return 0;
}

static int task_of(struct trace *trace, const struct table *table, const struct row *row,
                   struct trace_task *task, struct error *err)
{
    static const enum column kinds[] = {COLUMN_CPUS,   COLUMN_RAM,     COLUMN_COUNT,   COLUMN_SHARE,
                                        COLUMN_MEMORY, COLUMN_ARRIVAL, COLUMN_DURATION};
    double values[7];
    int r = numbers_of(table, row, kinds, 7, values, err);
    if (r < 0)
        return r;
    if (values[3] > FLEET_WHOLE || values[2] > FLEET_NODE_DEVICES_MAX || values[0] > UINT32_MAX)
        return error_set(err, -ERANGE, "bad-trace",
                         "line %u: a task asks at most %d cards of at most %u thousandths",
                         row->line, FLEET_NODE_DEVICES_MAX, FLEET_WHOLE);
    *task = (struct trace_task){.arrival_s = values[5], .duration_s = values[6]};
    task->shape.cpus_milli = (uint32_t)values[0];
    task->shape.ram_bytes = (uint64_t)(values[1] * MIB);
    task->shape.count = (uint32_t)values[2];
    task->shape.share_permille = task->shape.count ? (uint32_t)values[3] : 0;
    task->shape.memory_bytes = (uint64_t)(values[4] * MIB);
    int place = table->places[COLUMN_MODEL];
    if (place >= 0 && (size_t)place < row->count)
        r = models_of(trace, row->fields[place], &task->shape.models, err);
    place = table->places[COLUMN_TENANT];
    if (r == 0 && place >= 0 && (size_t)place < row->count) {
        r = name_index(trace->tenants[0], TRACE_TENANT_NAME_MAX, &trace->tenant_count,
                       TRACE_TENANTS_MAX, row->fields[place], "tenants", err);
        task->tenant = r < 0 ? 0 : (uint32_t)r;
    }
    return r < 0 ? r : 0;
}

int trace_read_tasks(struct trace *trace, const char *text, struct error *err)
{
    static const enum column needed[] = {COLUMN_CPUS, COLUMN_COUNT, COLUMN_SHARE};
    struct table table;
    struct row row;
    int r = table_open(&table, text, needed, 3, err);
    size_t room = count_lines(text);
    if (r < 0 || room > TRACE_ROWS_MAX)
        return r < 0 ? r
                     : error_set(err, -EFBIG, "bad-trace", "more than %u tasks", TRACE_ROWS_MAX);
    trace->tasks = calloc(room, sizeof(*trace->tasks));
    if (!trace->tasks)
        return error_set(err, -ENOMEM, "out-of-memory", "reading tasks");
    while (row_next(&table, &row)) {
        r = task_of(trace, &table, &row, &trace->tasks[trace->task_count], err);
        if (r < 0)
            return r;
        trace->task_count++;
    }
    return 0;
}

/* One line of whole numbers below `limit`, after lines that start with '#'. */
static int numbers_line(const char **text, size_t limit, uint32_t *numbers, size_t room,
                        size_t *ret_count, struct error *err)
{
    const char *c = *text;
    while (*c == '#') {
        c += strcspn(c, "\n");
        c += *c == '\n';
    }
    size_t count = 0;
    for (;;) {
        c += strspn(c, " \t\r");
        if (!isdigit((unsigned char)*c))
            break;
        uint64_t value = 0;
        for (; isdigit((unsigned char)*c) && value <= limit; c++)
            value = value * 10 + (uint64_t)(*c - '0');
        if (value >= limit || count == room)
            return error_set(err, -ERANGE, "bad-trace",
                             "the sequence names row %llu, and there are %zu",
                             (unsigned long long)value, limit);
        numbers[count++] = (uint32_t)value;
    }
    if (*c && *c != '\n')
        return error_set(err, -EINVAL, "bad-trace",
                         "the sequence holds '%c' where a number was "
                         "expected",
                         *c);
    *text = c + (*c == '\n');
    *ret_count = count;
    return 0;
}

/* Put the nodes into the order of their ranks, which must be each number once. */
static int nodes_rank(struct trace *trace, const uint32_t *ranks, size_t count, struct error *err)
{
    if (count != trace->node_count)
        return error_set(err, -EINVAL, "bad-trace",
                         "the sequence ranks %zu nodes, and there are %zu", count,
                         trace->node_count);
    struct fleet_node *nodes = calloc(count + 1, sizeof(*nodes));
    bool *taken = calloc(count + 1, sizeof(*taken));
    int r = nodes && taken ? 0 : error_set(err, -ENOMEM, "out-of-memory", "ranking nodes");
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (taken[ranks[i]])
            r = error_set(err, -EINVAL, "bad-trace", "two nodes have the rank %u", ranks[i]);
        taken[ranks[i]] = true;
        nodes[ranks[i]] = trace->nodes[i];
    }
    free(taken);
    if (r < 0) {
        free(nodes);
        return r;
    }
    free(trace->nodes);
    trace->nodes = nodes;
    return 0;
}

int trace_read_sequence(struct trace *trace, const char *text, struct error *err)
{
    size_t room = strlen(text) / 2 + 1, ranked;
    uint32_t *order = calloc(room, sizeof(*order)), *ranks = calloc(room, sizeof(*ranks));
    int r = order && ranks ? 0 : error_set(err, -ENOMEM, "out-of-memory", "reading a sequence");
    if (r == 0)
        r = numbers_line(&text, trace->task_count, order, room, &trace->order_count, err);
    if (r == 0)
        r = numbers_line(&text, trace->node_count, ranks, room, &ranked, err);
    if (r == 0)
        r = nodes_rank(trace, ranks, ranked, err);
    free(ranks);
    if (r < 0) {
        free(order);
        return r;
    }
    trace->order = order;
    return 0;
}

struct arrival {
    double at_s;
    uint32_t task;
};

static int by_arrival(const void *a, const void *b)
{
    const struct arrival *left = a, *right = b;
    if (left->at_s != right->at_s)
        return left->at_s < right->at_s ? -1 : 1;
    return (left->task > right->task) - (left->task < right->task);
}

int trace_order_by_arrival(struct trace *trace, struct error *err)
{
    struct arrival *arrivals = calloc(trace->task_count + 1, sizeof(*arrivals));
    trace->order = calloc(trace->task_count + 1, sizeof(*trace->order));
    if (!arrivals || !trace->order) {
        free(arrivals);
        return error_set(err, -ENOMEM, "out-of-memory", "ordering tasks");
    }
    for (size_t i = 0; i < trace->task_count; i++)
        arrivals[i] = (struct arrival){trace->tasks[i].arrival_s, (uint32_t)i};
    qsort(arrivals, trace->task_count, sizeof(*arrivals), by_arrival);
    for (size_t i = 0; i < trace->task_count; i++)
        trace->order[i] = arrivals[i].task;
    trace->order_count = trace->task_count;
    free(arrivals);
    return 0;
}

void trace_finish(struct trace *trace)
{
    free(trace->nodes);
    free(trace->tasks);
    free(trace->order);
    *trace = (struct trace){0};
}
