/* A model card that somebody imports: YAML in front of Markdown. */
#include "exchange_round.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    return exchange_round((const char *)data, length, card_read, card_write);
}
