/* An executor with two cards: what is charged to which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/wait.h>

#include "card/executor/opencl.h"
#include "executor_rig.h"

#define MIB (1ull << 20)
#define SLOT 5

/* As numbers of objects: 1 is the second card's device. */
enum ids { SECOND = 1, BOTH, ONE, OTHER, QUEUE, BUFFER_A, BUFFER_B, PART };

struct world {
    struct rig rig;
    struct rig_card cards[2];
};

static void open_world(struct world *world, uint64_t first_bytes, uint64_t second_bytes)
{
    world->cards[0] = rig_card(first_bytes, 1000);
    world->cards[1] = rig_card(second_bytes, 1000);
    assert_int_equal(rig_open_cards(&world->rig, world->cards, 2, SLOT), 0);
}

static uint64_t used(const struct world *world, unsigned card)
{
    return world->cards[card].ledger->slots[SLOT + card].used_bytes;
}

static uint64_t freed(const struct world *world, unsigned card)
{
    return world->cards[card].ledger->slots[SLOT + card].freed_total_bytes;
}

static void create_context(struct rig *rig, uint32_t id, uint32_t count, uint32_t a, uint32_t b)
{
    struct {
        struct wire_context_create head;
        uint32_t devices[2];
    } record = {.head = {.id = id, .device_count = count}, .devices = {a, b}};
    RIG_POST(rig, WIRE_CONTEXT_CREATE, record);
}

static void create_buffer(struct rig *rig, uint32_t id, uint32_t context, uint64_t bytes)
{
    struct wire_buffer_create record = {
        .id = id, .context_id = context, .flags = CL_MEM_READ_WRITE, .size_bytes = bytes};
    RIG_POST(rig, WIRE_BUFFER_CREATE, record);
}

static int status_of(struct rig *rig, uint32_t id)
{
    struct wire_object_status record = {.id = id};
    return RIG_CALL(rig, WIRE_OBJECT_STATUS, record);
}

static void release(struct rig *rig, uint32_t id)
{
    struct wire_release record = {.id = id};
    struct wire_drain drain = {0};
    RIG_POST(rig, WIRE_RELEASE, record);
    assert_int_equal(RIG_CALL(rig, WIRE_DRAIN, drain), 0);
}

static void test_memory_counts_on_each_card_of_its_context(void **state)
{
    struct world world;
    open_world(&world, 4 * MIB, 2 * MIB);
    struct rig *rig = &world.rig;
    create_context(rig, BOTH, 2, 0, SECOND);
    create_context(rig, ONE, 1, 0, 0);
    create_context(rig, OTHER, 1, SECOND, 0);
    create_buffer(rig, BUFFER_A, BOTH, MIB);
    assert_int_equal(status_of(rig, BUFFER_A), CL_SUCCESS);
    assert_int_equal(used(&world, 0), MIB);
    assert_int_equal(used(&world, 1), MIB);
    create_buffer(rig, BUFFER_B, OTHER, MIB);
    assert_int_equal(status_of(rig, BUFFER_B), CL_SUCCESS);
    assert_int_equal(used(&world, 0), MIB);
    assert_int_equal(used(&world, 1), 2 * MIB);
    release(rig, BUFFER_B);
    create_buffer(rig, BUFFER_B, ONE, 3 * MIB);
    assert_int_equal(status_of(rig, BUFFER_B), CL_SUCCESS);
    assert_int_equal(used(&world, 0), 4 * MIB);
    assert_int_equal(used(&world, 1), MIB);
    release(rig, BUFFER_A);
    release(rig, BUFFER_B);
    assert_int_equal(used(&world, 0) + used(&world, 1), 0);
    assert_int_equal(freed(&world, 0), 4 * MIB);
    assert_int_equal(freed(&world, 1), 2 * MIB);
    assert_int_equal(WEXITSTATUS(rig_close(rig)), 0);
}

/* Whoever asks for more than one of the cards has gets it from none, and may lower all claims. */
static void test_all_cards_grant_or_none(void **state)
{
    for (unsigned small = 0; small < 2; small++) {
        struct world world;
        open_world(&world, small == 0 ? MIB : 4 * MIB, small == 1 ? MIB : 4 * MIB);
        create_context(&world.rig, BOTH, 2, 0, SECOND);
        create_buffer(&world.rig, BUFFER_A, BOTH, 2 * MIB);
        assert_int_equal(status_of(&world.rig, BUFFER_A), CL_MEM_OBJECT_ALLOCATION_FAILURE);
        for (unsigned card = 0; card < 2; card++) {
            assert_int_equal(used(&world, card), 0);
            assert_int_equal(freed(&world, card), 2 * MIB);
        }
        assert_int_equal(WEXITSTATUS(rig_close(&world.rig)), 0);
    }
}

static void test_commands_count_on_the_card_of_their_queue(void **state)
{
    struct world world;
    open_world(&world, 4 * MIB, 4 * MIB);
    struct rig *rig = &world.rig;
    create_context(rig, BOTH, 2, 0, SECOND);
    create_buffer(rig, BUFFER_A, BOTH, MIB);
    struct wire_queue_create queue = {.id = QUEUE, .context_id = BOTH, .device_id = SECOND};
    RIG_POST(rig, WIRE_QUEUE_CREATE, queue);
    struct wire_write write = {.queue_id = QUEUE, .buffer_id = BUFFER_A, .size_bytes = MIB};
    for (int i = 0; i < 3; i++)
        RIG_POST(rig, WIRE_WRITE, write);
    rig_wait_completed(rig, 0, 3);
    assert_int_equal(world.cards[0].ledger->slots[SLOT].commands, 0);
    assert_int_equal(world.cards[1].ledger->slots[SLOT + 1].commands, 3);
    assert_int_equal(WEXITSTATUS(rig_close(rig)), 0);
}

/* A part of the second card is charged as the card. */
static void test_parts(void **state)
{
    struct world world;
    open_world(&world, 4 * MIB, 4 * MIB);
    struct rig *rig = &world.rig;
    struct {
        struct wire_device_partition head;
        uint64_t properties[3];
        uint32_t ids[2];
    } record = {.head = {.device_id = SECOND,
                         .room = 2,
                         .reply_room = 65536,
                         .property_count = 3,
                         .id_count = 2},
                .properties = {CL_DEVICE_PARTITION_EQUALLY, 1, 0},
                .ids = {PART, PART + 1}};
    if (RIG_CALL(rig, WIRE_DEVICE_PARTITION, record) == CL_SUCCESS) {
        create_context(rig, OTHER, 1, PART, 0);
        create_buffer(rig, BUFFER_A, OTHER, MIB);
        assert_int_equal(status_of(rig, BUFFER_A), CL_SUCCESS);
        assert_int_equal(used(&world, 0), 0);
        assert_int_equal(used(&world, 1), MIB);
    }
    assert_int_equal(WEXITSTATUS(rig_close(rig)), 0);
}

/* The device of a card stays, whatever a client says. */
static void test_a_card_is_not_released(void **state)
{
    struct world world;
    open_world(&world, MIB, MIB);
    struct wire_release record = {.id = SECOND};
    RIG_POST(&world.rig, WIRE_RELEASE, record);
    assert_int_equal(WEXITSTATUS(rig_wait_end(&world.rig)), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_counts_on_each_card_of_its_context),
        cmocka_unit_test(test_all_cards_grant_or_none),
        cmocka_unit_test(test_commands_count_on_the_card_of_their_queue),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_a_card_is_not_released),
    };
    (void)setenv("POCL_DEVICES", "pthread pthread", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
