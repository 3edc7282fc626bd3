/* Listening sockets. */
#ifndef LEAT_API_LISTEN_H
#define LEAT_API_LISTEN_H

struct error;

/* Bind a Unix socket (mode 0660) at `path`. A socket file nobody answers on is replaced; one with a
 * living server is refused with -EADDRINUSE. Returns the descriptor or a negative errno. */
int listen_unix(const char *path, struct error *err);
/* "HOST:PORT" or "[HOST]:PORT"; HOST is a name or an address. Returns the descriptor. */
int listen_tcp(const char *where, struct error *err);

#endif
