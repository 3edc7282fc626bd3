/* /metrics in the text format of Prometheus, version 0.0.4. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "api/api_impl.h"
#include "api/handlers.h"
#include "api/request.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/fd.h"
#include "core/core.h"

struct metrics_text {
    struct buf out;
    char name[128]; /* of the last figure: its head is written once */
};

static void metrics_put(void *arg, const struct core_metric *metric)
{
    struct metrics_text *text = arg;
    if (strcmp(text->name, metric->name) != 0) {
        (void)buf_printf(&text->out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                         metric->name, metric->type);
        (void)snprintf(text->name, sizeof(text->name), "%s", metric->name); /* names are short */
    }
    (void)buf_printf(&text->out, "%s%s%s%s %.17g\n", metric->name, metric->label ? "{" : "",
                     metric->label ? metric->label : "", metric->label ? "}" : "", metric->value);
}

/* Pages of 4 KiB in /proc/self/statm: total, resident, ... */
static double resident_bytes(void)
{
    AUTO_BUF struct buf text = BUF_INIT;
    unsigned long long total, resident;
    if (file_read(AT_FDCWD, "/proc/self/statm", 4096, &text, NULL) < 0 ||
        sscanf(text.data, "%llu %llu", &total, &resident) != 2)
        return 0;
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void metrics_http(const struct api *api, struct metrics_text *text)
{
    static const char *const classes[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};
    static const char *const doors[] = {"unix", "tcp"};
    char label[32];
    struct core_metric metric = {.name = "leat_http_requests_total",
                                 .help = "HTTP requests answered, by class of status.",
                                 .type = "counter",
                                 .label = label};
    for (size_t i = 2; i < sizeof(classes) / sizeof(classes[0]); i++) {
        (void)snprintf(label, sizeof(label), "code=\"%s\"", classes[i]); /* fits */
        metric.value = (double)api->answers[i];
        metrics_put(text, &metric);
    }
    metric.name = "leat_http_connections";
    metric.help = "HTTP connections open now.";
    metric.type = "gauge";
    for (size_t i = 0; i < DOOR_COUNT; i++) {
        if (!api->doors[i].server)
            continue;
        (void)snprintf(label, sizeof(label), "door=\"%s\"", doors[i]); /* fits */
        metric.value = server_connections(api->doors[i].server);
        metrics_put(text, &metric);
    }
    metric.name = "leat_http_streams";
    metric.help = "Log followers and event streams open now.";
    metric.label = NULL;
    metric.value = api->streams;
    metrics_put(text, &metric);
}

void handle_metrics(struct request *request)
{
    struct metrics_text text = {.out = BUF_INIT};
    core_metrics(request_core(request), metrics_put, &text);
    metrics_http(request_api(request), &text);
    metrics_put(&text, &(struct core_metric){.name = "process_resident_memory_bytes",
                                             .help = "Memory of leatd that is in RAM.",
                                             .type = "gauge",
                                             .value = resident_bytes()});
    request_answer_text(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                        buf_take(&text.out));
}
