/* Train a small neural network to read digits, on any OpenCL device: the options and the loop.
 * What is drawn is in dataset.c, what runs on the device in net.c and kernels.cl. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "dataset.h"
#include "device.h"
#include "net.h"

#define MOMENTUM 0.9f
#define RATE 0.05f
#define RATE_HALVED_AT 1000 /* steps; depends on nothing else, so a longer run begins the same */

extern const char kernels_source[];

struct options {
    uint64_t steps, seed, sleep_step;
    uint32_t batch, report;
    double sleep_seconds;
    const char *checkpoint, *metrics;
    int resume;
};

static const char usage[] =
    "usage: digits [options]\n"
    "Train a net (256-128-64-10) to read drawn digits on the first OpenCL device.\n"
    "\n"
    "  --steps N             train until step N (2000)\n"
    "  --batch N             images a step, a power of two from 8 to 1024 (128)\n"
    "  --seed N              of images, weights and order; the same seed gives the same net (1)\n"
    "  --report N            show loss and accuracy every N steps, at most 256 (200)\n"
    "  --checkpoint FILE     write the state there at each report, at the end and on SIGTERM;\n"
    "                        on SIGUSR1, too, and go on\n"
    "  --resume              go on from the checkpoint if there is one, bit for bit\n"
    "  --metrics FILE        append one line of JSON for each report\n"
    "  --sleep-at STEP:SECS  leave the device alone for a while after that step, or until SIGCONT\n"
    "  -h, --help            this text\n";

static volatile sig_atomic_t stop_asked, save_asked, wake_asked;

static void on_signal(int number)
{
    stop_asked |= number == SIGTERM;
    save_asked |= number == SIGUSR1;
    wake_asked |= number == SIGCONT;
}

static uint64_t number(const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < low || value > high)
        fail("--%s takes a whole number from %llu to %llu, not '%s'", option,
             (unsigned long long)low, (unsigned long long)high, text);
    return value;
}

static void sleep_parse(const char *text, struct options *options)
{
    char *end;
    options->sleep_step = strtoull(text, &end, 10);
    if (*end != ':' || (options->sleep_seconds = strtod(end + 1, &end)) <= 0 || *end)
        fail("--sleep-at takes STEP:SECONDS, not '%s'", text);
}

