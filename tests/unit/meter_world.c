/* Virtual time for the meter: see meter_world.h. */
#include "meter_world.h"

#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define STACK_BYTES (256u << 10)
#define COMMANDS 1024 /* in flight; the meter lets far fewer through */
#define STALLS 256
#define NEVER UINT64_MAX
#define START_NS 1000000000ull
/* As PoCL on this project's own machines. */
#define HAND_OVER_NS 2000u /* an executor's time for a command */
#define DISPATCH_NS 40000u /* until an idle device begins */
#define GAP_NS 15000u      /* between two commands that wait in line */
#define TELL_NS 15000u     /* until the meter knows of an end */
#define WAKE_NS 40000u

struct command {
    uint64_t queued_ns, start_ns, end_ns, length_ns, estimate_ns, tell_ns;
};

struct session {
    struct world_card *wanted;
    ucontext_t context;
    void *stack;
    struct meter *meter;
    struct ledger_card *card;
    uint64_t wake_ns; /* NEVER: only by a wake-up */
    const uint32_t *word;
    struct command commands[COMMANDS];
    unsigned told, handed; /* counts */
    uint64_t settled_ns;   /* device time before the measurement */
};

static struct world {
    int running;
    uint64_t now_ns, device_until_ns, random;
    struct world_trouble trouble;
    uint64_t stalls[STALLS][2]; /* from, until */
    unsigned stall_count;
    struct session *sessions, *current;
    unsigned count;
    uint64_t measured_from_ns;
    ucontext_t loop;
    struct meter_device device;
} world;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    if (!world.running)
        return __real_clock_gettime(clock, ret_time);
    *ret_time =
        (struct timespec){(time_t)(world.now_ns / 1000000000u), (long)(world.now_ns % 1000000000u)};
    return 0;
}

/* xorshift64*: the same numbers everywhere. */
static uint64_t below(uint64_t limit)
{
    world.random ^= world.random >> 12;
    world.random ^= world.random << 25;
    world.random ^= world.random >> 27;
    return limit ? (world.random * 0x2545f4914f6cdd1dull >> 11) % limit : 0;
}

/* When something that needs `ns` from `from_ns` on is done, with what stands still between. */
static uint64_t after(uint64_t from_ns, uint64_t ns)
{
    uint64_t end_ns = from_ns + ns;
    for (unsigned i = 0; i < world.stall_count; i++) {
        uint64_t begin_ns = world.stalls[i][0] > from_ns ? world.stalls[i][0] : from_ns;
        if (begin_ns < end_ns && world.stalls[i][1] > begin_ns)
            end_ns += world.stalls[i][1] - begin_ns;
    }
    return end_ns;
}

static uint64_t late_ns(void)
{
    uint64_t late = WAKE_NS / 2 + below(WAKE_NS);
    if (below(1000) < world.trouble.starved_permille)
        late += below(world.trouble.starved_ns);
    return late;
}

/* The current session's; back when it is woken. */
static void give_way(const uint32_t *word, uint64_t wake_ns)
{
    struct session *session = world.current;
    session->word = word;
    session->wake_ns = wake_ns;
    swapcontext(&session->context, &world.loop);
}

static void wake(const uint32_t *word)
{
    for (unsigned i = 0; i < world.count; i++) {
        struct session *session = &world.sessions[i];
        if (session->word != word)
            continue;
        session->word = NULL;
        session->wake_ns = after(world.now_ns, late_ns());
    }
}

long __wrap_syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    const uint32_t *word = va_arg(list, const uint32_t *);
    int op = va_arg(list, int);
    uint32_t value = (uint32_t)va_arg(list, int);
    const struct timespec *limit = va_arg(list, const struct timespec *);
    va_end(list);
    if (!world.running || number != SYS_futex)
        return __real_syscall(number, word, op, value, limit, NULL, 0);
    if (op == FUTEX_WAKE)
        wake(word);
    else if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
        uint64_t ns = (uint64_t)limit->tv_sec * 1000000000u + (uint64_t)limit->tv_nsec;
        give_way(word, after(world.now_ns + ns, late_ns()));
    }
    return 0;
}

static void nothing(void *arg)
{
}

static uint64_t length_of(const struct session *session)
{
    const uint64_t *lengths = session->wanted->lengths_ns;
    unsigned count = 0;
    while (count < WORLD_LENGTHS && lengths[count])
        count++;
    return lengths[session->handed % count];
}

static void hand_over(struct session *session, uint64_t length_ns, uint64_t estimate_ns,
                      uint64_t wanted_at_ns)
{
    uint64_t jitter = length_ns * world.trouble.jitter_percent / 100;
    struct command command = {.queued_ns = world.now_ns, .estimate_ns = estimate_ns};
    command.length_ns = length_ns - jitter + below(2 * jitter + 1);
    uint64_t from_ns = world.now_ns + DISPATCH_NS;
    if (from_ns < world.device_until_ns + GAP_NS)
        from_ns = world.device_until_ns + GAP_NS;
    command.start_ns = after(from_ns, 0);
    command.end_ns = world.device_until_ns = after(command.start_ns, command.length_ns);
    command.tell_ns = after(command.end_ns, TELL_NS);
    struct world_card *wanted = session->wanted;
    uint64_t waited_ns = command.start_ns - wanted_at_ns;
    wanted->waits++;
    wanted->waited_ns += waited_ns;
    if (waited_ns > wanted->longest_wait_ns)
        wanted->longest_wait_ns = waited_ns;
    session->commands[session->handed++ % COMMANDS] = command;
}

