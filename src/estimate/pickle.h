/* The pickle of a PyTorch archive, walked without executing anything: the calls that rebuild
 * tensors are recognised by name and only their arguments are looked at. */
#ifndef LEAT_ESTIMATE_PICKLE_H
#define LEAT_ESTIMATE_PICKLE_H

#include <stddef.h>
#include <stdint.h>

struct tally;

#define PICKLE_LIMIT_BYTES (16u << 20) /* ten thousand tensors take about two */

/* Count the tensors that dictionaries hold by name, each storage once. 0; -ENOTSUP when the pickle
 * calls something that is not known, and what was counted until then is no use; -EINVAL when it is
 * damaged; -ENOMEM. */
int pickle_walk(const uint8_t *data, size_t length, struct tally *tally);

#endif
