/* Several cards of one session: see seat.h. */
#include "card/executor/seat.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "card/executor/build.h"
#include "card/executor/device.h"
#include "card/executor/executor.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

static int is_in(seat_set seats, unsigned number)
{
    return seats ? seats >> number & 1 : number == 0;
}

int seats_open(struct session *session)
{
    session->seat_count = session->params.card_count;
    for (unsigned i = 0; i < session->seat_count; i++) {
        const struct executor_card *card = &session->params.cards[i];
        struct seat *seat = &session->seats[i];
        seat->ledger = card->ledger;
        seat->trace = card->trace;
        seat->slot = i ? session->client.further_slots[i - 1] : session->client.slot;
        seat->meter = meter_create(card->ledger, card->device, (uint32_t)getpid(), seat->slot,
                                   card->notify_fd);
        if (!seat->meter)
            return -ENOMEM;
    }
    session->ledger = session->seats[0].ledger;
    session->meter = session->seats[0].meter;
    return 0;
}

int seats_place(struct session *session, struct error *err)
{
    for (uint32_t id = 1; id < session->seat_count; id++) {
        struct object *object;
        if (object_place(session, id, &object, err) < 0)
            return -EPROTO;
        *object = (struct object){.kind = OBJECT_DEVICE, .serial = ++session->serials, .away = 1};
    }
    return 0;
}

int seats_find_devices(struct session *session, const struct executor_order *order,
                       cl_platform_id *ret_platform, struct error *err)
{
    const struct executor_params *params = &session->params;
    cl_device_id found[WIRE_CARDS_MAX];
    for (unsigned i = 0; i < params->card_count; i++) {
        const struct executor_card *card = &params->cards[i];
        const struct executor_place place =
            order ? order->places[i]
                  : (struct executor_place){card->platform_index, card->device_index, NULL};
        int r = device_find(place.platform_index, place.device_index, ret_platform, &found[i], err);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < params->card_count; i++)
        session->seats[i].device = found[i];
    session->device = found[0];
    return 0;
}

void seats_enter(struct session *session)
{
    for (uint32_t id = 1; id < session->seat_count; id++)
        session->objects[id].error = object_make(session, &session->objects[id]);
}

cl_int seat_make(struct session *session, struct object *object)
{
    object->driver = session->seats[object - session->objects].device;
    return CL_SUCCESS;
}

int seat_is_device(const struct session *session, const struct object *object)
{
    const size_t id = (size_t)(object - session->objects);
    return id > 0 && id < session->seat_count;
}

unsigned seat_of_device(const struct session *session, uint32_t device_id)
{
    for (int depth = 0; depth < SUBDEVICE_DEPTH_MAX && device_id >= session->seat_count; depth++)
        device_id = session->objects[device_id].parent;
    return device_id < session->seat_count ? device_id
                                           : 0; /* a client that released what it uses */
}

seat_set seats_of_devices(const struct session *session, const struct device_list *devices)
{
    seat_set seats = 0;
    for (uint32_t i = 0; i < devices->count; i++)
        seats |= 1u << seat_of_device(session, devices->ids[i]);
    return seats;
}

void seats_account(struct session *session, seat_set seats, uint64_t bytes,
                   void (*verb)(struct ledger_card *card, unsigned slot, uint64_t bytes))
{
    for (unsigned i = 0; i < session->seat_count; i++)
        if (is_in(seats, i))
            verb(session->seats[i].ledger, session->seats[i].slot, bytes);
}

int seats_reserve(struct session *session, seat_set seats, uint64_t bytes)
{
    for (unsigned i = 0; i < session->seat_count; i++) {
        const struct seat *seat = &session->seats[i];
        if (!is_in(seats, i) || ledger_reserve(seat->ledger, seat->slot, bytes) == 0)
            continue;
        const seat_set all = seats ? seats : 1, before = all & ((1u << i) - 1);
        if (before)
            seats_account(session, before, bytes, ledger_release);
        seats_account(session, all & ~before, bytes, ledger_forgo);
        return -ENOSPC;
    }
    return 0;
}

void seats_call_off(struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        meter_call_off(session->seats[i].meter);
}

void seats_want_share(struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        meter_want_share(session->seats[i].meter);
}

void seats_move(struct session *session, const struct executor_order *order)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        meter_move(session->seats[i].meter, order->places[i].device);
}
