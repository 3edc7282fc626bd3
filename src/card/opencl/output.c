/* Fetching and printing what kernels printed: see output.h. */
#include "card/opencl/output.h"

#include "card/opencl/process.h"
#include "card/opencl/transfer.h"

#define ROOM_BYTES 65536u

void output_expect(const void *program, size_t length)
{
    static const char word[] = "printf"; /* as every front end of OpenCL C leaves it in binaries */
    if (memmem(program, length, word, sizeof(word) - 1))
        __atomic_store_n(&process.prints, 1, __ATOMIC_RELAXED);
}

/* One piece through the slab at `offset`; returns how many bytes are left. */
static uint64_t forward_piece(uint64_t offset)
{
    uint64_t left = 0, length = 0;
    struct wire_output_read *record = record_begin(sizeof(*record));
    if (!record)
        return 0;
    record->reply_offset = offset;
    record->reply_room = ROOM_BYTES;
    if (record_wait(record, WIRE_OUTPUT_READ, sizeof(*record), &left, &length) != CL_SUCCESS)
        return 0;
    /* A closed standard output is the program's own affair. */
    (void)fwrite(slab_at(offset), 1, (size_t)length, stdout);
    if (length > 0)
        (void)fflush(stdout);
    return left;
}

void output_forward(void)
{
    uint64_t offset;
    if (!__atomic_load_n(&process.prints, __ATOMIC_RELAXED))
        return;
    (void)pthread_mutex_lock(&process.output_lock);
    if (slab_reserve(ROOM_BYTES, &offset) == CL_SUCCESS) {
        while (forward_piece(offset) > 0)
            continue;
        slab_release(offset, ROOM_BYTES);
    }
    (void)pthread_mutex_unlock(&process.output_lock);
}
