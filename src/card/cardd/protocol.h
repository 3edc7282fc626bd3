/* The text of the control protocol: one JSON value a line, requests in, answers and events out.
 * Pure: what a request means is decided in control.c. */
#ifndef LEAT_CARDD_PROTOCOL_H
#define LEAT_CARDD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_t;

#define CONTROL_LINE_MAX_BYTES (64u * 1024) /* a longer request ends the connection */
#define CARD_NAME_MAX 64                    /* with the NUL */
#define CARD_TENANT_MAX 129                 /* with the NUL */
#define CARD_SHARE_WHOLE 1000u              /* thousandths of a device */
#define CARD_PRIORITY_MAX 9u

enum control_op {
    CONTROL_INVALID,
    CONTROL_HELLO,
    CONTROL_DEVICE_LIST,
    CONTROL_CARD_CREATE,
    CONTROL_CARD_REMOVE,
    CONTROL_CARD_SET_SHARE,
    CONTROL_CARD_LIST,
    CONTROL_CARD_SHOW,
    CONTROL_CARD_SUSPEND,
    CONTROL_CARD_RESUME,
    CONTROL_CARD_MOVE,
    CONTROL_CARD_RESIZE,
    CONTROL_CARD_TRACE,
    CONTROL_CARD_SAVE,
    CONTROL_CARD_LOAD,
    CONTROL_SUBSCRIBE,
    CONTROL_OPS
};

struct control_request {
    uint64_t id;
    enum control_op op;
    char *card, *device, *token, *tenant, *file, *relay, *host; /* owned; NULL when not given */
    uint64_t memory_bytes;
    uint32_t share_permille;
    uint32_t priority;
    bool burst;   /* the card may use what others leave of the device */
    bool bound;   /* the card goes when the connection does */
    bool remote;  /* CUDA: executors call the driver, not the programs */
    bool suspend; /* a card that holds more than it is to have */
    bool on;      /* a trace begins, or ends */
};

/* Decode and check one line. On a refusal only `id` is set, as far as it could be read, so that the
 * refusal can be attributed. `ret_request` needs control_request_finish after success only. */
int control_request_decode(const char *line, size_t length, struct control_request *ret_request,
                           struct error *err);
void control_request_finish(struct control_request *request);

/* Lines to send, with their newline, owned by the caller; NULL: out of memory. The value given is
 * taken over, and may be NULL (out of memory while making it). */
char *control_result_line(uint64_t id, struct json_t *result);
char *control_error_line(uint64_t id, const struct error *error);
char *control_event_line(const char *event, struct json_t *members);

#endif
