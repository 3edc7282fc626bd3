/* The text of the control protocol: see protocol.h. */
#include "card/cardd/protocol.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "card/wire/wire.h"

#define FIELD(member, kind, flags) \
    { \
#member, kind, offsetof(struct control_request, member), flags \
    }
#define FIELD_ID FIELD(id, JSON_KIND_U64, JSON_REQUIRED)
#define FIELD_OP \
    { \
        "op", JSON_KIND_TEXT, offsetof(struct decoded, op_text), JSON_REQUIRED \
    }
#define FIELD_CARD FIELD(card, JSON_KIND_TEXT, JSON_REQUIRED)
#define FIELD_SHARE FIELD(share_permille, JSON_KIND_U32, JSON_REQUIRED)
#define FIELDS_END \
    { \
        NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL \
    }

/* A request in the making: the field tables fill both members. */
struct decoded {
    struct control_request request;
    char *op_text;
};

_Static_assert(offsetof(struct decoded, request) == 0, "the tables count from the request");

static const struct json_field plain_fields[] = {FIELD_ID, FIELD_OP, FIELDS_END};
static const struct json_field card_fields[] = {FIELD_ID, FIELD_OP, FIELD_CARD, FIELDS_END};
static const struct json_field share_fields[] = {FIELD_ID, FIELD_OP, FIELD_CARD, FIELD_SHARE,
                                                 FIELDS_END};
