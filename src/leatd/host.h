/* What leatd asks of the host it runs on: to be the only one, and to be heard when it is ready. */
#ifndef LEAT_LEATD_HOST_H
#define LEAT_LEATD_HOST_H

struct error;

/* Make `folder` (0711 when it is new) and be the only one that holds the lock `name` in it until
 * the process ends. Returns a descriptor to keep, or -EBUSY "already-running" and the like. */
int host_lock(const char *folder, const char *name, struct error *err);
/* The service manager's socket, taken out of the environment: a container runtime that finds
 * NOTIFY_SOCKET takes it for its own. "" without a manager. */
#define HOST_MANAGER_MAX 108
void host_manager_take(char ret_manager[HOST_MANAGER_MAX]);
/* Tell the manager (sd_notify's protocol): "READY=1" and the like. */
void host_notify(const char *manager, const char *state);

#endif
