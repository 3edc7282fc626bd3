/* Any line from a control connection: decoded or refused with a code, nothing lost. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "card/cardd/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request request;
    struct error error = {0};
    if (control_request_decode((const char *)data, size, &request, &error) == 0) {
        if (request.op == CONTROL_INVALID || request.op >= CONTROL_OPS)
            __builtin_trap();
        control_request_finish(&request);
    } else if (error.errnum >= 0 || !error.code[0]) {
        __builtin_trap();
    }
    return 0;
}
