/* The session hand-shake with leat-cardd: see attach.h. */
#include "card/cuda/attach.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card/cuda/alone.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

static void *map_page(int fd, size_t bytes, int protection)
{
    void *page = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    (void)close(fd);
    return page == MAP_FAILED ? NULL : page;
}

/* Take a slot of the card. leat-cardd watches a program of its own host itself. */
static enum card_state attach(const char *path, const char *token, struct attachment *ret)
{
    char text[WIRE_TEXT_MAX];
    struct wire_pages pages;
    struct wire_client client = {.socket_fd = -1};
    if (wire_connect(&client, path, token, WIRE_HELLO_CUDA, &pages, text) < 0)
        return CARD_FAILED;
    if (client.session) {
        (void)close(pages.claims_fd); /* quotas are decided where the device is */
        *ret = (struct attachment){.ledger =
                                       map_page(pages.ledger_fd, sizeof(*ret->ledger), PROT_READ),
                                   .client = client,
                                   .notify_fd = -1};
        if (ret->ledger)
            return CARD_REMOTE;
        wire_disconnect(&ret->client); /* the executor is not left behind waiting */
        return CARD_FAILED;
    }
    struct ledger_card *ledger = map_page(pages.ledger_fd, sizeof(*ledger), PROT_READ | PROT_WRITE);
    struct meter_device *device = map_page(pages.turn_fd, sizeof(*device), PROT_READ | PROT_WRITE);
    if (!ledger || !device || client.slot >= LEDGER_SLOTS) {
        (void)close(pages.notify_fd); /* the pages stay mapped: nothing is tried again */
        return CARD_FAILED;
    }
    *ret = (struct attachment){
        .ledger = ledger, .device = device, .notify_fd = pages.notify_fd, .slot = client.slot};
    return CARD_READY;
}

/* The tokens of leat-cardd's cards; NULL: there are none. */
static const char *tokens(void)
{
    return getenv("LEAT_CARD_SOCKET") ? getenv("LEAT_CARD_TOKEN") : NULL;
}

/* The token with that number; 0 when there are not so many, or it is too long to be one. */
static int token_of(const char *list, unsigned device, char ret_token[WIRE_TOKEN_MAX])
{
    for (; device && list; device--)
        list = (list = strchr(list, ',')) ? list + 1 : NULL;
    size_t length = list ? strcspn(list, ",") : WIRE_TOKEN_MAX;
    if (length >= WIRE_TOKEN_MAX)
        return 0;
    memcpy(ret_token, list, length);
    ret_token[length] = '\0';
    return 1;
}

enum card_state card_attach(unsigned device, struct attachment *ret)
{
    char token[WIRE_TOKEN_MAX];
    const char *list = tokens();
    if (!list)
        return alone_attach(device, ret);
    if (device >= CARD_DEVICES_MAX || !token_of(list, device, token))
        return CARD_FAILED;
    return attach(getenv("LEAT_CARD_SOCKET"), token, ret);
}

unsigned card_count(void)
{
    unsigned count = 0;
    for (const char *list = tokens(); list; count++)
        list = (list = strchr(list, ',')) ? list + 1 : NULL;
    return count < CARD_DEVICES_MAX ? count : CARD_DEVICES_MAX;
}

int card_is_named(void)
{
    return tokens() || alone_is_named();
}
