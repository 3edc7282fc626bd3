/* A model file of any content, through every reader: refused with a reason, or counted. The first
 * byte chooses the reader. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "estimate/memory.h"
#include "estimate/pickle.h"
#include "estimate/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

struct bytes {
    const uint8_t *data;
    size_t length;
};

static int bytes_read_at(void *arg, uint64_t offset, void *data, size_t length)
{
    const struct bytes *bytes = arg;
    assert(offset <= bytes->length && length <= bytes->length - offset);
    memcpy(data, bytes->data + offset, length);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length == 0)
        return 0;
    struct bytes bytes = {data + 1, length - 1};
    struct source source = {.read_at = bytes_read_at, .arg = &bytes, .size_bytes = length - 1};
    struct memory_request request;
    struct tally tally = {0};
    struct error err = {0};
    int r;
    memory_request_init(&request);
    if (data[0] == 's')
        r = safetensors_read(&source, &tally, &err);
    else if (data[0] == 'g')
        r = gguf_read(&source, &tally, &request, &err);
    else if (data[0] == 'o')
        r = onnx_read(&source, &tally, &request, &err);
    else if (data[0] == 'p')
        r = pytorch_read(&source, &tally, &err);
    else if (data[0] == 'k')
        return pickle_walk(bytes.data, bytes.length, &tally) > 0; /* never */
    else
        r = config_json_read((const char *)bytes.data, bytes.length, &request, &err);
    assert(r == 0 ? !err.text[0] : err.text[0]);
    if (r == 0)
        (void)tally_apply(&tally, &request, NULL); /* either is fine for any file */
    memory_request_finish(&request);
    return 0;
}
