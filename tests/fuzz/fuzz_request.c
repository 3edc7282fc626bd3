/* A request and a record of any content: refused with a reason, or what is encoded again says the
 * same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "model/device.h"
#include "model/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void try_request(const json_t *value)
{
    struct job_request request, again;
    struct error err = {0};
    job_request_init(&request);
    job_request_init(&again);
    if (job_request_decode(value, &request, &err) == 0) {
        AUTO_JSON json_t *once = job_request_encode(&request);
        assert(once && job_request_decode(once, &again, &err) == 0);
        AUTO_JSON json_t *twice = job_request_encode(&again);
        assert(json_equal(once, twice));
        assert(job_request_check(&request, &err) == 0 || err.text[0]);
    } else {
        assert(err.code[0] && err.text[0]);
    }
    job_request_finish(&request);
    job_request_finish(&again);
}

static void try_record(const json_t *value)
{
    struct job job;
    job_init(&job);
    if (job_record_decode(value, &job, NULL) == 0) {
        AUTO_JSON json_t *record = job_record_encode(&job);
        AUTO_JSON json_t *shown = job_encode(&job);
        assert(record && shown);
    }
    job_finish(&job);
}

static void try_card_daemon(const json_t *value)
{
    struct device device;
    struct card_usage usage;
    if (device_decode(value, &device, NULL) == 0)
        device_finish(&device);
    if (card_usage_decode(value, &usage, NULL) == 0)
        card_usage_finish(&usage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct error err = {0};
    AUTO_JSON json_t *value = json_parse((const char *)data, length, JSON_TEXT_LIMIT_BYTES, &err);
    if (!value) {
        assert(err.text[0]);
        return 0;
    }
    try_request(value);
    try_record(value);
    try_card_daemon(value);
    return 0;
}
