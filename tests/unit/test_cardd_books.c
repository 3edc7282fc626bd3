/* Books that the next leat-cardd finds whole, whenever the one before was killed. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "card/cardd/books.h"

#define KILLS 100

static void fill(struct book_state *state, uint64_t number)
{
    memset(state, (int)(number & 0xff), sizeof(*state));
    state->quota_bytes = number;
    state->orders = number;
}

/* Writes state after state until it is killed. */
static _Noreturn void write_on(struct book_card *book, volatile uint64_t *started)
{
    static struct book_state state;
    for (uint64_t number = *started;; number++) {
        fill(&state, number);
        book_write(book, &state);
        *started = number + 1;
    }
}

static void a_state_is_whole_whenever_its_writer_is_killed(void **state)
{
    static struct book_state expected;
    struct books books = {0};
    volatile uint64_t *started =
        mmap(NULL, sizeof(*started), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(started, MAP_FAILED);
    assert_int_equal(books_open(&books), 0);
    struct book_card *book = &books.cards[7];
    assert_null(book_read(book));
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        uint64_t before = *started;
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0)
            write_on(book, started);
        while (*started < before + 1 + (uint64_t)kill_number % 5)
            continue;
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        const struct book_state *found = book_read(book);
        assert_non_null(found);
        assert_true(found->quota_bytes == *started - 1 || found->quota_bytes == *started);
        fill(&expected, found->quota_bytes);
        assert_memory_equal(found, &expected, sizeof(expected));
    }
    book_clear(book);
    assert_null(book_read(book));
    assert_int_equal(book->states[0].quota_bytes + book->states[1].quota_bytes, 0);
    books_close(&books);
    (void)munmap((void *)(uintptr_t)started, sizeof(*started));
}

static void pages_are_the_same_in_two_processes(void **state)
{
    struct books books = {0};
    int fds[PAGES], status = 1;
    assert_int_equal(books_open(&books), 0);
    pid_t keeper = getpid();
    assert_int_equal(pages_make(&books, 3, fds), 0);
    for (int i = 0; i < PAGES; i++)
        assert_int_equal(ftruncate(fds[i], 0), -1);
    pid_t child = fork(); /* has the mapping, and may map it again */
    const struct book_seat kept[] = {{.card = 3}, {.card = 1}};
    if (child == 0) {
        pages_drop(&books, 3);
        if (pages_map(&books, 3, fds) == 0)
            books.pages[3].ledger.quota_bytes = (uint64_t)keeper;
        books_forget_others(&books, kept, 2);
        _exit(books.pages[3].ledger.quota_bytes != (uint64_t)keeper);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(books.pages[3].ledger.quota_bytes, keeper);
    pages_drop(&books, 3);
    for (int i = 0; i < PAGES; i++)
        cleanup_fd(&fds[i]);
    books_close(&books);
}

/* As the next leat-cardd finds it. */
static struct book_count count_after_a_kill(struct book_card *book, const struct book_count *count)
{
    const struct book_state state = {.counted = *count};
    book_write(book, &state);
    return book_read(book)->counted;
}

static void a_session_is_taken_back_once(void **state)
{
    struct books books = {0};
    struct book_count count = {0};
    assert_int_equal(books_open(&books), 0);
    struct book_card *book = &books.cards[2];
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++)
        book_count_session(&count, slot);
    for (int kill_number = 0; kill_number < 3; kill_number++) {
        count = count_after_a_kill(book, &count);
        book_uncount_session(&count, 70);
        assert_int_equal(count.total, LEDGER_SLOTS - 1);
    }
    book_count_ended(&count, 71);
    count = count_after_a_kill(book, &count);
    book_uncount_session(&count, 71); /* it was in the number when it ended */
    assert_int_equal(count.total, LEDGER_SLOTS - 1);
    book_count_session(&count, 70);
    assert_int_equal(count.total, LEDGER_SLOTS);
    book_uncount_session(&count, LEDGER_SLOTS - 1);
    assert_int_equal(count.total, LEDGER_SLOTS - 1);
    books_close(&books);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_whole_whenever_its_writer_is_killed),
        cmocka_unit_test(a_session_is_taken_back_once),
        cmocka_unit_test(pages_are_the_same_in_two_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
