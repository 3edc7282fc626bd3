/* Where the house keeps its things: see path.h. */
#include "base/path.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"

int path_join(const char *folder, const char *name, char ret_path[PATH_MAX], struct error *err)
{
    char joined[PATH_MAX];
    if (snprintf(joined, sizeof(joined), "%s/%s", folder, name) >= (int)sizeof(joined))
        return error_set(err, -ENAMETOOLONG, "bad-path", "path too long: '%.200s.../%.200s'",
                         folder, name);
    memcpy(ret_path, joined, strlen(joined) + 1);
    return 0;
}

static int make_absolute(const char *path, char ret_path[PATH_MAX], struct error *err)
{
    char here[PATH_MAX];
    if (path[0] == '/')
        return path_join("", path + 1, ret_path, err);
    if (!getcwd(here, sizeof(here)))
        return error_errno(err, -errno, "bad-path", "cannot tell the working directory");
    return path_join(here, path, ret_path, err);
}

static const char *set_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int path_run_dir(const char *option, char ret_path[PATH_MAX], struct error *err)
{
    const char *given = option ? option : set_variable("LEAT_RUN_DIR");
    if (given)
        return make_absolute(given, ret_path, err);
    if (geteuid() == 0)
        return make_absolute("/run/leat", ret_path, err);
    const char *runtime = set_variable("XDG_RUNTIME_DIR");
    if (runtime)
        return path_join(runtime, "leat", ret_path, err);
    char own[PATH_MAX];
    (void)snprintf(own, sizeof(own), "leat-%u", (unsigned)geteuid());
    return path_join("/tmp", own, ret_path, err);
}

int path_state_dir(const char *option, char ret_path[PATH_MAX], struct error *err)
{
    const char *given = option ? option : set_variable("LEAT_STATE_DIR");
    if (given)
        return make_absolute(given, ret_path, err);
    if (geteuid() == 0)
        return make_absolute("/var/lib/leat", ret_path, err);
    const char *state = set_variable("XDG_STATE_HOME"), *home = set_variable("HOME");
    if (state)
        return path_join(state, "leat", ret_path, err);
    if (!home)
        return error_set(err, -ENOENT, "no-state-dir",
                         "HOME is not set; say where to keep state with --state-dir");
    return path_join(home, ".local/state/leat", ret_path, err);
}

int path_cache_dir(char ret_path[PATH_MAX], struct error *err)
{
    const char *given = set_variable("LEAT_CACHE_DIR");
    if (given)
        return make_absolute(given, ret_path, err);
    if (geteuid() == 0)
        return make_absolute("/var/cache/leat", ret_path, err);
    const char *cache = set_variable("XDG_CACHE_HOME"), *home = set_variable("HOME");
    if (cache)
        return path_join(cache, "leat", ret_path, err);
    if (!home)
        return error_set(err, -ENOENT, "no-cache-dir",
                         "HOME is not set; say where to keep compiled code with LEAT_CACHE_DIR");
    return path_join(home, ".cache/leat", ret_path, err);
}

int path_find_beside(const char *what, const char *const *places, char ret_path[PATH_MAX],
                     struct error *err)
{
    char folder[PATH_MAX], place[PATH_MAX], found[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    if (length < 0)
        return error_errno(err, -errno, "bad-path", "cannot tell where this program is");
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    for (; *places; places++) {
        int r = **places == '/' ? path_join("", *places + 1, place, err)
                                : path_join(folder, *places, place, err);
        if (r < 0)
            return r;
        if (realpath(place, found)) {
            memcpy(ret_path, found, strlen(found) + 1);
            return 0;
        }
    }
    return error_set(err, -ENOENT, "not-installed",
                     "%s is not where it should be beside '%s'; install leat again", what, folder);
}
