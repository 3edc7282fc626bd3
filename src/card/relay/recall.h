/* The other host's answers to questions for a session that is to come back: one question at a time,
 * by one thread, while another takes in what comes. Nothing of that is believed. */
#ifndef LEAT_CARD_RELAY_RECALL_H
#define LEAT_CARD_RELAY_RECALL_H

#include <stddef.h>
#include <stdint.h>

#include "card/relay/frame.h"

#define RECALL_BYTES (4u << 20)

struct recall {
    uint32_t asked, answered; /* numbers of questions; atomic, the latter a futex */
    uint32_t room;            /* for the answer's bytes; atomic */
    struct frame_reply reply; /* to the last question, once it is answered */
    size_t taken;             /* of its bytes */
    uint8_t *piece;           /* RECALL_BYTES; owned; NULL: nothing was asked yet */
};

/* The next question, for at most `room` bytes: its record. */
struct wire_state_read recall_ask(struct recall *recall, uint32_t room);
/* The other thread: where data of the answer goes, NULL: nowhere. */
uint8_t *recall_place(const struct recall *recall, uint64_t offset, uint64_t bytes);
/* The other thread: the answer, whose data has come. 0, or -EPROTO when it answers nothing. */
int recall_answer(struct recall *recall, const struct frame_reply *reply);
/* Sleep until it has come, a second at most: 1 when it has. */
int recall_wait(struct recall *recall);
/* Bytes of the answer that were not taken yet, `room` at most. How many. */
size_t recall_take(struct recall *recall, void *data, size_t room);
/* 1 when the last answer has no more of them, and none follows. */
int recall_is_over(const struct recall *recall);

#endif
