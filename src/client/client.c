/* libleat's one exchange with leatd, on libcurl: see leat/client.h. */
#include "leat/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "client/endpoint.h"
#include "client/problem.h"

#define CONNECT_TIMEOUT_MS 5000L
#define POLL_MS 1000 /* only so that curl's own timers run; readiness ends it earlier */
#define REPLY_LIMIT_BYTES (64u << 20)
#define STATUS_REFUSED 400 /* this and above carries a problem document */

struct leat_client {
    struct endpoint endpoint;
    char *token;
    CURLM *multi; /* holds the kept-alive connections */
    CURL *easy;   /* reset for every exchange */
    int interrupt_fd;
};

/* One exchange: what came of it so far. */
struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    int (*take)(const char *data, size_t length, void *context);
    void *context;
    struct buf refusal; /* body of an answer >= 400 */
    int taken;          /* negative: what `take` said to end it */
    char reason[CURL_ERROR_SIZE];
};

int leat_client_create(const char *host, const char *token, leat_client **ret_client,
                       struct leat_error *err)
{
    leat_client *client = calloc(1, sizeof(*client));
    if (!client)
        return problem_set(err, -ENOMEM, "out-of-memory", "making a client");
    client->interrupt_fd = -1;
    struct error reason = {0};
    int r = endpoint_init(&client->endpoint, host, &reason);
    if (r < 0) {
        leat_client_destroy(client);
        return problem_from_error(err, &reason);
    }
    if (!token)
        token = getenv("LEAT_TOKEN");
    client->token = token && *token ? strdup(token) : NULL;
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* counted; a failure shows in the next two */
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    if (!client->multi || !client->easy || (token && *token && !client->token)) {
        leat_client_destroy(client);
        return problem_set(err, -ENOMEM, "out-of-memory", "making a client");
    }
    *ret_client = client;
    return 0;
}

void leat_client_destroy(leat_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    (void)curl_multi_cleanup(client->multi); /* holds no easy handle any more */
    endpoint_finish(&client->endpoint);
    free(client->token);
    free(client);
}

const char *leat_client_place(const leat_client *client)
{
    return client->endpoint.place;
}

const char *leat_client_socket(const leat_client *client)
{
    return client->endpoint.socket;
}

void leat_client_interrupt_on(leat_client *client, int fd)
{
    client->interrupt_fd = fd;
}

static size_t exchange_data(char *data, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t length = size * count;
    long status = 0;
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < STATUS_REFUSED)
        exchange->taken = exchange->take(data, length, exchange->context);
    else if (exchange->refusal.length + length <= REPLY_LIMIT_BYTES)
        exchange->taken = buf_append(&exchange->refusal, data, length);
    else
        exchange->taken = -EFBIG;
    return exchange->taken < 0 ? 0 : length; /* fewer than `length` bytes: curl ends it */
}

static int exchange_header(struct exchange *exchange, const char *name, const char *value)
{
    if (!value)
        return 0;
    AUTO_BUF struct buf line = BUF_INIT;
    if (buf_printf(&line, "%s: %s", name, value) < 0)
        return -ENOMEM;
    struct curl_slist *longer = curl_slist_append(exchange->headers, line.data);
    if (!longer)
        return -ENOMEM;
    exchange->headers = longer;
    return 0;
}

static int exchange_headers(struct exchange *exchange, const leat_client *client,
                            const struct leat_request *request)
{
    AUTO_BUF struct buf bearer = BUF_INIT;
    if (client->token)
        (void)buf_printf(&bearer, "Bearer %s", client->token);
    const struct {
        const char *name, *value;
    } table[] = {
        {"Accept", request->accept ? request->accept : "application/json"},
        {"Content-Type",
         request->body ? "application/json" : ""}, /* "": curl names none of its own */
        {"Idempotency-Key", request->key},
        {"Last-Event-ID", request->resume},
        {"Authorization", bearer.data},
        {"Expect", request->body ? "" : NULL}, /* no round trip before the body */
    };
    int r = bearer.failed;
    for (size_t i = 0; r == 0 && i < sizeof(table) / sizeof(*table); i++)
        r = exchange_header(exchange, table[i].name, table[i].value);
    return r;
}

/* Every option below takes valid values, so only memory can run out; `url` is copied by curl. */
static int exchange_prepare(struct exchange *exchange, leat_client *client,
                            const struct leat_request *request)
{
    CURL *easy = client->easy;
    AUTO_BUF struct buf url = BUF_INIT;
    if (exchange_headers(exchange, client, request) < 0 ||
        buf_printf(&url, "%s%s", client->endpoint.base, request->path) < 0)
        return -ENOMEM;
    curl_easy_reset(easy);
    CURLcode c = curl_easy_setopt(easy, CURLOPT_URL, url.data);
    if (client->endpoint.socket && c == CURLE_OK)
        c = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->endpoint.socket);
    if (request->body && c == CURLE_OK)
        c = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
    else if (strcmp(request->method, "POST") == 0 && c == CURLE_OK)
        c = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, "");
    if (c != CURLE_OK)
        return c == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, exchange_data);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->reason);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* a proxy would see the token */
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    return 0;
}

