/* Driver files by NVIDIA's own tool: see cuda_list.h. */
#include "core/cuda_list.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "core/core_impl.h"

#define TOOL "nvidia-container-cli"
#define LISTING_MAX (64u << 10) /* bytes; a driver has some fifty files */

struct cuda_listing {
    uv_process_t process; /* the tool */
    struct core *core;
    int output_fd;
    bool runs;
    char *text; /* NULL: none */
};

bool cuda_list_find(const char *listing, const char *library, char ret_path[PATH_MAX])
{
    const char *so = strstr(library, ".so");
    size_t stem = so ? (size_t)(so - library) + strlen(".so") : strlen(library);
    for (const char *line = listing; line && *line;) {
        size_t length = strcspn(line, "\n"), name = length;
        while (name > 0 && line[name - 1] != '/')
            name--;
        if (line[0] == '/' && length < PATH_MAX && length - name >= stem &&
            strncmp(line + name, library, stem) == 0 &&
            (length - name == stem || line[name + stem] == '.')) {
            memcpy(ret_path, line, length);
            ret_path[length] = '\0';
            return true;
        }
        line += length + (line[length] == '\n');
    }
    return false;
}

static void on_closed(uv_handle_t *handle)
{
    struct cuda_listing *listing = handle->data;
    (void)close(listing->output_fd); /* of no use any more */
    core_handle_closed(listing->core);
}

static void on_ended(uv_process_t *process, int64_t status, int number)
{
    struct cuda_listing *listing = process->data;
    char *text = status == 0 && number == 0 ? calloc(1, LISTING_MAX + 1) : NULL;
    ssize_t got = text ? pread(listing->output_fd, text, LISTING_MAX, 0) : -1;
    listing->runs = false;
    uv_close((uv_handle_t *)process, on_closed);
    if (got < 0) {
        free(text);
        log_event(LOG_WARN, "cuda.unlisted", "tool=" TOOL " status=%d signal=%d", (int)status,
                  number);
        return;
    }
    listing->text = text;
    log_event(LOG_INFO, "cuda.listed", "tool=" TOOL " bytes=%zd", got);
}

static int start_tool(struct cuda_listing *listing)
{
    char file[] = TOOL, list[] = "list";
    char *args[] = {file, list, NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = listing->output_fd},
        {.flags = UV_IGNORE},
    };
    const uv_process_options_t options = {
        .file = file, .args = args, .stdio = stdio, .stdio_count = 3, .exit_cb = on_ended};
    core_handle_open(listing->core);
    return uv_spawn(listing->core->loop, &listing->process, &options);
}

void cuda_list_open(struct core *core)
{
    struct cuda_listing *listing = calloc(1, sizeof(*listing));
    core->cuda_listing = listing;
    if (!listing)
        return;
    listing->core = core;
    listing->process.data = listing;
    listing->output_fd = memfd_create("cuda-list", MFD_CLOEXEC);
    if (listing->output_fd < 0)
        return;
    listing->runs = start_tool(listing) == 0;
    if (!listing->runs)
        uv_close((uv_handle_t *)&listing->process, on_closed); /* most of the time: no such tool */
}

void cuda_list_close(struct core *core)
{
    struct cuda_listing *listing = core->cuda_listing;
    if (listing && listing->runs)
        uv_close((uv_handle_t *)&listing->process, on_closed);
    if (listing)
        listing->runs = false;
}

void cuda_list_destroy(struct core *core)
{
    if (core->cuda_listing)
        free(core->cuda_listing->text);
    free(core->cuda_listing);
}

const char *cuda_list_text(const struct core *core)
{
    return core->cuda_listing ? core->cuda_listing->text : NULL;
}
