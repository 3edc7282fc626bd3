/* Log lines: see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 2048

static const char *const level_names[] = {"invalid", "error", "warn", "info", "debug"};

static int log_enabled(enum log_level level)
{
    static int limit; /* written with the same value by whoever comes first */
    int known = __atomic_load_n(&limit, __ATOMIC_RELAXED);
    if (!known) {
        const char *wanted = getenv("LEAT_LOG");
        known = LOG_INFO;
        for (int i = LOG_ERROR; wanted && i <= LOG_DEBUG; i++) {
            if (strcmp(wanted, level_names[i]) == 0)
                known = i;
        }
        __atomic_store_n(&limit, known, __ATOMIC_RELAXED);
    }
    return (int)level <= known;
}

void log_event(enum log_level level, const char *event, const char *pairs, ...)
{
    if (!log_enabled(level))
        return;
    char line[LOG_LINE_MAX], stamp[TIME_TEXT_MAX];
    int used = snprintf(line, sizeof(line), "%s %s %s ", time_text(clock_realtime_us(), stamp),
                        level_names[level], event);
    va_list args;
    va_start(args, pairs);
    int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, pairs, args);
    va_end(args);
    size_t length = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (length > sizeof(line) - 2)
        length = sizeof(line) - 2;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == '\177') /* nor what a terminal obeys */
            line[i] = ' ';
    }
    line[length++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored; /* a log that cannot be written has nowhere to be reported */
}
