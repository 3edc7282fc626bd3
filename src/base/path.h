/* Where the house keeps its things: the rule is the same for every program. */
#ifndef LEAT_BASE_PATH_H
#define LEAT_BASE_PATH_H

#include <limits.h>

struct error;

/* The run folder (sockets, locks): `option` if given, else $LEAT_RUN_DIR, else /run/leat for root,
 * $XDG_RUNTIME_DIR/leat or /tmp/leat-UID for others. Absolute; not made. */
int path_run_dir(const char *option, char ret_path[PATH_MAX], struct error *err);
/* The state folder (database, images, jobs): `option`, else $LEAT_STATE_DIR, else /var/lib/leat for
 * root, $XDG_STATE_HOME/leat or ~/.local/state/leat for others. Absolute; not made. */
int path_state_dir(const char *option, char ret_path[PATH_MAX], struct error *err);

/* The cache folder (what can be made again): $LEAT_CACHE_DIR, else /var/cache/leat for root,
 * $XDG_CACHE_HOME/leat or ~/.cache/leat for others. Absolute; not made. */
int path_cache_dir(char ret_path[PATH_MAX], struct error *err);

/* The first of `places` (NULL-ended; relative to the folder of the running program, or absolute)
 * that exists: how a program finds its companions in a build tree and once installed. Without
 * symbolic links. -ENOENT, naming `what`. */
int path_find_beside(const char *what, const char *const *places, char ret_path[PATH_MAX],
                     struct error *err);

/* `folder`/`name` in a buffer; -ENAMETOOLONG. */
int path_join(const char *folder, const char *name, char ret_path[PATH_MAX], struct error *err);

#endif
