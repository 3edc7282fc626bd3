/* leat-cardd: options, log, then cardd_run. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "card/cardd/cardd.h"
#include "card/relay/relay.h"

#define EXIT_USAGE 2
#define EXIT_RUNNING 75 /* EX_TEMPFAIL: another instance serves the run folder */

static const char usage[] =
    "usage: leat-cardd [--run-dir DIR] [--linger MS] [--log FILE] [--ready-fd N]\n"
    "\n"
    "Owns the devices of this machine and divides them into cards. Usually started by leatd or by\n"
    "'leat card exec'.\n"
    "\n"
    "      --run-dir DIR  folder of sockets and lock (default: $LEAT_RUN_DIR, /run/leat for root,\n"
    "                     $XDG_RUNTIME_DIR/leat for others)\n"
    "      --linger MS    leave after MS milliseconds without a card and a connection\n"
    "      --log FILE     append the log, and what programs print on the device, to FILE\n"
    "      --audit POLICY[,allow=BYTES][,every=TIME]\n"
    "                     what to do when a CUDA program holds more of its device than of its "
    "card:\n"
    "                     off, warn, pause or kill (default: warn,allow=1GiB,every=5s)\n"
    "      --ready-fd N   write a line to descriptor N and close it: empty when the sockets "
    "serve,\n"
    "                     else what went wrong\n"
    "      --version      print the version\n"
    "  -h, --help         print this\n"
    "\n"
    "LEAT_LOG=error|warn|info|debug chooses what is logged. Of what suspended cards hold,\n"
    "LEAT_SUSPENDED_MEMORY (as 4GiB) stays in host memory, the rest goes to files.\n";

struct arguments {
    struct cardd_options options;
    const char *log_file;
    bool done; /* --help or --version has been answered */
};

enum {
    OPTION_RUN_DIR = 256,
    OPTION_LINGER,
    OPTION_LOG,
    OPTION_AUDIT,
    OPTION_READY_FD,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"linger", required_argument, NULL, OPTION_LINGER},
    {"log", required_argument, NULL, OPTION_LOG},
    {"audit", required_argument, NULL, OPTION_AUDIT},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int ready_fd_read(const char *text, int *ret_fd, struct error *err)
{
    uint64_t fd;
    int r = u64_parse(text, &fd, err);
    if (r < 0)
        return r;
    if (fd <= STDERR_FILENO || fd > INT32_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(err, -EBADF, "usage", "'%s' is not an open descriptor above 2", text);
    *ret_fd = (int)fd;
    return 0;
}

static int arguments_read(int argc, char **argv, struct arguments *arguments, struct error *err)
{
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        switch (option) {
        case OPTION_RUN_DIR:
            arguments->options.run_dir = optarg;
            break;
        case OPTION_LINGER:
            if (u64_parse(optarg, &arguments->options.linger_ms, err) < 0)
                return error_context(err, "--linger");
            break;
        case OPTION_LOG:
            arguments->log_file = optarg;
            break;
        case OPTION_AUDIT:
            if (audit_options_parse(optarg, &arguments->options.audit, err) < 0)
                return error_context(err, "--audit");
            break;
        case OPTION_READY_FD:
            if (ready_fd_read(optarg, &arguments->options.ready_fd, err) < 0)
                return error_context(err, "--ready-fd");
            break;
        case OPTION_VERSION:
            (void)puts("leat-cardd " LEAT_VERSION);
            arguments->done = true;
            return 0;
        case 'h':
            (void)fputs(usage, stdout);
            arguments->done = true;
            return 0;
        default:
            return error_set(err, -EINVAL, "usage", "see leat-cardd --help");
        }
    }
    if (optind < argc)
        return error_set(err, -EINVAL, "usage", "'%s' is not an option; see leat-cardd --help",
                         argv[optind]);
    return 0;
}

/* Settings that reach us through whoever starts us. */
static int environment_read(struct cardd_options *options, struct error *err)
{
    const char *most = getenv("LEAT_SUSPENDED_MEMORY");
    if (most && bytes_parse(most, &options->suspended_most_bytes, err) < 0)
        return error_context(err, "LEAT_SUSPENDED_MEMORY");
    return 0;
}

/* Nothing to read; both outputs go to the log, as those of the executors do. */
static int stdio_set(const char *log_file, struct error *err)
{
    AUTO_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return error_errno(err, -errno, "start-failed", "cannot open /dev/null");
    if (log_file) {
        AUTO_FD int log = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (log < 0 || dup2(log, STDERR_FILENO) < 0)
            return error_errno(err, -errno, "start-failed", "cannot open the log '%s'", log_file);
    }
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return error_errno(err, -errno, "start-failed", "cannot join the outputs");
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct error error = {0};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int status = EXIT_SUCCESS, r = arguments_read(argc, argv, &arguments, &error);
    arguments.options.relay = &near_departing;
    if (r == 0)
        r = environment_read(&arguments.options, &error);
    if (r < 0) {
        (void)fprintf(stderr, "leat-cardd: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (arguments.done)
        return EXIT_SUCCESS;
    (void)sigaction(SIGPIPE, &ignore, NULL); /* fails only on wrong arguments */
    r = stdio_set(arguments.log_file, &error);
    if (r == 0)
        r = cardd_run(&arguments.options, &status, &error);
    if (r < 0 && arguments.options.ready_fd > 0)
        (void)dprintf(arguments.options.ready_fd, "%s\n", error.text); /* nobody may listen */
    if (r < 0)
        log_event(LOG_ERROR, "cardd.failed", "code=%s text=\"%s\"", error.code, error.text);
    if (r == -EEXIST)
        return EXIT_RUNNING;
    return r < 0 ? EXIT_FAILURE : status;
}
