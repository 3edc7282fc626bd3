/* A safetensors file of any content. */
#include "model_reader.h"

static int read_file(const struct source *source, struct tally *tally,
                     struct memory_request *request, struct error *err)
{
    return safetensors_read(source, tally, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    return model_reader_try(read_file, data, length);
}