/* Runs the prepared exchange. 0: `ret_code` is curl's verdict; -ECANCELED: the interrupt came. */
static int client_drive(leat_client *client, CURLcode *ret_code)
{
    if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK)
        return -ENOMEM;
    int running = 1, r = 0;
    while (r == 0) {
        struct curl_waitfd interrupt = {.fd = client->interrupt_fd, .events = CURL_WAIT_POLLIN};
        if (curl_multi_perform(client->multi, &running) != CURLM_OK)
            r = -EIO;
        if (r < 0 || !running)
            break;
        if (curl_multi_poll(client->multi, &interrupt, client->interrupt_fd >= 0, POLL_MS, NULL) !=
            CURLM_OK)
            r = -EIO;
        else if (client->interrupt_fd >= 0 && interrupt.revents)
            r = -ECANCELED;
    }
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left));)
        *ret_code = message->data.result;
    (void)curl_multi_remove_handle(client->multi, client->easy); /* it was added above */
    return r;
}

static int exchange_broken(const struct exchange *exchange, const leat_client *client,
                           CURLcode code, struct leat_error *err)
{
    const char *reason = exchange->reason[0] ? exchange->reason : curl_easy_strerror(code);
    long cause = 0;
    (void)curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &cause);
    if (client->endpoint.socket && cause)
        reason = strerror((int)cause); /* curl's own text names a host and a port */
    if (exchange->taken < 0)
        return problem_set(err, exchange->taken, "answer-not-taken",
                           "the answer of %s could not be taken: %s", client->endpoint.place,
                           strerror(-exchange->taken));
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        return problem_set(err, -ECONNREFUSED, "leatd-unreachable", "no leatd answers at %s (%s)",
                           client->endpoint.place, reason);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return problem_set(err, -ETIMEDOUT, "leatd-timeout", "leatd at %s took too long (%s)",
                           client->endpoint.place, reason);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return problem_set(err, -EINVAL, "bad-host", "'%s' is no place of a leatd (%s)",
                           client->endpoint.place, reason);
    return problem_set(err, -ECONNRESET, "connection-lost", "the connection to %s was lost (%s)",
                       client->endpoint.place, reason);
}

/* `ret_status` is set on success. */
static int client_exchange(leat_client *client, const struct leat_request *request,
                           struct exchange *exchange, long *ret_status, struct leat_error *err)
{
    CURLcode code = CURLE_OK;
    exchange->easy = client->easy;
    int r = exchange_prepare(exchange, client, request);
    if (r == 0)
        r = client_drive(client, &code);
    if (r == -ECANCELED)
        return problem_set(err, r, "interrupted", "interrupted");
    if (r < 0)
        return problem_set(err, r, "request-failed", "%s %s could not be sent: %s", request->method,
                           request->path, strerror(-r));
    if (code != CURLE_OK)
        return exchange_broken(exchange, client, code, err);
    long status = 0;
    (void)curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= STATUS_REFUSED)
        return problem_from_answer(err, (int)status,
                                   exchange->refusal.data ? exchange->refusal.data : "",
                                   exchange->refusal.length);
    *ret_status = status;
    return 0;
}

static int client_run(leat_client *client, const struct leat_request *request,
                      int (*take)(const char *data, size_t length, void *context), void *context,
                      long *ret_status, struct leat_error *err)
{
    struct exchange exchange = {.take = take, .context = context};
    int r = client_exchange(client, request, &exchange, ret_status, err);
    curl_slist_free_all(exchange.headers);
    buf_finish(&exchange.refusal);
    return r;
}

int leat_client_stream(leat_client *client, const struct leat_request *request,
                       int (*take)(const char *data, size_t length, void *context), void *context,
                       struct leat_error *err)
{
    long status = 0;
    return client_run(client, request, take, context, &status, err);
}

static int reply_take(const char *data, size_t length, void *context)
{
    struct buf *text = context;
    return text->length + length > REPLY_LIMIT_BYTES ? -EFBIG : buf_append(text, data, length);
}

int leat_client_request(leat_client *client, const struct leat_request *request,
                        struct leat_reply *ret_reply, struct leat_error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    long status = 0;
    int r = client_run(client, request, reply_take, &text, &status, err);
    if (r < 0)
        return r;
    size_t length = text.length;
    (void)buf_append(&text, "", 0); /* an empty answer becomes an empty text */
    char *owned = buf_take(&text);
    if (!owned)
        return problem_set(err, -ENOMEM, "out-of-memory", "taking the answer");
    *ret_reply = (struct leat_reply){.status = (int)status, .text = owned, .length = length};
    return 0;
}

void leat_reply_finish(struct leat_reply *reply)
{
    free(reply->text);
    *reply = (struct leat_reply){0};
}

char *leat_escape(const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    AUTO_BUF struct buf escaped = BUF_INIT;
    (void)buf_append(&escaped, "", 0);
    for (const char *c = text; *c; c++) {
        if (strchr(plain, *c))
            (void)buf_append(&escaped, c, 1);
        else
            (void)buf_printf(&escaped, "%%%02X", (unsigned char)*c);
    }
    return buf_take(&escaped); /* NULL when any append failed */
}
