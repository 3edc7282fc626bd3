/* Traces of cards: the commands that ran between a start and a stop, in Chrome's trace format. */
#ifndef LEAT_CARDD_TRACING_H
#define LEAT_CARDD_TRACING_H

struct card;
struct error;
struct json_t;

/* From now on commands are noted; what was noted before is dropped. -EOPNOTSUPP "card-local". */
int tracing_start(struct card *card, struct error *err);
/* A new object {"traceEvents":[...],...}; NULL with err set: -EALREADY "not-tracing". */
struct json_t *tracing_stop(struct card *card, struct error *err);

#endif
