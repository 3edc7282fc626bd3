/* What the way to a card of another host costs: calls and copies of a program, and what a plain
 * connection with the same TLS takes for the same. Prints "name<TAB>value" lines; bench_relay.py
 * runs it both ways.
 *
 *   bench_relay card MIB random|text            on a card, or directly: copies of up to so much of
 * that bench_relay serve ADDRESS [CERT KEY]        the connection's other end; prints its
 * fingerprint bench_relay call ADDRESS MIB [FINGERPRINT]  ping-pong and streams */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/error.h"
#include "card/relay/conn.h"

#define TRIPS_MOST 2000
#define ROUNDS_MOST 15
#define ROUNDS_LEAST 3
#define LIMIT_S 0.3 /* of one figure, when it has enough samples */
#define LAUNCHES 10000
#define ANSWER_BYTES 4

enum way { WAY_PING, WAY_THERE, WAY_BACK };

struct request {
    uint64_t way, bytes;
};

static const size_t sizes[] = {64u << 10, 1u << 20, 4u << 20, 16u << 20, 64u << 20};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define SIZE_MOST (64u << 20)

static _Noreturn void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_relay: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(cl_int status, const char *what)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "status %d", status);
    if (status != CL_SUCCESS)
        fail(what, text);
}

static void check_conn(int result)
{
    if (result < 0)
        fail("connection", strerror(-result));
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median time of a call of `run`. */
static double median_s(void (*run)(void *, size_t), void *arg, size_t bytes, unsigned least,
                       unsigned most)
{
    static double times[TRIPS_MOST];
    unsigned count = 0;
    double start = now_s(), end = start;
    while (count < most && (count < least || end - start < LIMIT_S)) {
        double begin = end;
        run(arg, bytes);
        end = now_s();
        times[count++] = end - begin;
    }
    qsort(times, count, sizeof(times[0]), by_value);
    return times[count / 2];
}

static void print_copies(const char *name, size_t most, void (*run)(void *, size_t), void *arg)
{
    for (size_t i = 0; i < SIZES && sizes[i] <= most; i++) {
        run(arg, sizes[i]); /* what only the first copy costs */
        double seconds = median_s(run, arg, sizes[i], ROUNDS_LEAST, ROUNDS_MOST);
        printf("%s_%zukib_gb_per_s\t%.6f\n", name, sizes[i] >> 10,
               (double)sizes[i] / seconds / 1e9);
    }
}

/* ---- a plain connection ---- */

struct link {
    struct conn *conn;
    uint8_t *bytes;
};

static void ask(struct link *link, enum way way, size_t bytes)
{
    const struct request request = {way, bytes};
    check_conn(conn_put(link->conn, &request, sizeof(request)));
    if (way == WAY_THERE)
        check_conn(conn_put(link->conn, link->bytes, bytes));
    check_conn(conn_flush(link->conn));
    check_conn(conn_read(link->conn, link->bytes, way == WAY_BACK ? bytes : ANSWER_BYTES));
}

static void ping(void *link, size_t bytes)
{
    ask(link, WAY_PING, bytes);
}

static void stream_there(void *link, size_t bytes)
{
    ask(link, WAY_THERE, bytes);
}

static void stream_back(void *link, size_t bytes)
{
    ask(link, WAY_BACK, bytes);
}

static void call(const char *address, size_t most, const char *fingerprint)
{
    struct error err = {0};
    struct link link = {.bytes = calloc(1, SIZE_MOST)};
    if (!link.bytes || conn_dial(address, fingerprint, &link.conn, &err) < 0)
        fail("call", err.text);
    memset(link.bytes, 1, SIZE_MOST);
    printf("trip_us\t%.3f\n", median_s(ping, &link, 0, 100, TRIPS_MOST) * 1e6);
    print_copies("there", most, stream_there, &link);
    print_copies("back", most, stream_back, &link);
    conn_close(link.conn);
}

static void answer(struct conn *conn, uint8_t *bytes)
{
    struct request request;
    while (conn_read(conn, &request, sizeof(request)) == 0) {
        if (request.bytes > SIZE_MOST)
            fail("serve", "a request is too large");
        if (request.way == WAY_THERE)
            check_conn(conn_read(conn, bytes, request.bytes));
        check_conn(conn_put(conn, bytes, request.way == WAY_BACK ? request.bytes : ANSWER_BYTES));
        check_conn(conn_flush(conn));
    }
    conn_close(conn);
}

/* One caller. */
static void serve(const char *address, const char *cert, const char *key)
{
    struct error err = {0};
    char fingerprint[FINGERPRINT_TEXT_MAX] = "";
    struct conn_server *server = cert ? conn_server_load(cert, key, fingerprint, &err) : NULL;
    struct conn *conn;
    uint8_t *bytes = calloc(1, SIZE_MOST);
    int fd;
    if (!bytes || (cert && !server) || conn_listen(address, cert != NULL, &fd, &err) < 0)
        fail("serve", err.text);
    memset(bytes, 1, SIZE_MOST);
    printf("%s\n", fingerprint);
    (void)fflush(stdout);
    if (conn_accept(accept(fd, NULL, NULL), server, &conn, &err) < 0)
        fail("accept", err.text);
    answer(conn, bytes);
}

/* ---- a card ---- */

static const char source[] = "kernel void nothing(global int *x, const int a) { }\n";

struct card {
    cl_command_queue queue;
    cl_kernel kernel;
    cl_mem buffer;
    uint8_t *bytes;
};

/* Words are packed to half their length, about. */
static void fill(uint8_t *bytes, size_t count, const char *what)
{
    static const char *const words[] = {"pressure ", "of ",     "the ",     "measured ",
                                        "vessel ",   "rises ",  "slowly, ", "temperature ",
                                        "falls. ",   "Nobody ", "knew ",    "why, "};
    uint64_t state = 1;
    for (size_t at = 0, length = 1; at < count; at += length) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const char *word = words[(state >> 33) % (sizeof(words) / sizeof(words[0]))];
        if (strcmp(what, "random") == 0) {
            bytes[at] = (uint8_t)(state >> 56);
            continue;
        }
        length = strlen(word) < count - at ? strlen(word) : count - at;
        memcpy(bytes + at, word, length);
        if (length > 4)
            bytes[at] = (uint8_t)('a' + (state >> 40) % 26);
    }
}

