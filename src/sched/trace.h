/* Traces of clusters as text, for the simulator: the fleet, the tasks and the order in which they
 * come.
 *
 * Two forms are read. The openb form (Alibaba GPU trace 2023): a node list, a task list and a
 * sequence file with the arrival order and the nodes' rank at ties. The plain form: one CSV of
 * tasks with arrival and duration
 * (name,arrival_s,duration_s,cpus_milli,ram_mib,cards,share_permille,card_memory_mib,models,tenant)
 * over a node list (name,cpus_milli,ram_mib,cards,model and, optionally, card_memory_mib). Columns
 * are found by their names; unknown ones are passed over. Pure; texts are borrowed for the call. */
#ifndef LEAT_SCHED_TRACE_H
#define LEAT_SCHED_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "sched/fleet.h"

struct error;

#define TRACE_MODEL_NAME_MAX 32
#define TRACE_TENANT_NAME_MAX 32
#define TRACE_TENANTS_MAX 256
#define TRACE_LINE_FIELDS_MAX 32

struct trace_task {
    struct fleet_shape shape;
    double arrival_s, duration_s; /* 0 and 0 in the openb form: in sequence, for ever */
    uint32_t tenant;
};

struct trace {
    struct fleet_node *nodes; /* in order of preference at ties */
    size_t node_count;
    struct trace_task *tasks;
    size_t task_count;
    uint32_t *order; /* indexes of tasks as they arrive; a task may come more than once */
    size_t order_count;
    char models[FLEET_MODELS_MAX][TRACE_MODEL_NAME_MAX];
    size_t model_count;
    char tenants[TRACE_TENANTS_MAX][TRACE_TENANT_NAME_MAX];
    size_t tenant_count;
};

/* Each reads one text into the trace, in this order: nodes, tasks, then (openb) the sequence or,
 * without one, trace_order_by_arrival. Refusals name the line and what was expected. */
int trace_read_nodes(struct trace *trace, const char *text, struct error *err);
int trace_read_tasks(struct trace *trace, const char *text, struct error *err);
int trace_read_sequence(struct trace *trace, const char *text, struct error *err);
int trace_order_by_arrival(struct trace *trace, struct error *err);
void trace_finish(struct trace *trace);

#endif
