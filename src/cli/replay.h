/* The runs of `leat simulate --in-time`: what they are played with, and how they are shown. */
#ifndef LEAT_CLI_REPLAY_H
#define LEAT_CLI_REPLAY_H

#include "base/json.h"
#include "cli/args.h"
#include "cli/view.h"
#include "sched/replay.h"

struct error;

extern const struct view_column replay_columns[];
/* The options that the command line gives; 0 or -EINVAL. */
int replay_options_read(const struct args *args, struct replay_options *options, struct error *err);
/* A run as --json shows it; NULL: out of memory. */
json_t *replay_encode(const char *policy, const char *sequence, const struct replay_result *result);
/* A line of the table out of a run, whose members it gains. */
void replay_row(json_t *row);
/* One line of text for what differs from the published one-pass game. */
void replay_rules(const struct replay_options *options, char *text, size_t room);

#endif
