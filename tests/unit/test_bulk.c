/* What goes packed between two hosts and what does not, and that it arrives whole. */
#include <errno.h>
#include <lz4.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "card/relay/bulk.h"
#include "card/relay/conn.h"
#include "card/relay/line.h"
#include "card/wire/stats.h"

#define PIECE BULK_PIECE_BYTES
#define SLOW 12500000u /* 100 Mbit/s: a piece takes 5.2 ms */
#define FAST 1000000000u
#define BYTES (2u << 20)
#define ROUNDS_MOST 40

static void test_only_slow_lines(void **state)
{
    struct bulk_sender *sender = calloc(1, sizeof(*sender));
    assert_non_null(sender);
    assert_int_equal(bulk_plain(sender, 0, 10 * PIECE), 10 * PIECE); /* not known yet */
    assert_int_equal(bulk_plain(sender, FAST, 10 * PIECE), 10 * PIECE);
    assert_int_equal(bulk_plain(sender, SLOW, 10 * PIECE), 0);
    free(sender);
}

static void test_what_pays_goes_on(void **state)
{
    struct bulk_sender *sender = calloc(1, sizeof(*sender));
    assert_non_null(sender);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(bulk_plain(sender, SLOW, PIECE), 0);
        bulk_learn(sender, SLOW, PIECE, PIECE / 2, 200000); /* 2.6 ms less for 0.2 */
    }
    free(sender);
}

/* Pieces tried of `pieces` when each tried one has this outcome. */
static unsigned tries(uint64_t line_bytes_per_s, size_t packed, uint64_t spent_ns, unsigned pieces)
{
    struct bulk_sender *sender = calloc(1, sizeof(*sender));
    unsigned tried = 0;
    assert_non_null(sender);
    for (unsigned i = 0; i < pieces; i++) {
        if (bulk_plain(sender, line_bytes_per_s, PIECE))
            continue;
        tried++;
        bulk_learn(sender, line_bytes_per_s, PIECE, packed, spent_ns);
    }
    free(sender);
    return tried;
}

static void test_what_does_not_pay_is_tried_less_and_less(void **state)
{
    assert_in_range(tries(SLOW, 0, 50000, 6500), 100, 110);
    assert_in_range(tries(FAST / 4, PIECE / 2, 200000, 6500), 100, 110); /* 0.13 ms for 0.2 */
    assert_int_equal(tries(SLOW, PIECE / 2, 200000, 6500), 6500);
}

static void test_pays_again(void **state)
{
    struct bulk_sender *sender = calloc(1, sizeof(*sender));
    assert_non_null(sender);
    for (int i = 0; i < 100; i++)
        if (bulk_plain(sender, SLOW, PIECE) == 0)
            bulk_learn(sender, SLOW, PIECE, 0, 50000);
    unsigned waited = 0;
    while (bulk_plain(sender, SLOW, PIECE) != 0)
        waited++;
    assert_in_range(waited, 0, 64);
    bulk_learn(sender, SLOW, PIECE, PIECE / 4, 200000);
    assert_int_equal(bulk_plain(sender, SLOW, PIECE), 0);
    free(sender);
}

static void test_line(void **state)
{
    struct line line = {0};
    line_learn(&line, &(struct line_seen){1000, 10000, 5000, 1}); /* too little */
    assert_int_equal(line.bytes_per_s, 0);
    line_learn(&line, &(struct line_seen){1000000, 105000, 5000, 0}); /* 5 ms were a wait */
    assert_int_equal(line.bytes_per_s, 10000000);
    line_learn(&line, &(struct line_seen){1000000, 165000, 5000, 0}); /* nothing arrived */
    assert_int_equal(line.bytes_per_s, 10000000);
    line_learn(&line, &(struct line_seen){5000000, 205000, 5000, 0}); /* 40 MB/s */
    assert_int_equal(line.bytes_per_s, 17500000);
    for (int i = 0; i < 100; i++) /* many small copies: nearly all the time is waits */
        line_learn(&line, &(struct line_seen){5000000 + 1000u * (unsigned)i, 205000, 5000, 1});
    line_learn(&line, &(struct line_seen){5200000, 405000, 5000, 0});
    assert_int_equal(line.bytes_per_s, 17500000 - 17500000 / 4 + 8000000 / 4);
}