static struct options options_parse(int argc, char **argv)
{
    static const struct option table[] = {
        {"steps", required_argument, NULL, 'n'},
        {"batch", required_argument, NULL, 'b'},
        {"seed", required_argument, NULL, 's'},
        {"report", required_argument, NULL, 'r'},
        {"checkpoint", required_argument, NULL, 'c'},
        {"resume", no_argument, NULL, 'R'},
        {"metrics", required_argument, NULL, 'm'},
        {"sleep-at", required_argument, NULL, 'z'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.steps = 2000, .seed = 1, .batch = 128, .report = 200};
    int option;
    while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        switch (option) {
        case 'n':
            options.steps = number("steps", optarg, 1, 1000000000);
            break;
        case 'b':
            options.batch = (uint32_t)number("batch", optarg, BATCH_MIN, BATCH_MAX);
            break;
        case 's':
            options.seed = number("seed", optarg, 0, UINT64_MAX);
            break;
        case 'r':
            options.report = (uint32_t)number("report", optarg, 1, SLOTS_MAX);
            break;
        case 'c':
            options.checkpoint = optarg;
            break;
        case 'R':
            options.resume = 1;
            break;
        case 'm':
            options.metrics = optarg;
            break;
        case 'z':
            sleep_parse(optarg, &options);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < argc)
        fail("what is '%s'? See digits --help", argv[optind]);
    if (options.batch & (options.batch - 1))
        fail("--batch must be a power of two");
    if (options.resume && !options.checkpoint)
        fail("--resume needs --checkpoint FILE");
    return options;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct run {
    const struct options *options;
    struct device *device;
    struct net *net;
    uint64_t step;    /* steps done */
    uint32_t pending; /* steps whose results are still on the device */
    double started, validation_accuracy;
};

static void state_write(const struct run *run)
{
    const struct options *options = run->options;
    if (!options->checkpoint)
        return;
    void *state = malloc(net_state_bytes());
    if (!state)
        fail("out of memory");
    net_save(run->net, state);
    struct progress progress = {.seed = options->seed, .batch = options->batch, .step = run->step};
    checkpoint_write(options->checkpoint, &progress, state, net_state_bytes());
    free(state);
}

/* On SIGUSR1: the steps go on from here. */
static void state_save(struct run *run)
{
    save_asked = 0;
    state_write(run);
    printf("saved at step %llu\n", (unsigned long long)run->step);
    fflush(stdout);
}

static void device_rest(struct run *run, double seconds)
{
    const double end = seconds_now() + seconds;
    sigset_t asking, before;
    sigemptyset(&asking);
    sigaddset(&asking, SIGTERM);
    sigaddset(&asking, SIGUSR1);
    sigaddset(&asking, SIGCONT);
    device_finish(run->device);
    sigprocmask(SIG_BLOCK, &asking, &before); /* so that none comes between a look and the sleep */
    wake_asked = 0;
    printf("leaving the device alone for %g s\n", seconds);
    fflush(stdout);
    for (double left = seconds; left > 0 && !stop_asked && !wake_asked;
         left = end - seconds_now()) {
        const struct timespec time = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        if (save_asked)
            state_save(run);
        else
            ppoll(NULL, 0, &time, &before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void state_read(struct run *run)
{
    const struct options *options = run->options;
    struct progress progress;
    void *state = malloc(net_state_bytes());
    if (!state)
        fail("out of memory");
    if (checkpoint_read(options->checkpoint, &progress, state, net_state_bytes()) < 0) {
        printf("no checkpoint yet: starting from the beginning\n");
    } else {
        if (progress.seed != options->seed || progress.batch != options->batch)
            fail("%s was made with --seed %llu --batch %u", options->checkpoint,
                 (unsigned long long)progress.seed, progress.batch);
        net_load(run->net, state);
        run->step = progress.step;
        printf("resumed at step %llu\n", (unsigned long long)run->step);
    }
    free(state);
}

static struct results validate(struct run *run)
{
    const uint32_t batch = run->options->batch, slots = VALIDATION_COUNT / batch;
    for (uint32_t slot = 0; slot < slots; slot++)
        net_evaluate(run->net, TRAIN_COUNT + slot * batch, slot);
    return net_results(run->net, slots);
}

static void metrics_append(const struct run *run, struct results train, struct results validation)
{
    FILE *file = fopen(run->options->metrics, "a");
    if (!file)
        fail("opening %s: %s", run->options->metrics, strerror(errno));
    fprintf(file,
            "{\"step\":%llu,\"loss\":%.9g,\"accuracy\":%.6f,\"validation_loss\":%.9g,"
            "\"validation_accuracy\":%.6f,\"seconds\":%.3f}\n",
            (unsigned long long)run->step, train.loss, train.accuracy, validation.loss,
            validation.accuracy, seconds_now() - run->started);
    if (fclose(file) != 0)
        fail("writing %s: %s", run->options->metrics, strerror(errno));
}

/* The one place where the host waits for the device. */
static void report(struct run *run)
{
    struct results train = net_results(run->net, run->pending);
    struct results validation = validate(run);
    run->pending = 0;
    run->validation_accuracy = validation.accuracy;
    printf("step %6llu  loss %.4f  accuracy %.4f  validation %.4f  %6.1f s\n",
           (unsigned long long)run->step, train.loss, train.accuracy, validation.accuracy,
           seconds_now() - run->started);
    fflush(stdout);
    if (run->options->metrics)
        metrics_append(run, train, validation);
    state_write(run);
}

static void train(struct run *run)
{
    const struct options *options = run->options;
    const uint32_t steps_per_epoch = TRAIN_COUNT / options->batch;
    uint32_t order[TRAIN_COUNT];
    uint64_t epoch_ordered = UINT64_MAX;
    while (run->step < options->steps && !stop_asked) {
        const uint64_t epoch = run->step / steps_per_epoch;
        const uint32_t first = (uint32_t)(run->step % steps_per_epoch) * options->batch;
        const float rate = RATE / (1.0f + (float)run->step / RATE_HALVED_AT);
        if (epoch != epoch_ordered) {
            dataset_shuffle(options->seed, epoch, order);
            net_order(run->net, order);
            epoch_ordered = epoch;
        }
        net_train(run->net, first, run->pending++, rate, MOMENTUM);
        run->step++;
        if (run->step == options->sleep_step)
            device_rest(run, options->sleep_seconds);
        if (run->step % options->report == 0)
            report(run);
        if (save_asked)
            state_save(run);
    }
    if (run->pending)
        report(run);
}

int main(int argc, char **argv)
{
    const struct options options = options_parse(argc, argv);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGCONT, &action, NULL);

    struct device device;
    struct dataset *dataset = dataset_create(options.seed);
    if (!dataset)
        fail("out of memory");
    device_open(&device, kernels_source);
    struct run run = {.options = &options, .device = &device, .started = seconds_now()};
    run.net = net_create(&device, dataset, options.batch, options.seed);
    free(dataset);
    if (options.resume)
        state_read(&run);

    train(&run);
    if (stop_asked)
        printf("stopped at step %llu\n", (unsigned long long)run.step);
    printf("LEAT_METRICS "
           "{\"model\":\"digits\",\"task\":\"image-classification\",\"dataset\":\"digits\","
           "\"batch\":%u,\"steps\":%llu,\"accuracy\":%.4f}\n",
           options.batch, (unsigned long long)run.step, run.validation_accuracy);
    printf("done: validation accuracy %.4f in %.1f s\n", run.validation_accuracy,
           seconds_now() - run.started);
    net_destroy(run.net);
    device_close(&device);
    return EXIT_SUCCESS;
}
