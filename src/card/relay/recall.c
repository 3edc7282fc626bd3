/* Answers to questions for a session: see recall.h. */
#include "card/relay/recall.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "card/ledger/futex.h"

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

struct wire_state_read recall_ask(struct recall *recall, uint32_t room)
{
    recall->taken = 0;
    __atomic_store_n(&recall->room, room, __ATOMIC_SEQ_CST);
    const uint32_t number = __atomic_add_fetch(&recall->asked, 1, __ATOMIC_SEQ_CST);
    return (struct wire_state_read){.header = {.opcode = WIRE_STATE_READ,
                                               .length = sizeof(struct wire_state_read),
                                               .sequence = number},
                                    .reply_room = room};
}

uint8_t *recall_place(const struct recall *recall, uint64_t offset, uint64_t bytes)
{
    const uint32_t room = load(&recall->room);
    if (load(&recall->asked) == load(&recall->answered) || offset > room || bytes > room - offset)
        return NULL;
    return recall->piece + offset;
}

int recall_answer(struct recall *recall, const struct frame_reply *reply)
{
    const uint32_t asked = load(&recall->asked), room = load(&recall->room);
    if (reply->sequence != asked || load(&recall->answered) == asked || reply->status > 0 ||
        reply->length > room || (room && !reply->status && reply->value && !reply->length))
        return -EPROTO;
    recall->reply = *reply;
    __atomic_store_n(&recall->answered, asked, __ATOMIC_SEQ_CST);
    futex_wake(&recall->answered, INT_MAX);
    return 0;
}

int recall_wait(struct recall *recall)
{
    const uint32_t answered = load(&recall->answered), asked = load(&recall->asked);
    if (answered != asked)
        futex_sleep(&recall->answered, answered, NS_PER_S);
    return load(&recall->answered) == asked;
}

size_t recall_take(struct recall *recall, void *data, size_t room)
{
    size_t bytes = recall->reply.length - recall->taken;
    if (bytes > room)
        bytes = room;
    memcpy(data, recall->piece + recall->taken, bytes);
    recall->taken += bytes;
    return bytes;
}

int recall_is_over(const struct recall *recall)
{
    return recall->taken == recall->reply.length && recall->reply.value == 0;
}
