/* The pickle of a PyTorch archive, of any content: walked, never run. */
#include <stddef.h>
#include <stdint.h>

#include "estimate/pickle.h"
#include "estimate/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct tally tally = {0};
    return pickle_walk(data, length, &tally) > 0; /* never */
}
