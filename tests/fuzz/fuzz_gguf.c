/* A GGUF file of any content. */
#include "model_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    return model_reader_try(gguf_read, data, length);
}
