/* The card control protocol, client side: see leat/card.h. */
#include "leat/card.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "client/problem.h"

#define ANSWER_MAX_BYTES (4u << 20) /* a thousand cards fit */

struct leat_card_control {
    int fd;
    uint64_t last_id;
    struct buf input;
};

DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

/* ---- connection ---- */

static int control_dial(const char *run_dir, int *ret_fd, struct error *err)
{
    char folder[PATH_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int r = path_run_dir(run_dir, folder, err);
    if (r < 0)
        return r;
    if (strlen(folder) + sizeof("/cardd.sock") > sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "bad-run-dir",
                         "the run folder's path is too long for a socket: '%.200s'", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/cardd.sock", folder);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, -errno, "no-cardd", "no leat-cardd answers in '%.200s'", folder);
    *ret_fd = take_fd(&fd);
    return 0;
}

void leat_card_control_close(struct leat_card_control *control)
{
    if (!control)
        return;
    cleanup_fd(&control->fd);
    buf_finish(&control->input);
    free(control);
}

int leat_card_control_fd(const struct leat_card_control *control)
{
    return control->fd;
}

/* ---- requests and answers ---- */

static int lost(int errnum, struct error *err)
{
    return error_errno(err, errnum, "cardd-lost", "the connection to leat-cardd broke");
}

static int request_send(struct leat_card_control *control, const char *text, struct error *err)
{
    size_t length = strlen(text);
    while (length) {
        ssize_t n = send(control->fd, text, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0; /* it may have said why before it hung up, which reading finds out */
        if (n < 0)
            return lost(-errno, err);
        text += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Read until the input has a whole line; its length goes without the newline. */
static int line_read(struct leat_card_control *control, size_t *ret_length, struct error *err)
{
    struct buf *input = &control->input;
    for (;;) {
        char *end = input->length ? memchr(input->data, '\n', input->length) : NULL;
        if (end) {
            *ret_length = (size_t)(end - input->data);
            return 0;
        }
        if (input->length > ANSWER_MAX_BYTES)
            return lost(-EMSGSIZE, err);
        if (buf_reserve(input, 8192) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "reading from leat-cardd");
        ssize_t n = recv(control->fd, input->data + input->length, 8192, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lost(n < 0 ? -errno : -ECONNRESET, err);
        input->length += (size_t)n;
    }
}

static int refusal(const json_t *answer, struct error *err)
{
    const json_t *why = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(why, "code"));
    const char *text = json_string_value(json_object_get(why, "text"));
    json_int_t errnum = json_integer_value(json_object_get(why, "errno"));
    return error_set(err, errnum < 0 && errnum > -4096 ? (int)errnum : -EPROTO,
                     code ? code : "bad-answer", "%s",
                     text ? text : "leat-cardd sent neither a result nor an error");
}

/* Send `request` (taken over) as operation `op`; a new reference to the result, or NULL. */
static json_t *call(struct leat_card_control *control, const char *op, json_t *request,
                    struct error *err)
{
    AUTO_JSON json_t *object = request;
    uint64_t id = ++control->last_id;
    if (!object || json_object_set_new(object, "op", json_string(op)) < 0 ||
        json_object_set_new(object, "id", json_integer((json_int_t)id)) < 0) {
        error_set(err, -ENOMEM, "out-of-memory", "asking leat-cardd");
        return NULL;
    }
    AUTO_FREE char *text = json_text(object);
    AUTO_BUF struct buf line = BUF_INIT;
    (void)buf_puts(&line, text ? text : ""); /* a failure is remembered */
    (void)buf_puts(&line, "\n");
    if (!text || line.failed) {
        error_set(err, -ENOMEM, "out-of-memory", "asking leat-cardd");
        return NULL;
    }
    size_t length = 0;
    if (request_send(control, line.data, err) < 0 || line_read(control, &length, err) < 0)
        return NULL;
    AUTO_JSON json_t *answer = json_parse(control->input.data, length, ANSWER_MAX_BYTES, err);
    buf_drop_front(&control->input, length + 1);
    if (!answer)
        return NULL;
    json_t *result = json_object_get(answer, "result");
    if (!result || json_integer_value(json_object_get(answer, "id")) != (json_int_t)id) {
        (void)refusal(answer, err); /* the caller sees the NULL */
        return NULL;
    }
    return json_incref(result);
}

/* ---- results ---- */

/* A member of a result: numbers are uint64_t (true counts as 1), texts char[LEAT_CARD_TEXT_MAX].
 * Members that this version does not know are passed over, missing ones are 0 and "". */
struct member {
    const char *name;
    size_t offset;
    int is_text;
};

#define TEXT(type, name) \
    { \
#name, offsetof(struct type, name), 1 \
    }
#define NUMBER(type, name) \
    { \
#name, offsetof(struct type, name), 0 \
    }

static const struct member device_members[] = {
    TEXT(leat_card_device, id),
    TEXT(leat_card_device, name),
    TEXT(leat_card_device, vendor),
    TEXT(leat_card_device, platform),
    TEXT(leat_card_device, driver),
    TEXT(leat_card_device, kind),
    NUMBER(leat_card_device, memory_bytes),
    NUMBER(leat_card_device, max_alloc_bytes),
    NUMBER(leat_card_device, compute_units),
    NUMBER(leat_card_device, granted_bytes),
    NUMBER(leat_card_device, granted_permille),
    NUMBER(leat_card_device, cards),
    {NULL, 0, 0},
};

static const struct member lease_members[] = {
    TEXT(leat_card_lease, card),
    TEXT(leat_card_lease, device),
    TEXT(leat_card_lease, token),
    TEXT(leat_card_lease, uuid),
    {NULL, 0, 0},
};

static const struct member status_members[] = {
    TEXT(leat_card_status, card),
    TEXT(leat_card_status, device),
    TEXT(leat_card_status, state),
    TEXT(leat_card_status, host),
    NUMBER(leat_card_status, suspended_bytes),
    NUMBER(leat_card_status, suspensions),
    NUMBER(leat_card_status, suspend_ns),
    NUMBER(leat_card_status, resume_ns),
    NUMBER(leat_card_status, memory_quota_bytes),
    NUMBER(leat_card_status, memory_used_bytes),
    NUMBER(leat_card_status, memory_peak_bytes),
    NUMBER(leat_card_status, share_permille),
    NUMBER(leat_card_status, share_asked_permille),
    NUMBER(leat_card_status, burst),
    NUMBER(leat_card_status, priority),
    NUMBER(leat_card_status, device_time_ns),
    NUMBER(leat_card_status, throttled_ns),
    NUMBER(leat_card_status, idle_ms),
    NUMBER(leat_card_status, age_ms),
    NUMBER(leat_card_status, sessions),
    NUMBER(leat_card_status, sessions_total),
    NUMBER(leat_card_status, commands),
    NUMBER(leat_card_status, refusals),
    NUMBER(leat_card_status, calls_local),
    NUMBER(leat_card_status, calls_posted),
    NUMBER(leat_card_status, calls_waited),
    NUMBER(leat_card_status, records),
    NUMBER(leat_card_status, bytes_to_device),
    NUMBER(leat_card_status, bytes_from_device),
    NUMBER(leat_card_status, wait_ns),
    NUMBER(leat_card_status, carried_to_device_bytes),
    NUMBER(leat_card_status, carried_from_device_bytes),
    NUMBER(leat_card_status, line_to_device_bytes),
    NUMBER(leat_card_status, line_from_device_bytes),
    NUMBER(leat_card_status, builds),
    NUMBER(leat_card_status, build_hits),
    NUMBER(leat_card_status, share_wanted),
    {NULL, 0, 0},
};

static void members_read(const json_t *object, const struct member *members, void *ret_record)
{
    for (const struct member *m = members; m->name; m++) {
        const json_t *value = json_object_get(object, m->name);
        char *slot = (char *)ret_record + m->offset;
        if (m->is_text) {
            const char *text = json_string_value(value);
            (void)snprintf(slot, LEAT_CARD_TEXT_MAX, "%s", text ? text : "");
        } else {
            uint64_t number = json_is_true(value) ? 1 : (uint64_t)json_integer_value(value);
            memcpy(slot, &number, sizeof(number));
        }
    }
}

/* Run an operation whose result is one record; `ret_record` may be NULL. */
static int call_record(struct leat_card_control *control, const char *op, json_t *request,
                       const struct member *members, void *ret_record, struct leat_error *error)
{
    struct error why = {0};
    AUTO_JSON json_t *result = call(control, op, request, &why);
    if (!result)
        return problem_from_error(error, &why);
    if (ret_record)
        members_read(result, members, ret_record);
    return 0;
}

/* Run an operation whose result holds a list of records under `name`. */
static int call_list(struct leat_card_control *control, const char *op, const char *name,
                     const struct member *members, size_t record_bytes, void **ret_records,
                     size_t *ret_count, struct leat_error *error)
{
    struct error why = {0};
    AUTO_JSON json_t *result = call(control, op, json_object(), &why);
    if (!result)
        return problem_from_error(error, &why);
    const json_t *list = json_object_get(result, name);
    size_t count = json_array_size(list);
    char *records = calloc(count + 1, record_bytes); /* never of size 0 */
    if (!records) {
        error_set(&why, -ENOMEM, "out-of-memory", "reading '%s'", name);
        return problem_from_error(error, &why);
    }
    for (size_t i = 0; i < count; i++)
        members_read(json_array_get(list, i), members, records + i * record_bytes);
    *ret_records = records;
    *ret_count = count;
    return 0;
}

/* ---- operations ---- */

int leat_card_control_connect(const char *run_dir, struct leat_card_control **ret_control,
                              struct leat_error *error)
{
    struct error why = {0};
    CLEANUP(cleanup_control) struct leat_card_control *control = calloc(1, sizeof(*control));
    if (!control) {
        error_set(&why, -ENOMEM, "out-of-memory", "connecting to leat-cardd");
        return problem_from_error(error, &why);
    }
    control->fd = -1;
    if (control_dial(run_dir, &control->fd, &why) < 0)
        return problem_from_error(error, &why);
    /* One that is just leaving takes connections and does not answer. */
    int r = call_record(control, "hello", json_object(), NULL, NULL, error);
    if (r < 0)
        return r;
    *ret_control = TAKE(control);
    return 0;
}

int leat_card_device_list(struct leat_card_control *control, struct leat_card_device **ret_devices,
                          size_t *ret_count, struct leat_error *error)
{
    void *devices;
    int r = call_list(control, "device.list", "devices", device_members, sizeof(**ret_devices),
                      &devices, ret_count, error);
    if (r == 0)
        *ret_devices = devices;
    return r;
}

int leat_card_create(struct leat_card_control *control, const struct leat_card_request *request,
                     struct leat_card_lease *ret_lease, struct leat_error *error)
{
    json_t *object = json_pack(
        "{ss ss* ss* ss* sI sI sb sb sb sI}", "card", request->card, "device", request->device,
        "token", request->token, "tenant", request->tenant, "memory_bytes",
        (json_int_t)request->memory_bytes, "share_permille", (json_int_t)request->share_permille,
        "bound", (request->flags & LEAT_CARD_BOUND) != 0, "remote",
        (request->flags & LEAT_CARD_REMOTE) != 0, "burst", (request->flags & LEAT_CARD_BURST) != 0,
        "priority", (json_int_t)request->priority);
    return call_record(control, "card.create", object, lease_members, ret_lease, error);
}

static json_t *named(const char *card)
{
    return json_pack("{ss}", "card", card);
}

int leat_card_remove(struct leat_card_control *control, const char *card,
                     struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.remove", named(card), status_members, ret_status, error);
}

int leat_card_set_share(struct leat_card_control *control, const char *card,
                        uint32_t share_permille, struct leat_error *error)
{
    json_t *object =
        json_pack("{ss sI}", "card", card, "share_permille", (json_int_t)share_permille);
    return call_record(control, "card.set_share", object, status_members, NULL, error);
}

int leat_card_suspend(struct leat_card_control *control, const char *card,
                      struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.suspend", named(card), status_members, ret_status, error);
}

static json_t *named_on(const char *card, const char *device)
{
    return json_pack("{ss ss*}", "card", card, "device", device);
}

int leat_card_resume(struct leat_card_control *control, const char *card, const char *device,
                     struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.resume", named_on(card, device), status_members, ret_status,
                       error);
}

int leat_card_move(struct leat_card_control *control, const char *card, const char *device,
                   struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.move", named_on(card, device), status_members, ret_status,
                       error);
}

int leat_card_depart(struct leat_card_control *control, const char *card, const char *device,
                     const char *relay, const char *host, struct leat_card_status *ret_status,
                     struct leat_error *error)
{
    json_t *object =
        json_pack("{ss ss ss ss}", "card", card, "device", device, "relay", relay, "host", host);
    return call_record(control, "card.move", object, status_members, ret_status, error);
}

int leat_card_resize(struct leat_card_control *control, const char *card, uint64_t memory_bytes,
                     uint32_t share_permille, unsigned flags, struct leat_card_status *ret_status,
                     struct leat_error *error)
{
    json_t *object = json_pack(
        "{ss sI sI sb}", "card", card, "memory_bytes", (json_int_t)memory_bytes, "share_permille",
        (json_int_t)share_permille, "suspend", (flags & LEAT_CARD_RESIZE_SUSPEND) != 0);
    return call_record(control, "card.resize", object, status_members, ret_status, error);
}

static json_t *filed(const char *card, const char *file)
{
    return json_pack("{ss ss}", "card", card, "file", file);
}

int leat_card_save(struct leat_card_control *control, const char *card, const char *file,
                   struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.save", filed(card, file), status_members, ret_status, error);
}

int leat_card_load(struct leat_card_control *control, const char *card, const char *file,
                   struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.load", filed(card, file), status_members, ret_status, error);
}

static json_t *traced(const char *card, int on)
{
    return json_pack("{ss sb}", "card", card, "on", on);
}

int leat_card_trace_start(struct leat_card_control *control, const char *card,
                          struct leat_error *error)
{
    return call_record(control, "card.trace", traced(card, 1), NULL, NULL, error);
}

int leat_card_trace_stop(struct leat_card_control *control, const char *card, char **ret_trace,
                         struct leat_error *error)
{
    struct error why = {0};
    AUTO_JSON json_t *result = call(control, "card.trace", traced(card, 0), &why);
    if (!result)
        return problem_from_error(error, &why);
    *ret_trace = json_text(result);
    if (*ret_trace)
        return 0;
    error_set(&why, -ENOMEM, "out-of-memory", "writing the trace");
    return problem_from_error(error, &why);
}

int leat_card_show(struct leat_card_control *control, const char *card,
                   struct leat_card_status *ret_status, struct leat_error *error)
{
    return call_record(control, "card.show", named(card), status_members, ret_status, error);
}

int leat_card_list(struct leat_card_control *control, struct leat_card_status **ret_cards,
                   size_t *ret_count, struct leat_error *error)
{
    void *cards;
    int r = call_list(control, "card.list", "cards", status_members, sizeof(**ret_cards), &cards,
                      ret_count, error);
    if (r == 0)
        *ret_cards = cards;
    return r;
}
