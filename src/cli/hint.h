/* What a user can do about a failure, by its stable code. */
#ifndef LEAT_CLI_HINT_H
#define LEAT_CLI_HINT_H

/* One line, or NULL when the failure's own text says it all. */
const char *hint_find(const char *code);

#endif
