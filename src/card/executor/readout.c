/* Reading a session out: see readout.h. */
#include "card/executor/readout.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/park.h"
#include "card/executor/save.h"
#include "card/executor/session.h"
#include "card/executor/spill.h"
#include "card/executor/state.h"
#include "card/executor/suspend.h"

/* The checkpoint is written by a thread of its own, as to a connection, and nobody keeps it. */
struct readout {
    struct session *session;
    int from, to; /* ends of a socket pair; -1: closed */
    pthread_t writer;
    int writes; /* there is such a thread */
    int status; /* of what it has written */
};

static void *write_all(void *arg)
{
    struct readout *readout = arg;
    readout->status = session_send(readout->session, readout->to, NULL);
    cleanup_fd(&readout->to);
    readout->to = -1;
    return NULL;
}

/* What was not read is not written either. */
static void writer_end(struct readout *readout)
{
    cleanup_fd(&readout->from);
    readout->from = -1;
    if (readout->writes)
        (void)pthread_join(readout->writer, NULL); /* it was made and not joined */
    readout->writes = 0;
    cleanup_fd(&readout->to);
    readout->to = -1;
}

static int writer_begin(struct readout *readout)
{
    int pair[2];
    writer_end(readout);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    readout->from = pair[0];
    readout->to = pair[1];
    readout->writes = pthread_create(&readout->writer, NULL, write_all, readout) == 0;
    return readout->writes ? 0 : -EAGAIN;
}

/* Away from the device, if it is not. */
static int leave_device(struct session *session)
{
    struct error err = {0};
    if (session->readout)
        return 0;
    if (session->user_events_open && completion_pending(session))
        return -EAGAIN;
    park_settle(session);
    if (state_obstacle(session))
        return -EOPNOTSUPP;
    struct readout *readout = calloc(1, sizeof(*readout));
    if (!readout)
        return -ENOMEM;
    *readout = (struct readout){.session = session, .from = -1, .to = -1};
    if (!session->suspended) {
        spill_begin(session, UINT64_MAX);
        int r = session_suspend(session, &err);
        if (r < 0) {
            free(readout);
            return r;
        }
    }
    objects_wait_freed(session, 0); /* its account does not change any more */
    session->readout = readout;
    return 0;
}

static int read_next(struct session *session, const struct wire_state_read *record,
                     struct reply *reply)
{
    struct readout *readout = session->readout;
    uint8_t *to = session->slab + record->reply_offset;
    ssize_t got = 1;
    if (!readout || !readout->writes)
        return -ENODATA;
    while (got && reply->length < record->reply_room) {
        got = read(readout->from, to + reply->length, record->reply_room - reply->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        reply->length += (uint64_t)got;
    }
    reply->value = got > 0;
    if (got > 0)
        return 0;
    writer_end(readout);
    return readout->status;
}

int handle_state_read(struct session *session, const struct wire_header *header,
                      struct reply *reply, struct error *err)
{
    const struct wire_state_read *record = (const void *)header;
    if (!session->client.moved)
        return BAD_RECORD(err, "the session has not come from another host");
    if (slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    if (record->reply_room) {
        reply->status = read_next(session, record, reply);
        return 0;
    }
    reply->status = leave_device(session);
    if (reply->status == 0)
        reply->status = writer_begin(session->readout);
    reply->value = reply->status == 0;
    return 0;
}

int readout_serve(struct session *session)
{
    const struct wire_header *record = (const void *)session->consumer.record;
    struct error err = {0};
    if (!session->client.moved)
        return 0;
    if (!session->holds_record)
        session->holds_record = consumer_take(&session->consumer, &record, &err) > 0;
    if (!session->holds_record || record->opcode != WIRE_STATE_READ)
        return 0;
    session->holds_record =
        session_dispatch(session, record, &err) < 0; /* the end, once it is back */
    return !session->holds_record;
}

void readout_break_off(struct session *session)
{
    if (!session->readout)
        return;
    writer_end(session->readout);
    free(session->readout);
    session->readout = NULL;
}

int readout_end(struct session *session, struct error *err)
{
    if (!session->readout)
        return 0;
    readout_break_off(session);
    int r = session_resume(session, err);
    if (r == 0)
        spill_end(session);
    return r;
}
