/* Cards: parts of a device with a memory quota and a share of compute, made and watched through the
 * control socket of leat-cardd. C99, usable from C++.
 *
 * Calls block until leat-cardd has answered. A control is used by one thread at a time. Functions
 * that can fail return 0 or a negative errno and then fill `error`, which may be NULL; outputs
 * named ret_* are set on success only. All texts end with a NUL. Sizes are bytes, shares
 * thousandths of a device. */
#ifndef LEAT_CARD_H
#define LEAT_CARD_H

#include <stddef.h>
#include <stdint.h>

#include "leat/error.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define LEAT_CARD_NAME_MAX 64
#define LEAT_CARD_TEXT_MAX 256

/* A connection to one leat-cardd. */
struct leat_card_control;

/* Connect to the leat-cardd that serves `run_dir` (NULL: $LEAT_RUN_DIR, else /run/leat for root,
 * $XDG_RUNTIME_DIR/leat for others). -ENOENT or -ECONNREFUSED when none runs. Free with
 * leat_card_control_close. */
int leat_card_control_connect(const char *run_dir, struct leat_card_control **ret_control,
                              struct leat_error *error);
/* NULL is fine. Cards bound to the connection are removed. */
void leat_card_control_close(struct leat_card_control *control);
/* The connection's descriptor, borrowed: readable without a call under way when leat-cardd has
 * gone. */
int leat_card_control_fd(const struct leat_card_control *control);

struct leat_card_device {
    char id[LEAT_CARD_TEXT_MAX]; /* "cpu-0" */
    char name[LEAT_CARD_TEXT_MAX];
    char vendor[LEAT_CARD_TEXT_MAX];
    char platform[LEAT_CARD_TEXT_MAX];
    char driver[LEAT_CARD_TEXT_MAX];
    char kind[LEAT_CARD_TEXT_MAX]; /* "cpu", "gpu" or "accelerator" */
    uint64_t memory_bytes;
    uint64_t max_alloc_bytes;
    uint64_t compute_units;
    uint64_t granted_bytes; /* to cards */
    uint64_t granted_permille;
    uint64_t cards;
};

/* An array, freed with free(3). */
int leat_card_device_list(struct leat_card_control *control, struct leat_card_device **ret_devices,
                          size_t *ret_count, struct leat_error *error);

enum leat_card_create_flags {
    LEAT_CARD_PLAIN = 0,
    LEAT_CARD_BOUND = 1,  /* remove the card when this connection closes, for whatever reason */
    LEAT_CARD_REMOTE = 2, /* of a CUDA device: the program has only a socket, as with OpenCL */
    LEAT_CARD_BURST = 4   /* goes beyond its share while nobody else wants the device */
};

struct leat_card_request {
    const char *card;   /* a name: letters, digits, '-', '_', '.' */
    const char *device; /* NULL: the first */
    const char *token;  /* NULL: a new one; else 32 to 71 lower-case hex digits */
    const char *tenant; /* whose compiled code is kept and used again; NULL: the calling user's */
    uint64_t memory_bytes;
    uint32_t share_permille;
    unsigned flags;    /* enum leat_card_create_flags */
    uint32_t priority; /* 0 to 9: the higher gets the device first, within its share */
};

/* What a program needs to use the card: LEAT_CARD_TOKEN in its environment, and
 * LEAT_CARD_SOCKET. */
struct leat_card_lease {
    char card[LEAT_CARD_TEXT_MAX];
    char device[LEAT_CARD_TEXT_MAX];
    char token[LEAT_CARD_TEXT_MAX]; /* a secret */
    char uuid[LEAT_CARD_TEXT_MAX];  /* of the device, as its driver tells it; may be empty */
};

int leat_card_create(struct leat_card_control *control, const struct leat_card_request *request,
                     struct leat_card_lease *ret_lease, struct leat_error *error);