static void test_runs_that_cannot_be(void **state)
{
    static const struct {
        struct bulk_head head;
        size_t room;
        int result;
    } cases[] = {
        {{PIECE, 100}, PIECE, 0},
        {{4 * PIECE, 0}, 4 * PIECE, 0},
        {{0, 0}, PIECE, -EPROTO},
        {{PIECE, 0}, PIECE - 1, -EPROTO},
        {{2 * PIECE, 100}, 2 * PIECE, -EPROTO},
        {{PIECE, PIECE}, PIECE, -EPROTO},
        {{100, UINT32_MAX}, PIECE, -EPROTO},
        {{UINT32_MAX, 0}, PIECE, -EPROTO},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(bulk_check(&cases[i].head, cases[i].room), cases[i].result);
}

static void test_packed_pieces_of_another_length(void **state)
{
    static char plain[4096], packed[8192], found[4096 + 1];
    int length = LZ4_compress_default(plain, packed, sizeof(plain), sizeof(packed));
    assert_in_range(length, 1, 4095);
    struct bulk_head head = {sizeof(plain), (uint32_t)length};
    assert_int_equal(bulk_unpack(&head, packed, found), 0);
    head.bytes--;
    assert_int_equal(bulk_unpack(&head, packed, found), -EPROTO);
    head.bytes += 2;
    assert_int_equal(bulk_unpack(&head, packed, found), -EPROTO);
    head = (struct bulk_head){sizeof(plain), (uint32_t)length - 1};
    assert_int_equal(bulk_unpack(&head, packed, found), -EPROTO);
}

/* ---- over a connection that carries 5 MB/s ---- */

struct sending {
    struct conn *conn;
    const uint8_t *bytes;
    struct bulk_sender *sender;
    int result;
};

static void *send_bytes(void *arg)
{
    static const size_t lengths[] = {1, BULK_LEAST_BYTES - 1, BULK_LEAST_BYTES, PIECE + 1};
    struct sending *sending = arg;
    size_t at = 0;
    for (size_t i = 0; sending->result == 0 && at < BYTES; i++) {
        size_t length = i < 4 ? lengths[i] : BYTES - at;
        sending->result = bulk_put(sending->sender, sending->conn, sending->bytes + at, length);
        at += length;
    }
    if (sending->result == 0)
        sending->result = conn_flush(sending->conn);
    return NULL;
}

static void receive_bytes(struct bulk_receiver *receiver, struct conn *conn, uint8_t *found)
{
    size_t at = 0;
    static const size_t lengths[] = {1, BULK_LEAST_BYTES - 1, BULK_LEAST_BYTES, PIECE + 1};
    for (size_t i = 0; at < BYTES; i++) {
        size_t length = i < 4 ? lengths[i] : BYTES - at;
        assert_int_equal(bulk_read(receiver, conn, found + at, length), 0);
        at += length;
    }
}

static void fill(uint8_t *bytes, int is_random)
{
    unsigned seed = 7;
    for (size_t i = 0; i < BYTES; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = is_random ? (uint8_t)(seed >> 16) : (uint8_t)(i / 100);
    }
}

static void connect_slowly(struct conn **ret_sending, struct conn **ret_receiving)
{
    const unsigned bytes_per_s = 5000000;
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    char text[32];
    int listener;
    assert_int_equal(conn_listen("127.0.0.1:0", 0, &listener, NULL), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(conn_dial(text, NULL, ret_receiving, NULL), 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_s, sizeof(bytes_per_s)), 0);
    assert_int_equal(conn_accept(fd, NULL, ret_sending, NULL), 0);
}

/* The rate is known once the first bytes have arrived; then what shrinks is packed, and what does
 * not goes as it is. */
static void test_over_a_slow_line(void **state)
{
    struct conn *sending_end, *receiving_end;
    struct bulk_sender *sender = calloc(1, sizeof(*sender));
    struct bulk_receiver *receiver = calloc(1, sizeof(*receiver));
    struct wire_carried sent = {0}, received = {0};
    uint8_t *bytes = malloc(BYTES), *found = malloc(BYTES);
    int is_packed = 0;
    assert_true(sender && receiver && bytes && found);
    sender->count = &sent;
    receiver->count = &received;
    connect_slowly(&sending_end, &receiving_end);
    for (int round = 0; round < ROUNDS_MOST && !is_packed; round++) {
        struct sending sending = {sending_end, bytes, sender, 0};
        const uint64_t before = sent.line_bytes;
        pthread_t thread;
        fill(bytes, round == 0);
        assert_int_equal(pthread_create(&thread, NULL, send_bytes, &sending), 0);
        receive_bytes(receiver, receiving_end, found);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(sending.result, 0);
        assert_memory_equal(found, bytes, BYTES);
        if (round == 0) /* heads */
            assert_in_range(sent.line_bytes, BYTES, BYTES + 1000);
        is_packed = sent.line_bytes - before < BYTES / 4;
    }
    assert_true(is_packed);
    assert_true(conn_round_trip_us(sending_end) > 0);
    assert_true(sent.bytes % BYTES == 0 && received.bytes == sent.bytes);
    assert_int_equal(received.line_bytes, sent.line_bytes);
    conn_close(sending_end);
    conn_close(receiving_end);
    free(sender);
    free(receiver);
    free(bytes);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_slow_lines),
        cmocka_unit_test(test_what_pays_goes_on),
        cmocka_unit_test(test_what_does_not_pay_is_tried_less_and_less),
        cmocka_unit_test(test_pays_again),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_runs_that_cannot_be),
        cmocka_unit_test(test_packed_pieces_of_another_length),
        cmocka_unit_test(test_over_a_slow_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
