/* Amounts as text: see units.h. */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>

#include "base/error.h"

struct unit {
    const char *name;
    double factor;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"K", 1e3},
    {"KB", 1e3},
    {"M", 1e6},
    {"MB", 1e6},
    {"G", 1e9},
    {"GB", 1e9},
    {"T", 1e12},
    {"TB", 1e12},
    {"KiB", 1024.0},
    {"MiB", 1048576.0},
    {"GiB", 1073741824.0},
    {"TiB", 1099511627776.0},
    {NULL, 0},
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"min", 60e3}, {"h", 3600e3}, {"d", 86400e3}, {NULL, 0},
};

static const struct unit share_units[] = {{"%", 10}, {"", 1000}, {"m", 1}, {NULL, 0}};

/* Digits with an optional fraction, then a unit of the table, spaces allowed in between. */
static bool amount_parse(const char *text, const struct unit *units, double *ret_value)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    const char *end = text;
    double digits = 0, scale = 1; /* divided once, at the end: exact for what people write */
    for (; isdigit((unsigned char)*end); end++)
        digits = digits * 10 + (*end - '0');
    if (*end == '.') {
        for (end++; isdigit((unsigned char)*end); end++, scale *= 10)
            digits = digits * 10 + (*end - '0');
    }
    while (*end == ' ')
        end++;
    for (; units->name; units++) {
        if (strcmp(units->name, end) == 0) {
            *ret_value = digits * units->factor / scale;
            return isfinite(*ret_value);
        }
    }
    return false;
}

int u64_parse(const char *text, uint64_t *ret_value, struct error *err)
{
    uint64_t value = 0;
    const char *c = text;
    for (; isdigit((unsigned char)*c); c++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            return error_set(err, -ERANGE, "bad-number", "'%s' is too large", text);
    }
    if (c == text || *c)
        return error_set(err, -EINVAL, "bad-number", "'%s' is not a whole number", text);
    *ret_value = value;
    return 0;
}

int bytes_parse(const char *text, uint64_t *ret_bytes, struct error *err)
{
    double value;
    uint64_t whole;
    if (u64_parse(text, &whole, NULL) == 0 && whole <= INT64_MAX) {
        *ret_bytes = whole;
        return 0;
    }
    if (!amount_parse(text, byte_units, &value))
        return error_set(err, -EINVAL, "bad-bytes",
                         "'%s' is not an amount of memory; write for example 512MiB or 2GiB", text);
    if (value > 9.2e18 || value != floor(value))
        return error_set(err, -ERANGE, "bad-bytes",
                         "'%s' is not a whole number of bytes below 8 EiB", text);
    *ret_bytes = (uint64_t)value;
    return 0;
}

int share_parse(const char *text, uint32_t *ret_permille, struct error *err)
{
    double value;
    if (!amount_parse(text, share_units, &value))
        return error_set(err, -EINVAL, "bad-share",
                         "'%s' is not a share of a device; write for example 25%% or 0.25", text);
    value = nearbyint(value);
    if (value < 1 || value > 1000)
        return error_set(err, -ERANGE, "bad-share",
                         "a share must lie between 0.1%% and 100%%; asked: '%s'", text);
    *ret_permille = (uint32_t)value;
    return 0;
}

int duration_parse(const char *text, uint64_t *ret_ms, struct error *err)
{
    double value;
    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return 0;
    }
    if (!amount_parse(text, duration_units, &value))
        return error_set(err, -EINVAL, "bad-duration",
                         "'%s' is not a duration; write for example 30s, 10m or 1.5h", text);
    if (value > 9e15)
        return error_set(err, -ERANGE, "bad-duration", "'%s' is too long", text);
    *ret_ms = (uint64_t)value;
    return 0;
}

const char *bytes_text(uint64_t bytes, char text[UNITS_TEXT_MAX])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof(names) / sizeof(names[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, UNITS_TEXT_MAX, value == floor(value) ? "%.0f %s" : "%.1f %s", value,
                   names[unit]);
    return text;
}

const char *share_text(uint32_t permille, char text[UNITS_TEXT_MAX])
{
    if (permille % 10)
        (void)snprintf(text, UNITS_TEXT_MAX, "%u.%u %%", permille / 10, permille % 10);
    else
        (void)snprintf(text, UNITS_TEXT_MAX, "%u %%", permille / 10);
    return text;
}

const char *duration_text(uint64_t ms, char text[UNITS_TEXT_MAX])
{
    uint64_t s = ms / 1000;
    if (ms < 1000)
        (void)snprintf(text, UNITS_TEXT_MAX, "%u ms", (unsigned)ms);
    else if (s < 60)
        (void)snprintf(text, UNITS_TEXT_MAX, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        (void)snprintf(text, UNITS_TEXT_MAX, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        (void)snprintf(text, UNITS_TEXT_MAX, "%uh%02um", (unsigned)(s / 3600),
                       (unsigned)(s / 60 % 60));
    else
        (void)snprintf(text, UNITS_TEXT_MAX, "%ud%02uh", (unsigned)(s / 86400 % 100000),
                       (unsigned)(s / 3600 % 24));
    return text;
}
