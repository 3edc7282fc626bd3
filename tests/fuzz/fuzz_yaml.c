/* The YAML edge: whatever is read is written so that it reads back as the same value. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/yaml.h"

#define INPUT_MAX (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct error err = {0};
    AUTO_JSON json_t *value = yaml_parse((const char *)data, length, INPUT_MAX, &err);
    if (!value) {
        if (err.errnum >= 0 || !err.code[0] || !err.text[0])
            abort(); /* a refusal without a reason */
        return 0;
    }
    char *text = yaml_text(value);
    AUTO_JSON json_t *again = yaml_parse(text, strlen(text), SIZE_MAX, &err);
    if (!again || !json_equal(value, again)) {
        (void)fprintf(stderr, "%s\n--- %s\n", text, err.text);
        abort();
    }
    free(text);
    return 0;
}
