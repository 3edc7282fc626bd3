/* Checkpoints: a header that says what is inside, the state of the net, and a checksum over both.
 * A file appears whole or not at all, also when the machine stops in the middle of writing. */
#ifndef DIGITS_CHECKPOINT_H
#define DIGITS_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

/* What must be the same for training to go on bit by bit where it stopped, and where that was. */
struct progress {
    uint64_t seed;
    uint32_t batch;
    uint32_t reserved; /* 0 */
    uint64_t step;     /* steps done */
};

/* Both end the program with a message when the file cannot be written, or is damaged, of another
 * version or of another net. */
void checkpoint_write(const char *path, const struct progress *progress, const void *state,
                      size_t bytes);
/* Returns 0, or -1 when there is no such file: nothing to resume from. */
int checkpoint_read(const char *path, struct progress *ret_progress, void *ret_state, size_t bytes);

#endif
