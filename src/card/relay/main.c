/* leat-relay: lend the cards of this host to others, or use those of another. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "base/slice.h"
#include "base/units.h"
#include "card/relay/frame.h"
#include "card/relay/hub.h"
#include "card/relay/relay.h"

#define EXIT_USAGE 2
#define TOKEN_MIN 16
#define FINGERPRINT_PREFIX "sha256:"

static const char usage[] =
    "usage: leat-relay --listen HOST[:PORT] --token-file FILE --tls-cert FILE --tls-key FILE\n"
    "       leat-relay --to HOST[:PORT] --token-file FILE --fingerprint sha256:HEX --run-dir DIR\n"
    "\n"
    "The first lends the cards of this host's leat-cardd to other hosts, the second makes a run\n"
    "folder whose sockets lead to the leat-cardd of another host.\n"
    "\n"
    "      --listen ADDRESS   serve callers there (port " RELAY_PORT " when none is given)\n"
    "      --to ADDRESS       the host to use\n"
    "      --token-file FILE  holds the secret that both hosts know\n"
    "      --tls-cert FILE    certificate of this host, PEM\n"
    "      --tls-key FILE     its key, PEM\n"
    "      --fingerprint ...  SHA-256 of the other host's certificate\n"
    "      --run-dir DIR      leat-cardd's run folder; with --to: the folder to make\n"
    "      --with-parent      leave when the process that started this one does\n"
    "      --linger MS        leave when nobody has called for that long\n"
    "      --ready-fd N       write a line to descriptor N when the sockets serve\n"
    "      --version          print the version\n"
    "  -h, --help             print this\n";

enum {
    OPTION_LISTEN = 256,
    OPTION_TO,
    OPTION_TOKEN_FILE,
    OPTION_CERT,
    OPTION_KEY,
    OPTION_FINGERPRINT,
    OPTION_RUN_DIR,
    OPTION_WITH_PARENT,
    OPTION_READY_FD,
    OPTION_LINGER,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"to", required_argument, NULL, OPTION_TO},
    {"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
    {"tls-cert", required_argument, NULL, OPTION_CERT},
    {"tls-key", required_argument, NULL, OPTION_KEY},
    {"fingerprint", required_argument, NULL, OPTION_FINGERPRINT},
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"with-parent", no_argument, NULL, OPTION_WITH_PARENT},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"linger", required_argument, NULL, OPTION_LINGER},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct arguments {
    const char *text[OPTION_VERSION - OPTION_LISTEN]; /* by option */
    uint64_t linger_ms;                               /* 0: stay */
    int with_parent, done;
};

static const char *text_of(const struct arguments *arguments, int option)
{
    return arguments->text[option - OPTION_LISTEN];
}

static int arguments_read(int argc, char **argv, struct arguments *arguments, struct error *err)
{
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (option == 'h' || option == OPTION_VERSION) {
            (void)fputs(option == 'h' ? usage : "leat-relay " LEAT_VERSION "\n", stdout);
            arguments->done = 1;
            return 0;
        }
        if (option < OPTION_LISTEN)
            return error_set(err, -EINVAL, "usage", "see leat-relay --help");
        if (option == OPTION_WITH_PARENT)
            arguments->with_parent = 1;
        else
            arguments->text[option - OPTION_LISTEN] = optarg;
    }
    const char *listen = text_of(arguments, OPTION_LISTEN), *to = text_of(arguments, OPTION_TO);
    if (optind < argc || !listen == !to || !text_of(arguments, OPTION_TOKEN_FILE))
        return error_set(err, -EINVAL, "usage",
                         "give --listen or --to, and --token-file; see leat-relay --help");
    const char *linger = text_of(arguments, OPTION_LINGER);
    if (linger && u64_parse(linger, &arguments->linger_ms, err) < 0)
        return error_context(err, "--linger");
    if (to && !text_of(arguments, OPTION_RUN_DIR))
        return error_set(err, -EINVAL, "usage", "--to needs --run-dir");
    return 0;
}

static int token_read(const char *path, char ret_token[RELAY_TOKEN_MAX], struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, RELAY_TOKEN_MAX, &text, err);
    if (r < 0)
        return r;
    size_t length = text.data ? strcspn(text.data, " \t\r\n") : 0;
    if (length < TOKEN_MIN || length >= RELAY_TOKEN_MAX)
        return error_set(err, -EINVAL, "bad-token", "'%.200s' must hold %d to %d characters", path,
                         TOKEN_MIN, RELAY_TOKEN_MAX - 1);
    (void)snprintf(ret_token, RELAY_TOKEN_MAX, "%.*s", (int)length, text.data);
    return 0;
}

static void ready_tell(const struct arguments *arguments)
{
    const char *text = text_of(arguments, OPTION_READY_FD);
    uint64_t fd;
    if (!text || u64_parse(text, &fd, NULL) < 0 || fd > INT32_MAX)
        return;
    (void)fd_write_all((int)fd, "\n", 1); /* nobody may listen any more */
    (void)close((int)fd);
}

/* ---- the device's host ---- */

struct lender {
    char token[RELAY_TOKEN_MAX], run_dir[PATH_MAX];
    struct conn_server *server; /* NULL: in the clear */
};

static int hello_check(const struct lender *lender, struct relay_hello *hello, struct error *err)
{
    hello->token[RELAY_TOKEN_MAX - 1] = hello->card_token[WIRE_TOKEN_MAX - 1] = '\0';
    if (hello->magic != RELAY_MAGIC || hello->version != RELAY_VERSION)
        return error_set(err, -EPROTO, "bad-version", "the host speaks version %d", RELAY_VERSION);
    if (!token_equal(hello->token, lender->token))
        return error_set(err, -EACCES, "bad-token", "the host's token is another one");
    if (hello->purpose < RELAY_CONTROL || hello->purpose > RELAY_MOVED)
        return error_set(err, -EPROTO, "bad-purpose", "the host does not know that wish");
    return 0;
}

