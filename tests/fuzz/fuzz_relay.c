/* What a relay reads from the other host. Input: a byte that chooses the kind of frame, a lane, and
 * the body; kind FRAME_RECORD is the far end's record, all others are the near end's. Of two kinds
 * more one is a run of data, its head first, and one what answers questions for a session. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "card/relay/bulk.h"
#include "card/relay/frame.h"
#include "card/relay/recall.h"

#define KIND_RUN (FRAME_KINDS + 1)
#define KIND_ANSWERS (FRAME_KINDS + 2)
#define RUN_ROOM (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void take_record(const uint8_t *body, size_t length)
{
    _Alignas(16) static uint8_t record[WIRE_RECORD_MAX];
    struct wire_header *header = (struct wire_header *)record;
    struct spans spans = {0};
    struct error err = {0};
    if (length < sizeof(*header) || length > sizeof(record))
        return;
    memcpy(record, body, length);
    header->length = (uint32_t)length;
    if (wire_record_check(header) < 0)
        return;
    int r = relay_spans(header, &spans, &err);
    if (r < 0 ? r != -EPROTO || !err.text[0]
              : spans.to_device.offset + spans.to_device.bytes > WIRE_SLAB_BYTES ||
                    spans.from_device.offset + spans.from_device.bytes > WIRE_SLAB_BYTES ||
                    spans.reply.offset + spans.reply.bytes > WIRE_SLAB_BYTES)
        abort();
    (void)relay_queue_id(header);
    (void)relay_event(header);
}

/* In memory of just the size, so that a byte beside it is noticed. */
static void take_run(const uint8_t *run, size_t length)
{
    struct bulk_head head;
    if (length < sizeof(head))
        return;
    memcpy(&head, run, sizeof(head));
    if (bulk_check(&head, RUN_ROOM) < 0 || head.packed == 0 || head.packed > length - sizeof(head))
        return;
    void *packed = malloc(head.packed), *plain = malloc(head.bytes);
    if (!packed || !plain)
        abort();
    memcpy(packed, run + sizeof(head), head.packed);
    int r = bulk_unpack(&head, packed, plain);
    if (r != 0 && r != -EPROTO)
        abort();
    free(packed);
    free(plain);
}

/* A question stays open until it is answered; each answer may bring data first. */
static void take_answers(const uint8_t *data, size_t length)
{
    struct item {
        struct frame_reply reply;
        uint64_t offset, bytes;
    } item;
    static uint8_t *piece;
    uint8_t taken[4096];
    if (!piece && !(piece = calloc(1, RECALL_BYTES)))
        abort();
    struct recall recall = {.piece = piece};
    for (; length >= sizeof(item); data += sizeof(item), length -= sizeof(item)) {
        memcpy(&item, data, sizeof(item));
        if (recall.asked == recall.answered)
            (void)recall_ask(&recall, item.reply.sequence % 2 ? RECALL_BYTES : 0);
        uint8_t *place = recall_place(&recall, item.offset, item.bytes);
        if (place && item.bytes)
            place[0] = place[item.bytes - 1] = 1;
        int r = recall_answer(&recall, &item.reply);
        if (r != 0 && r != -EPROTO)
            abort();
        while (r == 0 && recall_take(&recall, taken, sizeof(taken)))
            continue;
        if (r == 0 && recall_is_over(&recall) != (item.reply.value == 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct wire_session *session;
    static struct ledger_card ledger;
    static struct mirror mirror;
    if (!session) {
        struct wire_session layout;
        uint64_t bytes = wire_session_layout(&layout);
        session = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (session == MAP_FAILED)
            abort();
        mirror_init(&mirror, session, &ledger);
    }
    if (length < 2)
        return 0;
    const struct frame_header header = {
        .length = (uint32_t)(length - 2), .kind = data[0] % (KIND_ANSWERS + 1), .lane = data[1]};
    if (header.kind == FRAME_RECORD) {
        take_record(data + 2, length - 2);
        return 0;
    }
    if (header.kind == KIND_RUN) {
        take_run(data + 2, length - 2);
        return 0;
    }
    if (header.kind == KIND_ANSWERS) {
        take_answers(data + 2, length - 2);
        return 0;
    }
    struct error err = {0};
    uint64_t ended = 0;
    int r = mirror_apply(&mirror, &header, data + 2, &ended, &err);
    if (r < 0 && (r != -EPROTO || !err.text[0]))
        abort();
    return 0;
}
