/* Packing what goes over a slow line: see bulk.h. */
#include "card/relay/bulk.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "card/relay/conn.h"
#include "card/wire/stats.h"

#define FASTEST_BYTES_PER_S 500000000u /* no core packs as fast as this line carries */
#define PAUSE_MOST 64u                 /* of so many pieces one is tried in any case */
#define LOOK_BYTES (1u << 20)          /* of what goes as it is, between two looks at the line */

/* What unpacking takes beside packing: a quarter, rather more than it does. */
static uint64_t with_unpacking(uint64_t spent_ns)
{
    return spent_ns + spent_ns / 4;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t bulk_plain(struct bulk_sender *sender, uint64_t line_bytes_per_s, size_t length)
{
    if (line_bytes_per_s == 0 || line_bytes_per_s > FASTEST_BYTES_PER_S)
        return least(length, LOOK_BYTES);
    uint32_t pieces = (uint32_t)least(sender->pause, LOOK_BYTES / BULK_PIECE_BYTES);
    size_t bytes = least(length, (size_t)pieces * BULK_PIECE_BYTES);
    sender->pause -= (uint32_t)((bytes + BULK_PIECE_BYTES - 1) / BULK_PIECE_BYTES);
    return bytes;
}

void bulk_learn(struct bulk_sender *sender, uint64_t line_bytes_per_s, size_t bytes, size_t packed,
                uint64_t spent_ns)
{
    const uint64_t saved_ns = packed ? (bytes - packed) * NS_PER_S / line_bytes_per_s : 0;
    if (saved_ns > with_unpacking(spent_ns)) {
        sender->pause = sender->next_pause = 0;
        return;
    }
    sender->pause = sender->next_pause;
    sender->next_pause = (uint32_t)least(sender->next_pause * 2 + 1, PAUSE_MOST);
}

static void count_run(struct wire_carried *count, size_t bytes, size_t line_bytes)
{
    if (!count)
        return;
    (void)__atomic_add_fetch(&count->bytes, bytes, __ATOMIC_RELAXED);
    (void)__atomic_add_fetch(&count->line_bytes, line_bytes, __ATOMIC_RELAXED);
}

static int put_head(struct bulk_sender *sender, struct conn *conn, size_t bytes, size_t packed)
{
    const struct bulk_head head = {(uint32_t)bytes, (uint32_t)packed};
    const size_t follow = packed ? packed : bytes;
    count_run(sender->count, bytes, sizeof(head) + follow);
    return conn_put(conn, &head, sizeof(head));
}

/* The processor's time: that other programs had it in between says nothing about packing. */
static uint64_t spent_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int put_piece(struct bulk_sender *sender, struct conn *conn, uint64_t line_bytes_per_s,
                     const void *data, size_t bytes)
{
    const uint64_t begin_ns = spent_ns();
    memcpy(sender->piece, data, bytes); /* LZ4 promises nothing for bytes that change */
    int packed = LZ4_compress_default((const char *)sender->piece, (char *)sender->packed,
                                      (int)bytes, (int)(bytes - bytes / 8));
    bulk_learn(sender, line_bytes_per_s, bytes, (size_t)packed, spent_ns() - begin_ns);
    int r = put_head(sender, conn, bytes, (size_t)packed);
    if (r == 0)
        r = packed ? conn_put(conn, sender->packed, (size_t)packed)
                   : conn_put(conn, sender->piece, bytes);
    return r == 0 && packed ? conn_flush(conn) : r; /* the next is packed meanwhile */
}

int bulk_put(struct bulk_sender *sender, struct conn *conn, const void *data, size_t length)
{
    const uint8_t *at = data;
    int r = 0;
    if (length < BULK_LEAST_BYTES) {
        count_run(sender->count, length, length);
        return conn_put(conn, data, length);
    }
    while (r == 0 && length) {
        const uint64_t line_bytes_per_s = conn_look(conn);
        size_t bytes = bulk_plain(sender, line_bytes_per_s, length);
        if (bytes) {
            r = put_head(sender, conn, bytes, 0);
            if (r == 0)
                r = conn_put(conn, at, bytes);
        } else {
            bytes = least(length, BULK_PIECE_BYTES);
            r = put_piece(sender, conn, line_bytes_per_s, at, bytes);
        }
        at += bytes;
        length -= bytes;
    }
    return r;
}

int bulk_check(const struct bulk_head *head, size_t room)
{
    if (head->bytes == 0 || head->bytes > room)
        return -EPROTO;
    return head->packed && (head->bytes > BULK_PIECE_BYTES || head->packed >= head->bytes) ? -EPROTO
                                                                                           : 0;
}

int bulk_unpack(const struct bulk_head *head, const void *packed, void *ret_data)
{
    return LZ4_decompress_safe(packed, ret_data, (int)head->packed, (int)head->bytes) ==
                   (int)head->bytes
               ? 0
               : -EPROTO;
}

static int read_run(struct bulk_receiver *receiver, struct conn *conn, void *data, size_t room,
                    size_t *ret_bytes)
{
    struct bulk_head head;
    int r = conn_read(conn, &head, sizeof(head));
    if (r == 0)
        r = bulk_check(&head, room);
    if (r < 0)
        return r;
    if (!head.packed) {
        r = conn_read(conn, data, head.bytes);
    } else {
        r = conn_read(conn, receiver->packed, head.packed);
        if (r == 0)
            r = bulk_unpack(&head, receiver->packed, data);
    }
    count_run(receiver->count, head.bytes, sizeof(head) + (head.packed ? head.packed : head.bytes));
    *ret_bytes = head.bytes;
    return r;
}

int bulk_read(struct bulk_receiver *receiver, struct conn *conn, void *data, size_t length)
{
    uint8_t *at = data;
    int r = 0;
    if (length < BULK_LEAST_BYTES) {
        count_run(receiver->count, length, length);
        return conn_read(conn, data, length);
    }
    while (r == 0 && length) {
        size_t bytes = 0;
        r = read_run(receiver, conn, at, length, &bytes);
        at += bytes;
        length -= bytes;
    }
    return r;
}
