/* Data on its way between two hosts, packed (LZ4) where that is faster. It goes in runs of
 * a head and its bytes; a packed run has at most BULK_PIECE_BYTES when unpacked, and each is packed
 * by itself. What is shorter than BULK_LEAST_BYTES goes without a head.
 *
 * Packing pays when a piece became smaller and the line would have taken longer for the difference
 * than the packing took. The line's rate is measured, and so is what each packed piece took; where
 * it did not pay, fewer and fewer pieces are tried. */
#ifndef LEAT_CARD_RELAY_BULK_H
#define LEAT_CARD_RELAY_BULK_H

#include <stddef.h>
#include <stdint.h>

struct conn;
struct wire_carried;

#define BULK_PIECE_BYTES (64u << 10) /* as far as LZ4 looks back */
#define BULK_LEAST_BYTES 2048u

struct bulk_head {
    uint32_t bytes;  /* what the run holds */
    uint32_t packed; /* what follows; 0: as they are */
};

/* One way of a connection. The sender's and the receiver's each serve one thread at a time. `count`
 * is borrowed, changed atomically, and counts heads as the line's; NULL: nobody wants to know. */
struct bulk_sender {
    struct wire_carried *count;
    uint32_t pause;      /* pieces that are not tried */
    uint32_t next_pause; /* when the next one does not pay */
    uint8_t piece[BULK_PIECE_BYTES], packed[BULK_PIECE_BYTES];
};
struct bulk_receiver {
    struct wire_carried *count;
    uint8_t packed[BULK_PIECE_BYTES];
};

/* As conn_put and conn_read. `data` may change meanwhile: then it arrives in one state or another.
 * Packed pieces are flushed. bulk_read: -EPROTO when the peer breaks these rules. */
int bulk_put(struct bulk_sender *sender, struct conn *conn, const void *data, size_t length);
int bulk_read(struct bulk_receiver *receiver, struct conn *conn, void *data, size_t length);

/* The parts of these that decide. How many of `length` bytes go as they are, or 0: the next piece
 * is to be tried. */
size_t bulk_plain(struct bulk_sender *sender, uint64_t line_bytes_per_s, size_t length);
/* A piece was tried: `packed` is 0 when it did not become smaller by an eighth at least. */
void bulk_learn(struct bulk_sender *sender, uint64_t line_bytes_per_s, size_t bytes, size_t packed,
                uint64_t spent_ns);
/* 0, or -EPROTO when a run with this head cannot follow where `room` bytes are still to come. */
int bulk_check(const struct bulk_head *head, size_t room);
/* `packed` is hostile. 0, or -EPROTO when it does not hold exactly what the head says. */
int bulk_unpack(const struct bulk_head *head, const void *packed, void *ret_data);

#endif
