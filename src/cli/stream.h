/* The event stream of leatd (server-sent events), kept up over lost connections. */
#ifndef LEAT_CLI_STREAM_H
#define LEAT_CLI_STREAM_H

#include <stdint.h>

#include "base/json.h"

struct cli;
struct error;

/* Called for every event; `event` is borrowed. 0: go on; 1: that is enough; negative: failed. No
 * question may be asked from here. */
typedef int stream_take_fn(void *context, const json_t *event);

/* All events after *since, which follows along: calling again goes on after the last one. 0 when
 * `take` had enough. */
int stream_events(struct cli *cli, uint64_t *since, stream_take_fn *take, void *context,
                  struct error *err);

#endif
