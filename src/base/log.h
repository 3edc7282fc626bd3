/* One line per event on standard error: level, event name, then key=value pairs.
 * Daemons only; library rooms never log above debug. Secrets never go in. */
#ifndef LEAT_BASE_LOG_H
#define LEAT_BASE_LOG_H

enum log_level { LOG_INVALID, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* What passes is decided by LEAT_LOG (error, warn, info, debug) at the first line; default info. */
/* `pairs` is a printf format that yields `key=value key="two words"`; write text values with
 * %s inside quotes: log_event(LOG_INFO, "job.started", "job=%llu device=\"%s\"", ...). Newlines in
 * the result are turned into spaces. Thread-safe: one write(2) a line. */
void log_event(enum log_level level, const char *event, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));

#endif
