/* The auditor of local cards: a process of its own asks NVIDIA's management library, every few
 * seconds while such a card is in use, what each process really holds of its device. A program that
 * holds more than its slot of the ledger says, and than contexts and modules take by themselves,
 * has gone round its card. */
#ifndef LEAT_CARDD_AUDIT_H
#define LEAT_CARDD_AUDIT_H

#include <stdint.h>

struct audit;
struct cardd;
struct error;

enum audit_policy {
    AUDIT_INVALID,
    AUDIT_OFF,
    AUDIT_WARN,  /* log it and tell the subscribers */
    AUDIT_PAUSE, /* and stop the program (SIGSTOP) */
    AUDIT_KILL   /* and kill it */
};

#define AUDIT_ALLOW_BYTES (1ull << 30) /* what contexts and modules of a program may take */
#define AUDIT_EVERY_MS 5000u

struct audit_options {
    enum audit_policy policy; /* AUDIT_INVALID: warn */
    uint64_t allow_bytes;     /* 0: AUDIT_ALLOW_BYTES */
    uint64_t every_ms;        /* 0: AUDIT_EVERY_MS */
};

/* POLICY[,allow=BYTES][,every=TIME] with off, warn, pause or kill. 0 or -EINVAL. */
int audit_options_parse(const char *text, struct audit_options *ret_options, struct error *err);

/* Fork the process that asks, before there is an event loop. NULL with err set; NULL without an
 * error where nothing is to be audited. */
struct audit *audit_open(struct cardd *cardd, const struct audit_options *options,
                         struct error *err);
/* Begin on the daemon's loop. 0 or a negative errno. */
int audit_start(struct audit *audit);
/* End the process; handles close in the loop's next turns, and audit_close follows it. NULL is
 * fine, as below. */
void audit_stop(struct audit *audit);
void audit_close(struct audit *audit);

#endif
