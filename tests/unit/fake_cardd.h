/* A leat-cardd that keeps its cards in memory and does what a test tells it, on the test's own
 * loop. */
#ifndef LEAT_TESTS_UNIT_FAKE_CARDD_H
#define LEAT_TESTS_UNIT_FAKE_CARDD_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct fake_cardd;
struct json_t;

/* Serve RUN_DIR/cardd.sock with a device "cpu-0" of 8 GiB. Cards of an earlier one are gone. */
struct fake_cardd *fake_cardd_create(uv_loop_t *loop, const char *run_dir);
/* Connections break, as when it is killed; the handles close in the loop's next turns. */
void fake_cardd_destroy(struct fake_cardd *fake);

void fake_cardd_set_memory(struct fake_cardd *fake, uint64_t memory_bytes); /* of the device */
size_t fake_cardd_count(const struct fake_cardd *fake);
void fake_cardd_set_devices(struct fake_cardd *fake, unsigned count); /* alike: cpu-0, cpu-1 ... */
/* The card as card.list shows it, borrowed; tests may change it. NULL: there is none. */
struct json_t *fake_cardd_card(struct fake_cardd *fake, const char *card);
/* A member of a card; -1 when there is no such card. */
int64_t fake_cardd_figure(struct fake_cardd *fake, const char *card, const char *member);
void fake_cardd_set(struct fake_cardd *fake, const char *card, const char *member, int64_t value);
void fake_cardd_add(struct fake_cardd *fake, const char *card, uint64_t memory_bytes,
                    uint32_t share_permille);
/* A command of the card waits: tell all who subscribed. */
void fake_cardd_want(struct fake_cardd *fake, const char *card);
/* The next `count` card.create are refused with this error. */
void fake_cardd_refuse_creates(struct fake_cardd *fake, unsigned count, int errnum,
                               const char *code);
/* Until it is told otherwise, refuse this operation on this card; NULL: any. */
void fake_cardd_refuse(struct fake_cardd *fake, const char *op, const char *card);

#endif