static void card_open(struct card *card, const char *what)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_int status;
    const char *text = source;
    check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    check(status, "clCreateContext");
    card->queue = clCreateCommandQueue(context, device, 0, &status);
    check(status, "clCreateCommandQueue");
    cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &status);
    check(status, "clCreateProgramWithSource");
    check(clBuildProgram(program, 1, &device, "", NULL, NULL), "clBuildProgram");
    card->kernel = clCreateKernel(program, "nothing", &status);
    check(status, "clCreateKernel");
    card->buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, SIZE_MOST, NULL, &status);
    check(status, "clCreateBuffer");
    card->bytes = malloc(SIZE_MOST);
    if (!card->bytes)
        fail("card", "out of memory");
    fill(card->bytes, SIZE_MOST, what);
}

static void card_read(void *arg, size_t bytes)
{
    const struct card *card = arg;
    check(clEnqueueReadBuffer(card->queue, card->buffer, CL_TRUE, 0, bytes, card->bytes, 0, NULL,
                              NULL),
          "clEnqueueReadBuffer");
}

/* It has arrived when it has ended: a blocking write may return before. */
static void card_write(void *arg, size_t bytes)
{
    const struct card *card = arg;
    check(clEnqueueWriteBuffer(card->queue, card->buffer, CL_TRUE, 0, bytes, card->bytes, 0, NULL,
                               NULL),
          "clEnqueueWriteBuffer");
    check(clFinish(card->queue), "clFinish");
}

static void card_launches(void *arg, size_t count)
{
    const struct card *card = arg;
    const size_t global = 1;
    const cl_int value = 1;
    check(clSetKernelArg(card->kernel, 0, sizeof(card->buffer), &card->buffer), "clSetKernelArg");
    check(clSetKernelArg(card->kernel, 1, sizeof(value), &value), "clSetKernelArg");
    for (size_t i = 0; i < count; i++)
        check(clEnqueueNDRangeKernel(card->queue, card->kernel, 1, NULL, &global, NULL, 0, NULL,
                                     NULL),
              "clEnqueueNDRangeKernel");
    check(clFinish(card->queue), "clFinish");
}

static void measure_card(size_t most, const char *what)
{
    struct card card;
    card_open(&card, what);
    card_launches(&card, 1);
    card_write(&card, ANSWER_BYTES);
    printf("trip_us\t%.3f\n", median_s(card_read, &card, ANSWER_BYTES, 100, TRIPS_MOST) * 1e6);
    printf("launch_us\t%.3f\n",
           median_s(card_launches, &card, LAUNCHES, ROUNDS_LEAST, ROUNDS_MOST) * 1e6 / LAUNCHES);
    print_copies("there", most, card_write, &card);
    print_copies("back", most, card_read, &card);
}

static size_t mib(const char *text)
{
    return strtoul(text, NULL, 10) << 20;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 4 && strcmp(what, "card") == 0)
        measure_card(mib(argv[2]), argv[3]);
    else if ((argc == 3 || argc == 5) && strcmp(what, "serve") == 0)
        serve(argv[2], argc == 5 ? argv[3] : NULL, argc == 5 ? argv[4] : NULL);
    else if ((argc == 4 || argc == 5) && strcmp(what, "call") == 0)
        call(argv[2], mib(argv[3]), argc == 5 ? argv[4] : NULL);
    else
        fail("usage", "see the beginning of bench_relay.c");
    return EXIT_SUCCESS;
}
