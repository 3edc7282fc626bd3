/* State that outlives a leat-cardd: see books.h. */
#include "card/cardd/books.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static const struct {
    const char *name;
    size_t offset, bytes;
} page_kinds[PAGES] = {
    [PAGE_LEDGER] = {"leat-ledger", offsetof(struct card_pages, ledger),
                     sizeof(struct ledger_card)},
    [PAGE_CLAIMS] = {"leat-claims", offsetof(struct card_pages, claims),
                     sizeof(struct ledger_claims)},
    [PAGE_TRACE] = {"leat-trace", offsetof(struct card_pages, trace), sizeof(struct trace)},
};

static void *page_at(const struct books *books, unsigned number, unsigned kind)
{
    return (uint8_t *)&books->pages[number] + page_kinds[kind].offset;
}

int books_open(struct books *books)
{
    const int flags = MAP_ANONYMOUS | MAP_NORESERVE;
    void *cards = mmap(NULL, BOOKS_CARDS * sizeof(*books->cards), PROT_READ | PROT_WRITE,
                       flags | MAP_SHARED, -1, 0);
    if (cards == MAP_FAILED)
        return -errno;
    /* One more, so that it can begin where the pages have to. */
    uint8_t *pages = mmap(NULL, (BOOKS_CARDS + 1) * sizeof(*books->pages), PROT_NONE,
                          flags | MAP_PRIVATE, -1, 0);
    if (pages == MAP_FAILED) {
        int r = -errno;
        (void)munmap(cards,
                     BOOKS_CARDS * sizeof(*books->cards)); /* only fails on a wrong address */
        return r;
    }
    size_t beyond = (uintptr_t)pages % _Alignof(struct card_pages);
    books->cards = cards;
    books->pages = (void *)(pages + (beyond ? _Alignof(struct card_pages) - beyond : 0));
    return 0;
}

/* munmap only fails on wrong arguments. */
void books_close(struct books *books)
{
    if (!books->cards)
        return;
    (void)munmap(books->cards, BOOKS_CARDS * sizeof(*books->cards));
    (void)munmap(books->pages, BOOKS_CARDS * sizeof(*books->pages));
    *books = (struct books){NULL, NULL};
}

static int is_one_of(const struct book_seat *cards, unsigned count, unsigned number)
{
    for (unsigned i = 0; i < count; i++)
        if (cards[i].card == number)
            return 1;
    return 0;
}

void books_forget_others(const struct books *books, const struct book_seat *cards, unsigned count)
{
    (void)munmap(books->cards, BOOKS_CARDS * sizeof(*books->cards));
    for (unsigned first = 0, end; first < BOOKS_CARDS; first = end + 1) {
        for (end = first; end < BOOKS_CARDS && !is_one_of(cards, count, end);)
            end++;
        if (end > first)
            (void)munmap(&books->pages[first], (end - first) * sizeof(*books->pages));
    }
}

static uint64_t bit_of(unsigned slot)
{
    return 1ull << slot % 64;
}

void book_count_session(struct book_count *count, unsigned slot)
{
    count->total++;
    count->slots[slot / 64] |= bit_of(slot);
}

void book_uncount_session(struct book_count *count, unsigned slot)
{
    if (count->slots[slot / 64] & bit_of(slot))
        count->total--;
    book_count_ended(count, slot);
}

void book_count_ended(struct book_count *count, unsigned slot)
{
    count->slots[slot / 64] &= ~bit_of(slot);
}

const struct book_state *book_read(const struct book_card *book)
{
    uint32_t current = __atomic_load_n(&book->current, __ATOMIC_SEQ_CST);
    return current ? &book->states[current - 1] : NULL;
}

void book_write(struct book_card *book, const struct book_state *state)
{
    uint32_t next = book->current == 1 ? 2 : 1;
    book->states[next - 1] = *state;
    __atomic_store_n(&book->current, next, __ATOMIC_SEQ_CST);
}

void book_clear(struct book_card *book)
{
    __atomic_store_n(&book->current, 0, __ATOMIC_SEQ_CST);
    explicit_bzero(book->states, sizeof(book->states));
}

void book_step(struct book_session *session, enum book_step step)
{
    __atomic_store_n(&session->step, step, __ATOMIC_SEQ_CST);
}

static int page_map(const struct books *books, unsigned number, unsigned kind, int fd)
{
    void *at = page_at(books, number, kind);
    return mmap(at, page_kinds[kind].bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                0) == at
               ? 0
               : -errno;
}

static int page_make(const struct books *books, unsigned number, unsigned kind, int *ret_fd)
{
    AUTO_FD int fd = memfd_create(page_kinds[kind].name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)page_kinds[kind].bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return -errno;
    int r = page_map(books, number, kind, fd);
    *ret_fd = r == 0 ? take_fd(&fd) : -1;
    return r;
}

int pages_make(const struct books *books, unsigned number, int ret_fds[PAGES])
{
    int r = 0;
    for (unsigned kind = 0; kind < PAGES; kind++)
        ret_fds[kind] = -1;
    for (unsigned kind = 0; r == 0 && kind < PAGES; kind++)
        r = page_make(books, number, kind, &ret_fds[kind]);
    for (unsigned kind = 0; r < 0 && kind < PAGES; kind++) {
        cleanup_fd(&ret_fds[kind]);
        ret_fds[kind] = -1;
    }
    return r;
}

int pages_map(const struct books *books, unsigned number, const int fds[PAGES])
{
    int r = 0;
    for (unsigned kind = 0; r == 0 && kind < PAGES; kind++)
        r = page_map(books, number, kind, fds[kind]);
    return r;
}

void pages_drop(const struct books *books, unsigned number)
{
    (void)mmap(&books->pages[number], sizeof(*books->pages), PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0); /* never fails */
}
