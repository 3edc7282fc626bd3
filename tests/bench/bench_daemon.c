/* Load for leatd's REST interface: keep-alive connections to its Unix socket, each with one request
 * on its way at any time, for a given time. Prints one line a figure: name, tab, value.
 *
 * usage: bench_daemon SOCKET CONNECTIONS SECONDS REQUEST-FILE [REQUESTS]
 *
 * REQUEST-FILE holds one whole HTTP request. It ends early when REQUESTS are answered. Any answer
 * but 2xx ends the run. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define REQUEST_MAX 65536
#define ANSWER_MAX 65536
#define LATENCIES_MAX 4000000

struct connection {
    int fd;
    double sent; /* when the request went out */
    size_t length;
    char answer[ANSWER_MAX + 1];
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench_daemon: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail(path);
    return fd;
}

static void send_request(struct connection *connection, const char *request, size_t length)
{
    connection->length = 0;
    connection->sent = now();
    if (write(connection->fd, request, length) != (ssize_t)length)
        fail("cannot send");
}

/* 1 when the whole answer has come. */
static int answer_is_whole(const struct connection *connection)
{
    const char *end = strstr(connection->answer, "\r\n\r\n");
    const char *field = end ? strstr(connection->answer, "Content-Length: ") : NULL;
    if (!field || field > end)
        return 0;
    size_t body = (size_t)strtoull(field + strlen("Content-Length: "), NULL, 10);
    return connection->length >= (size_t)(end + 4 - connection->answer) + body;
}

static int receive(struct connection *connection)
{
    ssize_t n = read(connection->fd, connection->answer + connection->length,
                     ANSWER_MAX - connection->length);
    if (n <= 0)
        fail("cannot receive");
    connection->length += (size_t)n;
    connection->answer[connection->length] = '\0';
    if (!answer_is_whole(connection))
        return 0;
    if (strncmp(connection->answer, "HTTP/1.1 2", 10) != 0) {
        (void)fprintf(stderr, "bench_daemon: refused: %s\n", connection->answer);
        exit(1);
    }
    return 1;
}

static int compare(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

struct load {
    struct connection *connections;
    int count, epoll;
    const char *request;
    size_t request_length;
    float *latencies; /* seconds */
    size_t requests;  /* to send at most */
    size_t sent, answers;
};

static void send_next(struct load *load, struct connection *connection)
{
    if (load->sent == load->requests)
        return;
    load->sent++;
    send_request(connection, load->request, load->request_length);
}

/* How long it took. */
static double load_run(struct load *load, double seconds)
{
    struct epoll_event events[64];
    double begin = now();
    for (int i = 0; i < load->count; i++)
        send_next(load, &load->connections[i]);
    while (now() < begin + seconds && load->answers < load->requests) {
        int ready = epoll_wait(load->epoll, events, 64, 1000);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!receive(connection))
                continue;
            if (load->answers < LATENCIES_MAX)
                load->latencies[load->answers] = (float)(now() - connection->sent);
            load->answers++;
            send_next(load, connection);
        }
    }
    return now() - begin;
}

static void report(struct load *load, double seconds)
{
    size_t count = load->answers < LATENCIES_MAX ? load->answers : LATENCIES_MAX;
    if (!count)
        exit(1);
    qsort(load->latencies, count, sizeof(*load->latencies), compare);
    (void)printf("requests_per_s\t%.0f\nlatency_p50_us\t%.1f\nlatency_p99_us\t%.1f\n",
                 (double)load->answers / seconds, load->latencies[count / 2] * 1e6,
                 load->latencies[count * 99 / 100] * 1e6);
}

int main(int argc, char **argv)
{
    static char request[REQUEST_MAX];
    struct load load = {.request = request};
    if (argc != 5 && argc != 6)
        return 2;
    load.requests = argc == 6 ? (size_t)strtoull(argv[5], NULL, 10) : SIZE_MAX;
    load.count = (int)strtoull(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    int file = open(argv[4], O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, request, sizeof(request));
    if (length <= 0 || load.count < 1 || load.count > CONNECTIONS_MAX)
        fail(argv[4]);
    load.request_length = (size_t)length;
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.latencies = malloc(LATENCIES_MAX * sizeof(*load.latencies));
    load.connections = calloc((size_t)load.count, sizeof(*load.connections));
    if (load.epoll < 0 || !load.latencies || !load.connections)
        fail("no memory");
    for (int i = 0; i < load.count; i++) {
        struct connection *connection = &load.connections[i];
        connection->fd = connect_to(argv[1]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
            fail("epoll");
    }
    report(&load, load_run(&load, seconds));
    return 0;
}
