/* What the device took for launches: an event before each measurement and one behind it in each of
 * its streams, and one thread
 * for each device that waits for them in the order in which they were made and charges the card.
 * Any thread, unless it says otherwise. */
#ifndef LEAT_CARD_CUDA_MEASURE_H
#define LEAT_CARD_CUDA_MEASURE_H

#include <stdint.h>

#include "card/cuda/types.h"

struct meter;

#define MEASURE_STREAMS 16 /* of one batch */

/* One launch, or a batch of them. Whoever has it owns it. */
struct measurement {
    struct measurement *next;
    unsigned device; /* below CARD_DEVICES_MAX */
    CUcontext context;
    CUevent start; /* in the first of the streams */
    struct {
        CUstream stream;
        enum stream_flavour flavour;
        CUevent end; /* NULL: not made yet */
    } streams[MEASURE_STREAMS];
    unsigned streams_count;
    int has_ends; /* `end` was put into each of them */
    struct meter *meter;
    uint64_t estimate_ns; /* as given to meter_enter */
    uint64_t queued_ns;   /* when it was handed over */
    uint64_t delay_ns;    /* how long the program took to hand over a single launch */
    uint64_t launches;
    uint64_t known_ns; /* of a batch: what its launches take by their paces. 0: a single launch */
    uint64_t *pace;    /* of a single launch: what it takes is noted here */
};

/* A measurement with events of the current context, which is `context` of `device`. NULL: none to
 * be had. */
struct measurement *measure_take(unsigned device, CUcontext context);
/* There is a launch into that stream in it. 0, or -ENOSPC: these are too many. */
int measure_into(struct measurement *m, CUstream stream, enum stream_flavour flavour);
/* Put the first event into the first stream; put the others behind what was launched. In the
 * context. */
CUresult measure_begin(const struct measurement *m);
CUresult measure_end(struct measurement *m);
/* 1: the stream is being captured, or cannot be asked: nothing may be put into it. */
int measure_is_captured(CUstream stream, enum stream_flavour flavour);
/* Hand it to the thread, which charges it and puts it back. */
void measure_queue(struct measurement *m);
/* The meter has not let it in: it is put back. */
void measure_put_back(struct measurement *m);
/* The launch did not happen, though the meter let it in: nothing is charged. */
void measure_call_off(struct measurement *m);
/* A batch was opened, which the device's thread has to close when nobody else does. */
void measure_tell_batch(unsigned device);
/* Wait until all that was taken is measured, on all devices, and give the events back to the
 * driver. */
void measure_drain(void);
/* A child after fork has launched nothing. */
void measure_clear(void);

/* The library's clock, which is the meter's. */
uint64_t measure_now_ns(void);

#endif