static const struct json_field resume_fields[] = {
    FIELD_ID,
    FIELD_OP,
    FIELD_CARD,
    FIELD(device, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(share_permille, JSON_KIND_U32, JSON_OPTIONAL),
    FIELDS_END,
};
static const struct json_field move_fields[] = {
    FIELD_ID,
    FIELD_OP,
    FIELD_CARD,
    FIELD(device, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(relay, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(host, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELDS_END,
};
static const struct json_field file_fields[] = {
    FIELD_ID, FIELD_OP, FIELD_CARD, FIELD(file, JSON_KIND_TEXT, JSON_REQUIRED), FIELDS_END};
static const struct json_field trace_fields[] = {
    FIELD_ID, FIELD_OP, FIELD_CARD, FIELD(on, JSON_KIND_BOOL, JSON_REQUIRED), FIELDS_END};
static const struct json_field resize_fields[] = {
    FIELD_ID,
    FIELD_OP,
    FIELD_CARD,
    FIELD(memory_bytes, JSON_KIND_BYTES, JSON_OPTIONAL),
    FIELD(share_permille, JSON_KIND_U32, JSON_OPTIONAL),
    FIELD(suspend, JSON_KIND_BOOL, JSON_OPTIONAL),
    FIELDS_END,
};
static const struct json_field create_fields[] = {
    FIELD_ID,
    FIELD_OP,
    FIELD_CARD,
    FIELD_SHARE,
    FIELD(device, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(memory_bytes, JSON_KIND_BYTES, JSON_REQUIRED),
    FIELD(token, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(tenant, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(bound, JSON_KIND_BOOL, JSON_OPTIONAL),
    FIELD(remote, JSON_KIND_BOOL, JSON_OPTIONAL),
    FIELD(burst, JSON_KIND_BOOL, JSON_OPTIONAL),
    FIELD(priority, JSON_KIND_U32, JSON_OPTIONAL),
    FIELDS_END,
};

static const struct {
    const char *name;
    const struct json_field *fields;
} ops[CONTROL_OPS] = {
    [CONTROL_HELLO] = {"hello", plain_fields},
    [CONTROL_DEVICE_LIST] = {"device.list", plain_fields},
    [CONTROL_CARD_CREATE] = {"card.create", create_fields},
    [CONTROL_CARD_REMOVE] = {"card.remove", card_fields},
    [CONTROL_CARD_SET_SHARE] = {"card.set_share", share_fields},
    [CONTROL_CARD_LIST] = {"card.list", plain_fields},
    [CONTROL_CARD_SHOW] = {"card.show", card_fields},
    [CONTROL_CARD_SUSPEND] = {"card.suspend", card_fields},
    [CONTROL_CARD_RESUME] = {"card.resume", resume_fields},
    [CONTROL_CARD_MOVE] = {"card.move", move_fields},
    [CONTROL_CARD_RESIZE] = {"card.resize", resize_fields},
    [CONTROL_CARD_TRACE] = {"card.trace", trace_fields},
    [CONTROL_CARD_SAVE] = {"card.save", file_fields},
    [CONTROL_CARD_LOAD] = {"card.load", file_fields},
    [CONTROL_SUBSCRIBE] = {"subscribe", plain_fields},
};

static enum control_op op_find(const char *name)
{
    for (int op = CONTROL_INVALID + 1; op < CONTROL_OPS; op++) {
        if (strcmp(ops[op].name, name) == 0)
            return (enum control_op)op;
    }
    return CONTROL_INVALID;
}

/* A card's name becomes the name of a folder. */
static bool name_is_plain(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(name);
    return length > 0 && length < CARD_NAME_MAX && name[0] != '.' &&
           strspn(name, allowed) == length;
}

/* Short tokens could be guessed, long ones do not fit the hello. */
static bool token_fits(const char *token)
{
    size_t length = strlen(token);
    return length >= 32 && length < WIRE_TOKEN_MAX && strspn(token, "0123456789abcdef") == length;
}

static bool tenant_is_plain(const char *tenant)
{
    size_t length = strlen(tenant);
    for (const char *c = tenant; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    }
    return length > 0 && length < CARD_TENANT_MAX;
}

static int request_check(const struct control_request *request, struct error *err)
{
    if (request->card && !name_is_plain(request->card))
        return error_set(err, -EINVAL, "bad-card-name",
                         "a card's name is 1 to %d letters, digits, '-', '_' and '.', and does not "
                         "start with '.'",
                         CARD_NAME_MAX - 1);
    if (request->token && !token_fits(request->token))
        return error_set(err, -EINVAL, "bad-token", "a token is 32 to %d lower-case hex digits",
                         WIRE_TOKEN_MAX - 1);
    if (request->tenant && !tenant_is_plain(request->tenant))
        return error_set(err, -EINVAL, "bad-tenant",
                         "a tenant's name is 1 to %d bytes without control characters",
                         CARD_TENANT_MAX - 1);
    if (request->share_permille > CARD_SHARE_WHOLE)
        return error_set(err, -EINVAL, "share-exceeds-device",
                         "asked for %u thousandths of a device; a device has %u",
                         request->share_permille, CARD_SHARE_WHOLE);
    if (request->priority > CARD_PRIORITY_MAX)
        return error_set(err, -EINVAL, "bad-priority",
                         "a card's priority lies between 0 and %u; got %u", CARD_PRIORITY_MAX,
                         request->priority);
    if (!request->relay != !request->host)
        return error_set(err, -EINVAL, "missing-field", "'relay' and 'host' go together");
    if (request->op == CONTROL_CARD_CREATE && request->memory_bytes == 0)
        return error_set(err, -EINVAL, "bad-memory",
                         "a card needs some memory; 'memory_bytes' is 0");
    if (request->op == CONTROL_CARD_RESIZE && !request->memory_bytes && !request->share_permille)
        return error_set(err, -EINVAL, "missing-field",
                         "say what changes: 'memory_bytes', 'share_permille' or both");
    return 0;
}

void control_request_finish(struct control_request *request)
{
    free(request->card);
    free(request->device);
    free(request->token);
    free(request->tenant);
    free(request->file);
    free(request->relay);
    free(request->host);
    *request = (struct control_request){0};
}

static int fields_decode(const json_t *object, struct decoded *decoded, struct error *err)
{
    const char *op = json_string_value(json_object_get(object, "op"));
    if (!op)
        return error_set(err, -EINVAL, "missing-field", "the field 'op' is required");
    enum control_op known = op_find(op);
    if (known == CONTROL_INVALID)
        return error_set(err, -ENOSYS, "unknown-op", "there is no operation '%.64s'", op);
    int r = json_decode(object, ops[known].fields, decoded, err);
    if (r < 0)
        return r;
    decoded->request.op = known;
    return request_check(&decoded->request, err);
}

int control_request_decode(const char *line, size_t length, struct control_request *ret_request,
                           struct error *err)
{
    ret_request->id = 0;
    AUTO_JSON json_t *object = json_parse(line, length, CONTROL_LINE_MAX_BYTES, err);
    if (!object)
        return -EINVAL;
    json_int_t id = json_integer_value(json_object_get(object, "id"));
    if (id > 0)
        ret_request->id = (uint64_t)id;
    struct decoded decoded = {0};
    int r = fields_decode(object, &decoded, err);
    free(decoded.op_text);
    if (r < 0) {
        control_request_finish(&decoded.request);
        return r;
    }
    *ret_request = decoded.request;
    return 0;
}

static char *line_of(json_t *value)
{
    AUTO_BUF struct buf line = BUF_INIT;
    char *text = value ? json_text(value) : NULL;
    json_decref(value);
    if (!text)
        return NULL;
    (void)buf_reserve(&line, strlen(text) + 2); /* at once, so that no copy is left behind */
    (void)buf_puts(&line, text); /* a failure is remembered and comes out of buf_take */
    (void)buf_puts(&line, "\n");
    free(text);
    return buf_take(&line);
}

char *control_result_line(uint64_t id, json_t *result)
{
    return result ? line_of(json_pack("{sI so}", "id", (json_int_t)id, "result", result)) : NULL;
}

/* Words of an executor, or ones that were cut, may be no UTF-8: then what is not ASCII goes. */
static json_t *words_of(const char *text)
{
    json_t *words = json_string(text);
    AUTO_FREE char *plain = words ? NULL : strdup(text);
    for (char *c = plain; c && *c; c++)
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    return plain ? json_string(plain) : words;
}

char *control_error_line(uint64_t id, const struct error *error)
{
    return line_of(json_pack("{sI s{si so so}}", "id", (json_int_t)id, "error", "errno",
                             error->errnum, "code", words_of(error->code), "text",
                             words_of(error->text)));
}

char *control_event_line(const char *event, json_t *members)
{
    if (members && json_object_set_new(members, "event", json_string(event)) < 0) {
        json_decref(members);
        return NULL;
    }
    return line_of(members);
}