static int lend(int fd, const void *arg, struct error *err)
{
    const struct lender *lender = arg;
    struct conn *conn;
    struct relay_hello hello;
    int r = conn_accept(fd, lender->server, &conn, err);
    if (r < 0)
        return r;
    r = conn_read(conn, &hello, sizeof(hello));
    if (r < 0)
        return error_errno(err, r, "bad-hello", "the caller did not say what it wants");
    r = hello_check(lender, &hello, err);
    if (r < 0) {
        struct relay_verdict verdict = {
            .magic = RELAY_MAGIC, .version = RELAY_VERSION, .status = r};
        (void)snprintf(verdict.text, sizeof(verdict.text), "%.255s", err->text);
        if (conn_put(conn, &verdict, sizeof(verdict)) == 0)
            (void)conn_flush(conn); /* the caller may have gone */
    } else if (hello.purpose == RELAY_CONTROL) {
        r = far_control(conn, lender->run_dir, err);
    } else {
        r = far_session(conn, &hello, lender->run_dir, err);
    }
    conn_close(conn);
    return r;
}

static int serve_lender(const struct arguments *arguments, struct error *err)
{
    const char *cert = text_of(arguments, OPTION_CERT), *key = text_of(arguments, OPTION_KEY);
    const char *address = text_of(arguments, OPTION_LISTEN);
    char fingerprint[FINGERPRINT_TEXT_MAX] = "";
    struct lender lender = {.server = NULL};
    AUTO_FD int fd = -1;
    int r = token_read(text_of(arguments, OPTION_TOKEN_FILE), lender.token, err);
    if (r == 0)
        r = path_run_dir(text_of(arguments, OPTION_RUN_DIR), lender.run_dir, err);
    if (r == 0 && !cert != !key)
        r = error_set(err, -EINVAL, "usage", "--tls-cert and --tls-key go together");
    if (r == 0 && cert) {
        lender.server = conn_server_load(cert, key, fingerprint, err);
        r = lender.server ? 0 : err->errnum;
    }
    if (r == 0)
        r = conn_listen(address, lender.server != NULL, &fd, err);
    if (r < 0)
        return r;
    const struct hub_listener listener = {fd, lend, &lender};
    log_event(LOG_INFO, "relay.ready", "listen=\"%s\" fingerprint=%s%s", address,
              cert ? FINGERPRINT_PREFIX : "", fingerprint);
    ready_tell(arguments);
    return hub_run(&listener, 1, 0, err);
}

/* ---- the program's host ---- */

static int borrow_session(int fd, const void *arg, struct error *err)
{
    return near_session(fd, arg, err);
}

static int borrow_control(int fd, const void *arg, struct error *err)
{
    return near_control(fd, arg, err);
}

static int borrow_departure(int fd, const void *arg, struct error *err)
{
    return near_depart(fd, arg, err);
}

static int serve_borrower(const struct arguments *arguments, struct error *err)
{
    const char *run_dir = text_of(arguments, OPTION_RUN_DIR);
    const char *fingerprint = text_of(arguments, OPTION_FINGERPRINT);
    char token[RELAY_TOKEN_MAX], folder[PATH_MAX], session[PATH_MAX], control[PATH_MAX];
    char depart[PATH_MAX];
    struct hub_listener listeners[3];
    const size_t prefix = strlen(FINGERPRINT_PREFIX);
    if (fingerprint && strncmp(fingerprint, FINGERPRINT_PREFIX, prefix) == 0)
        fingerprint += prefix;
    struct relay_host host = {text_of(arguments, OPTION_TO), fingerprint, token};
    int r = token_read(text_of(arguments, OPTION_TOKEN_FILE), token, err);
    if (r == 0)
        r = path_join(run_dir, "card", folder, err);
    if (r == 0)
        r = path_join(run_dir, "card/card.sock", session, err);
    if (r == 0)
        r = path_join(run_dir, "cardd.sock", control, err);
    if (r == 0)
        r = path_join(run_dir, "depart.sock", depart, err);
    if (r == 0)
        r = dir_make(folder, 0755, err);
    if (r == 0)
        r = hub_listen(session, 0666, &listeners[0].fd, err);
    if (r == 0)
        r = hub_listen(control, 0600, &listeners[1].fd, err);
    if (r == 0)
        r = hub_listen(depart, 0600, &listeners[2].fd, err);
    if (r < 0)
        return r;
    listeners[0].serve = borrow_session;
    listeners[1].serve = borrow_control;
    listeners[2].serve = borrow_departure;
    listeners[0].arg = listeners[1].arg = listeners[2].arg = &host;
    ready_tell(arguments);
    r = hub_run(listeners, 3, arguments->linger_ms, err);
    (void)unlink(session);
    (void)unlink(control);
    (void)unlink(depart);
    (void)rmdir(folder);
    (void)rmdir(run_dir); /* others may have put something there */
    return r;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct error error = {0};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    pid_t parent = getppid();
    int r = arguments_read(argc, argv, &arguments, &error);
    if (r < 0) {
        (void)fprintf(stderr, "leat-relay: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (arguments.done)
        return EXIT_SUCCESS;
    (void)sigaction(SIGPIPE, &ignore, NULL); /* fails only on wrong arguments */
    slice_shorten();
    if (arguments.with_parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
        return EXIT_FAILURE;
    r = text_of(&arguments, OPTION_TO) ? serve_borrower(&arguments, &error)
                                       : serve_lender(&arguments, &error);
    if (r < 0)
        log_event(LOG_ERROR, "relay.failed", "code=%s text=\"%s\"", error.code, error.text);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
