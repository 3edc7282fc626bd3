/* What the targets of the model readers share: the input is the whole file, in memory; a reader
 * counts it or refuses it with a reason. */
#ifndef LEAT_TESTS_FUZZ_MODEL_READER_H
#define LEAT_TESTS_FUZZ_MODEL_READER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

struct bytes {
    const uint8_t *data;
    size_t length;
};

typedef int model_reader(const struct source *source, struct tally *tally,
                         struct memory_request *request, struct error *err);

static inline int bytes_read_at(void *arg, uint64_t offset, void *data, size_t length)
{
    const struct bytes *bytes = arg;
    assert(offset <= bytes->length && length <= bytes->length - offset);
    memcpy(data, bytes->data + offset, length);
    return 0;
}

static inline int model_reader_try(model_reader *read, const uint8_t *data, size_t length)
{
    struct bytes bytes = {data, length};
    struct source source = {.read_at = bytes_read_at, .arg = &bytes, .size_bytes = length};
    struct memory_request request;
    struct tally tally = {0};
    struct error err = {0};
    memory_request_init(&request);
    int r = read(&source, &tally, &request, &err);
    assert(r == 0 ? !err.text[0] : r < 0 && err.text[0]);
    if (r == 0)
        (void)tally_apply(&tally, &request, NULL); /* either is fine for any file */
    memory_request_finish(&request);
    return 0;
}

#endif
