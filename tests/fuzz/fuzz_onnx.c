/* An ONNX file of any content, with the shapes that its operators give. */
#include "model_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    return model_reader_try(onnx_read, data, length);
}