static void session_main(void)
{
    struct session *session = world.current;
    struct world_card *wanted = session->wanted;
    uint32_t percent = world.trouble.estimate_percent ? world.trouble.estimate_percent : 100;
    if (wanted->from_ns)
        give_way(NULL, START_NS + wanted->from_ns);
    for (;;) {
        uint64_t length_ns = length_of(session), estimate_ns = length_ns * percent / 100;
        uint64_t wanted_at_ns = world.now_ns;
        if (meter_enter(session->meter, estimate_ns, nothing, NULL) < 0)
            abort();
        hand_over(session, length_ns, estimate_ns, wanted_at_ns);
        uint64_t done_ns = session->commands[(session->handed - 1) % COMMANDS].tell_ns;
        if (wanted->pause_ns)
            give_way(NULL, after(done_ns + 1, wanted->pause_ns));
        else
            give_way(NULL, after(world.now_ns, HAND_OVER_NS));
    }
}

static void tell(struct session *session)
{
    const struct command *command = &session->commands[session->told++ % COMMANDS];
    const struct meter_span span = {command->queued_ns, command->start_ns, command->end_ns, 0, 0};
    struct world_card *wanted = session->wanted;
    meter_charge(session->meter, &span, command->estimate_ns);
    if (world.now_ns >= world.measured_from_ns)
        wanted->work_ns += command->length_ns;
    uint64_t granted_ns = (world.now_ns - START_NS) / 1000 * wanted->share_permille;
    if (session->card->device_time_ns > granted_ns + wanted->most_ns)
        wanted->most_ns = session->card->device_time_ns - granted_ns;
}

static uint64_t tell_at(const struct session *session)
{
    return session->told == session->handed ? NEVER
                                            : session->commands[session->told % COMMANDS].tell_ns;
}

static uint64_t next_ns(const struct session *session)
{
    return tell_at(session) < session->wake_ns ? tell_at(session) : session->wake_ns;
}

static struct session *next_session(void)
{
    struct session *next = world.sessions;
    for (unsigned i = 1; i < world.count; i++) {
        if (next_ns(&world.sessions[i]) < next_ns(next))
            next = &world.sessions[i];
    }
    return next;
}

static void step(struct session *session)
{
    world.now_ns = next_ns(session);
    if (tell_at(session) == world.now_ns) {
        tell(session);
        return;
    }
    world.current = session;
    session->word = NULL;
    session->wake_ns = NEVER;
    swapcontext(&world.loop, &session->context);
}

static void run_until(uint64_t end_ns)
{
    struct session *session;
    while (next_ns(session = next_session()) < end_ns)
        step(session);
    world.now_ns = end_ns;
}

static void plan_stalls(uint64_t end_ns)
{
    const struct world_trouble *trouble = &world.trouble;
    uint64_t at_ns = START_NS;
    while (trouble->stall_ns && world.stall_count < STALLS && at_ns < end_ns) {
        at_ns += trouble->stall_every_ns / 2 + below(trouble->stall_every_ns);
        uint64_t until_ns = at_ns + below(2 * trouble->stall_ns);
        world.stalls[world.stall_count][0] = at_ns;
        world.stalls[world.stall_count++][1] = until_ns;
        at_ns = until_ns;
    }
}

static void session_open(struct session *session, struct world_card *wanted, uint32_t owner)
{
    session->wanted = wanted;
    session->card = calloc(1, sizeof(*session->card));
    session->stack = malloc(STACK_BYTES);
    if (!session->card || !session->stack)
        abort();
    wanted->device_ns = wanted->work_ns = wanted->most_ns = 0;
    wanted->waits = wanted->waited_ns = wanted->longest_wait_ns = 0;
    session->card->share_permille = wanted->share_permille;
    session->card->burst = wanted->burst;
    session->card->priority = wanted->priority;
    session->card->credit_time_ns = START_NS;
    session->meter = meter_create(session->card, &world.device, owner, 0, -1);
    if (!session->meter || getcontext(&session->context) < 0)
        abort();
    session->context.uc_stack.ss_sp = session->stack;
    session->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&session->context, session_main, 0);
    session->wake_ns = START_NS + owner;
}

void world_run(struct world_card *cards, unsigned count, const struct world_trouble *trouble,
               uint64_t settle_ns, uint64_t measure_ns)
{
    static struct session sessions[WORLD_CARDS];
    memset(sessions, 0, sizeof(sessions));
    world = (struct world){.running = 1,
                           .now_ns = START_NS,
                           .random = 88172645463325252ull,
                           .trouble = *trouble,
                           .sessions = sessions,
                           .count = count,
                           .measured_from_ns = START_NS + settle_ns};
    plan_stalls(START_NS + settle_ns + measure_ns);
    for (unsigned i = 0; i < count; i++)
        session_open(&sessions[i], &cards[i], i + 1);
    run_until(world.measured_from_ns);
    for (unsigned i = 0; i < count; i++)
        sessions[i].settled_ns = sessions[i].card->device_time_ns;
    run_until(world.measured_from_ns + measure_ns);
    world.running = 0;
    for (unsigned i = 0; i < count; i++) {
        cards[i].device_ns = sessions[i].card->device_time_ns - sessions[i].settled_ns;
        meter_destroy(sessions[i].meter);
        free(sessions[i].card);
        free(sessions[i].stack);
    }
}
