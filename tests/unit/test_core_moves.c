/* Cards that change places in core, on the fake engine and a fake leat-cardd with two devices: a
 * job that waits finds room, and whatever goes wrong, those that were to move go on. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>
#include <uv.h>

#include "core_house.h"

#define JOB(share) "{" ANY_COMMAND ",\"share\":\"" share "\",\"memory\":\"1GiB\"}"
#define ON_THE_OTHER "{" ANY_COMMAND ",\"share\":\"100%\",\"memory\":\"1GiB\",\"device\":\"cpu-1\"}"

static uint64_t running(struct house *house, const char *body)
{
    uint64_t id = submitted(house, body);
    job_becomes(house, id, "running");
    return id;
}

static const char *card_name(uint64_t job, char name[24])
{
    (void)snprintf(name, 24, "%llu", (unsigned long long)job);
    return name;
}

/* Does the job run there, by its own word and by leat-cardd's? */
static bool sits_on(struct house *house, uint64_t id, const char *device)
{
    char name[24];
    AUTO_JSON json_t *job = job_of(house, id);
    const json_t *card = fake_cardd_card(house->cardd, card_name(id, name));
    return strcmp(text_of(job, "state"), "running") == 0 &&
           strcmp(text_of(job, "device"), device) == 0 &&
           strcmp(text_of(card, "device"), device) == 0 &&
           strcmp(text_of(card, "state"), "suspended") != 0;
}

struct scene {
    uint64_t a, b, c, d; /* 60 and 25 % on cpu-0, 50 and 40 % on cpu-1 */
};

static struct scene scene_make(struct house *house, uint32_t moves_per_hour)
{
    house_open(house);
    core_shut(house);
    house->moves_per_hour = moves_per_hour;
    fake_cardd_set_devices(house->cardd, 2);
    core_open(house);
    uint64_t whole = running(house, ON_THE_OTHER); /* so that the next two are on cpu-0 */
    struct scene scene = {.a = running(house, JOB("60%")), .b = running(house, JOB("25%"))};
    job_exits(house, whole, 0);
    job_becomes(house, whole, "succeeded");
    scene.c = running(house, JOB("50%"));
    scene.d = running(house, JOB("40%"));
    assert_true(sits_on(house, scene.a, "cpu-0") && sits_on(house, scene.b, "cpu-0"));
    assert_true(sits_on(house, scene.c, "cpu-1") && sits_on(house, scene.d, "cpu-1"));
    return scene;
}

static void scene_end(struct house *house, const struct scene *scene, uint64_t waiting)
{
    const uint64_t jobs[] = {scene->a, scene->b, scene->c, scene->d, waiting};
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        job_exits(house, jobs[i], 0);
        job_becomes(house, jobs[i], "succeeded");
    }
    nothing_left(house);
}

static void test_two_change_places(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    const struct scene scene = scene_make(&house, 2);
    uint64_t waiting = running(&house, JOB("25%"));
    assert_true(sits_on(&house, waiting, "cpu-1"));
    TURN_UNTIL(&house, sits_on(&house, scene.b, "cpu-1") && sits_on(&house, scene.d, "cpu-0"));
    assert_true(sits_on(&house, scene.a, "cpu-0") && sits_on(&house, scene.c, "cpu-1"));
    scene_end(&house, &scene, waiting);
}

static void test_too_few_moves(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    const struct scene scene = scene_make(&house, 1);
    uint64_t waiting = submitted(&house, JOB("25%"));
    job_exits(&house, scene.c, 0);
    job_becomes(&house, waiting, "running"); /* by itself */
    assert_true(sits_on(&house, scene.b, "cpu-0") && sits_on(&house, scene.d, "cpu-1"));
    struct scene rest = scene;
    rest.c = running(&house, JOB("10%"));
    scene_end(&house, &rest, waiting);
}

/* The others go back to where they were, and change places without it. */
static void test_one_cannot_leave(void **state)
{
    (void)state;
    char name[24];
    AUTO_HOUSE struct house house;
    const struct scene scene = scene_make(&house, 4);
    fake_cardd_refuse(house.cardd, "card.suspend", card_name(scene.d, name));
    uint64_t waiting = running(&house, JOB("25%"));
    TURN_UNTIL(&house, sits_on(&house, scene.a, "cpu-1") && sits_on(&house, scene.c, "cpu-0"));
    TURN_UNTIL(&house, sits_on(&house, scene.b, "cpu-0") && sits_on(&house, scene.d, "cpu-1"));
    fake_cardd_refuse(house.cardd, NULL, NULL);
    scene_end(&house, &scene, waiting);
}

/* A new leatd knows nothing of an exchange: its jobs are idle, and wake when a command waits. */
static void test_leatd_ends_amidst(void **state)
{
    (void)state;
    char b[24], d[24];
    AUTO_HOUSE struct house house;
    const struct scene scene = scene_make(&house, 2);
    fake_cardd_refuse(house.cardd, "card.resume", NULL);
    uint64_t waiting = submitted(&house, JOB("25%"));
    job_says(&house, scene.b, "idle", "moving");
    job_says(&house, scene.d, "idle", "moving");
    core_shut(&house);
    fake_cardd_refuse(house.cardd, NULL, NULL);
    core_open(&house);
    fake_cardd_want(house.cardd, card_name(scene.b, b));
    fake_cardd_want(house.cardd, card_name(scene.d, d));
    job_becomes(&house, scene.b, "running");
    job_becomes(&house, scene.d, "running");
    job_exits(&house, scene.a, 0);
    job_becomes(&house, scene.a, "succeeded");
    job_becomes(&house, waiting, "running");
    struct scene rest = scene;
    rest.a = running(&house, JOB("10%"));
    scene_end(&house, &rest, waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_change_places),
        cmocka_unit_test(test_too_few_moves),
        cmocka_unit_test(test_one_cannot_leave),
        cmocka_unit_test(test_leatd_ends_amidst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
