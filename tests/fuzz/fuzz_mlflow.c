/* An MLflow run that somebody imports. */
#include "exchange_round.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    return exchange_round((const char *)data, length, mlflow_read, mlflow_write);
}
