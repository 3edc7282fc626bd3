/* A config.json of any content. */
#include "model_reader.h"

static int read_file(const struct source *source, struct tally *tally,
                     struct memory_request *request, struct error *err)
{
    const struct bytes *bytes = source->arg;
    return config_json_read((const char *)bytes->data, bytes->length, request, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    return model_reader_try(read_file, data, length);
}