/* A card's figures. Counts and times run from its creation. */
struct leat_card_status {
    char card[LEAT_CARD_TEXT_MAX];
    char device[LEAT_CARD_TEXT_MAX];
    /* "active", "suspending", "suspended", "resuming", "saving", "loading", "moving", "moved" or
     * "returning" */
    char state[LEAT_CARD_TEXT_MAX];
    char host[LEAT_CARD_TEXT_MAX];  /* where it has moved; else "" */
    uint64_t suspended_bytes;       /* contents in host memory */
    uint64_t suspensions;           /* how often */
    uint64_t suspend_ns, resume_ns; /* how long the last ones took */
    uint64_t memory_quota_bytes, memory_used_bytes, memory_peak_bytes;
    uint64_t share_permille;       /* granted now; 0: released, commands wait */
    uint64_t share_asked_permille; /* at creation, or when it was last resized */
    uint64_t burst, priority;      /* as asked; burst is 0 or 1 */
    uint64_t device_time_ns;       /* measured on the device */
    uint64_t throttled_ns;         /* commands held back for the share */
    uint64_t idle_ms;              /* since the last command ended; 0 while one runs */
    uint64_t age_ms;
    uint64_t sessions, sessions_total; /* processes using it now, ever */
    uint64_t commands;                 /* run on the device */
    uint64_t refusals;                 /* allocations past the quota */
    uint64_t calls_local;              /* API calls answered in the program */
    uint64_t calls_posted;             /* sent, not waited for */
    uint64_t calls_waited;             /* sent and waited for */
    uint64_t records;                  /* messages to the executor, of all kinds */
    uint64_t bytes_to_device, bytes_from_device;
    uint64_t carried_to_device_bytes, carried_from_device_bytes; /* between hosts, unpacked */
    uint64_t line_to_device_bytes, line_from_device_bytes;       /* what went over the line */
    uint64_t wait_ns;                                            /* time programs spent waiting */
    uint64_t builds;                                             /* programs built by the driver */
    uint64_t build_hits;   /* builds answered with a kept result */
    uint64_t share_wanted; /* 1: a program waits while the share is released */
};

/* End the card's sessions and free it. `ret_status` (may be NULL) gets its last figures. */
int leat_card_remove(struct leat_card_control *control, const char *card,
                     struct leat_card_status *ret_status, struct leat_error *error);
/* 0 releases the share: commands wait until it is set again. */
int leat_card_set_share(struct leat_card_control *control, const char *card,
                        uint32_t share_permille, struct leat_error *error);
/* Take the card's contents off its device; its programs wait when they next use it, and its memory
 * and share are free for others. Comes back when it is done; `ret_status` may be NULL. */
int leat_card_suspend(struct leat_card_control *control, const char *card,
                      struct leat_card_status *ret_status, struct leat_error *error);
/* Bring it back, to `device` or (NULL) to where it was. Without room there it stays suspended. */
int leat_card_resume(struct leat_card_control *control, const char *card, const char *device,
                     struct leat_card_status *ret_status, struct leat_error *error);
/* Suspend and resume in one. Without room on `device` it stays where it was. From another host it
 * comes back: `device` NULL, which is for this alone: to the one that it left. */
int leat_card_move(struct leat_card_control *control, const char *card, const char *device,
                   struct leat_card_status *ret_status, struct leat_error *error);
/* To a device of another host, to whose leat-cardd the run folder `relay` leads, that of a near
 * relay. `host` is what people call it. What fails leaves the card where it was. */
int leat_card_depart(struct leat_card_control *control, const char *card, const char *device,
                     const char *relay, const char *host, struct leat_card_status *ret_status,
                     struct leat_error *error);
enum leat_card_resize_flags {
    LEAT_CARD_RESIZE_PLAIN = 0,
    LEAT_CARD_RESIZE_SUSPEND = 1 /* rather than to refuse what is less than the card holds */
};
/* Change the card's size while its programs run; 0 leaves memory or share as it is. -EBUSY when
 * they hold more than `memory_bytes`: with LEAT_CARD_RESIZE_SUSPEND the card is suspended instead,
 * its size as before. */
int leat_card_resize(struct leat_card_control *control, const char *card, uint64_t memory_bytes,
                     uint32_t share_permille, unsigned flags, struct leat_card_status *ret_status,
                     struct leat_error *error);
/* Write what the programs of a suspended card hold on it to `file` (absolute, on leat-cardd's
 * host), which appears when it is whole; and give them back what they held, as long as they run. */
int leat_card_save(struct leat_card_control *control, const char *card, const char *file,
                   struct leat_card_status *ret_status, struct leat_error *error);
int leat_card_load(struct leat_card_control *control, const char *card, const char *file,
                   struct leat_card_status *ret_status, struct leat_error *error);
/* Note the card's commands from now on; what was noted before is dropped. */
int leat_card_trace_start(struct leat_card_control *control, const char *card,
                          struct leat_error *error);
/* End that and get what was noted, at most the last 8192 commands, as JSON in Chrome's trace
 * format. `ret_trace` is freed with free(3). -EALREADY when no trace was begun. */
int leat_card_trace_stop(struct leat_card_control *control, const char *card, char **ret_trace,
                         struct leat_error *error);
int leat_card_show(struct leat_card_control *control, const char *card,
                   struct leat_card_status *ret_status, struct leat_error *error);
/* An array, freed with free(3). */
int leat_card_list(struct leat_card_control *control, struct leat_card_status **ret_cards,
                   size_t *ret_count, struct leat_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
