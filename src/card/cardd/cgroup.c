/* Where the control groups are: see cgroup.h. */
#include "card/cardd/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/units.h"

#define PROCS_TEXT_MAX_BYTES (1u << 20)
#define EVENTS_TEXT_MAX_BYTES 4096

/* True when the comma-separated `list` of `length` bytes has `word`. */
static bool list_has(const char *list, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    while (length > 0) {
        const char *comma = memchr(list, ',', length);
        size_t part = comma ? (size_t)(comma - list) : length;
        if (part == word_length && memcmp(list, word, part) == 0)
            return true;
        size_t passed = comma ? part + 1 : part;
        list += passed;
        length -= passed;
    }
    return false;
}

/* The next line: its start and length; NULL at the end. Moves *text on. */
static const char *next_line(const char **text, size_t *ret_length)
{
    const char *line = *text;
    if (!*line)
        return NULL;
    *ret_length = strcspn(line, "\n");
    *text = line + *ret_length + (line[*ret_length] == '\n');
    return line;
}

/* The path of this process in the hierarchy of `controller` ("" for version 2), from lines such as
 * "4:memory:/a/b" and "0::/a/b". */
static bool own_path(const char *groups, const char *controller, char ret_path[PATH_MAX])
{
    size_t length;
    for (const char *line; (line = next_line(&groups, &length));) {
        const char *list = memchr(line, ':', length);
        const char *path = list ? memchr(list + 1, ':', length - (size_t)(list + 1 - line)) : NULL;
        if (!path)
            continue;
        size_t list_length = (size_t)(path - list - 1),
               path_length = length - (size_t)(path + 1 - line);
        bool found = *controller ? list_has(list + 1, list_length, controller) : list_length == 0;
        if (!found || path_length >= PATH_MAX)
            continue;
        memcpy(ret_path, path + 1, path_length);
        ret_path[path_length] = '\0';
        return true;
    }
    return false;
}

/* Fields 4 and 5 of a mountinfo line are root and mount point; after " - " come the type, the
 * source and the options of the file system. */
static bool mount_of(const char *mounts, const char *type, const char *controller,
                     char root[PATH_MAX], char point[PATH_MAX])
{
    size_t length;
    for (const char *line; (line = next_line(&mounts, &length));) {
        char text[2 * PATH_MAX], found_type[32], options[256];
        if (length >= sizeof(text))
            continue;
        memcpy(text, line, length);
        text[length] = '\0';
        const char *tail = strstr(text, " - ");
        if (!tail || sscanf(tail, " - %31s %*s %255s", found_type, options) != 2 ||
            strcmp(found_type, type) != 0)
            continue;
        if (*controller && !list_has(options, strlen(options), controller))
            continue;
        if (sscanf(text, "%*s %*s %*s %4095s %4095s", root, point) == 2)
            return true;
    }
    return false;
}

static bool own_folder(const char *groups, const char *mounts, const char *controller,
                       char ret_folder[PATH_MAX])
{
    char path[PATH_MAX], root[PATH_MAX], point[PATH_MAX];
    if (!own_path(groups, controller, path) ||
        !mount_of(mounts, *controller ? "cgroup" : "cgroup2", controller, root, point))
        return false;
    /* A mount may show a part of the hierarchy only; our group must lie in it. */
    const char *below = path;
    size_t root_length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || !path[root_length]))
        below = path + root_length;
    else
        return false;
    if (strcmp(below, "/") == 0)
        below = "";
    return snprintf(ret_folder, PATH_MAX, "%s%s", point, below) < PATH_MAX;
}

unsigned cgroup_find(const char *groups, const char *mounts,
                     struct cgroup_hierarchy ret_found[CGROUP_HIERARCHIES_MAX])
{
    struct cgroup_hierarchy *memory = &ret_found[0], *cpu = &ret_found[1];
    if (own_folder(groups, mounts, "memory", memory->own)) {
        memory->version = 1;
        memory->memory_file = "memory.limit_in_bytes";
        memory->kills_file = "memory.oom_control";
        memory->weight_file = NULL;
        if (!own_folder(groups, mounts, "cpu", cpu->own))
            return 1;
        cpu->version = 1;
        cpu->memory_file = cpu->kills_file = NULL;
        cpu->weight_file = "cpu.shares";
        return 2;
    }
    if (!own_folder(groups, mounts, "", memory->own))
        return 0;
    memory->version = 2;
    memory->memory_file = "memory.max";
    memory->kills_file = "memory.events";
    memory->weight_file = NULL;
    return 1;
}

static bool file_path(const char *name, const char *file, char ret_path[PATH_MAX])
{
    bool inside = name && *name;
    return snprintf(ret_path, PATH_MAX, "%s%s%s", inside ? name : "", inside ? "/" : "", file) <
           PATH_MAX;
}

int cgroup_put(int dir_fd, const char *name, const char *file, const char *text)
{
    char path[PATH_MAX];
    return file_path(name, file, path) ? file_put(dir_fd, path, text) : -ENAMETOOLONG;
}

uint64_t cgroup_kills(int dir_fd, const char *name, const char *kills_file)
{
    static const char key[] = "oom_kill ";
    char path[PATH_MAX];
    AUTO_BUF struct buf text = BUF_INIT;
    if (!kills_file || !file_path(name, kills_file, path) ||
        file_read(dir_fd, path, EVENTS_TEXT_MAX_BYTES, &text, NULL) < 0 || !text.data)
        return 0;
    const char *rest = text.data;
    size_t length;
    for (const char *line; (line = next_line(&rest, &length));) {
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            return strtoull(line + sizeof(key) - 1, NULL, 10);
    }
    return 0;
}

int cgroup_enter(int dir_fd, const char *name)
{
    return cgroup_put(dir_fd, name, "cgroup.procs", "0");
}

void cgroup_kill(int dir_fd, const char *name)
{
    char path[PATH_MAX];
    AUTO_BUF struct buf procs = BUF_INIT;
    if (!file_path(name, "cgroup.procs", path) ||
        file_read(dir_fd, path, PROCS_TEXT_MAX_BYTES, &procs, NULL) < 0 || !procs.data)
        return;
    char *rest = procs.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        uint64_t pid;
        if (*line && u64_parse(line, &pid, NULL) == 0 && pid > 1 && pid <= INT32_MAX)
            (void)kill((pid_t)pid, SIGKILL); /* it may have ended meanwhile */
    }
}
