/* leat tenant, leat loan, leat queue: who reserves what, who lends to whom, who waits and why. */
#include <ctype.h>
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

static const struct view_column tenant_columns[] = {
    {"TENANT", "name", VIEW_TEXT},
    {"PARENT", "parent", VIEW_TEXT},
    {"RESERVED", "reserved_milli", VIEW_SHARE},
    {"LIMIT", "limit_milli", VIEW_SHARE},
    {"WEIGHT", "weight", VIEW_COUNT},
    {"USED", "used_milli", VIEW_SHARE},
    {"BORROWED", "borrowed_milli", VIEW_SHARE},
    {"LENT", "lent_milli", VIEW_SHARE},
    {"CLAIMED", "claimed_milli", VIEW_SHARE},
    {0},
};

static const struct view_column tenant_fields[] = {
    {"Tenant", "name", VIEW_TEXT},
    {"Parent", "parent", VIEW_TEXT},
    {"Reserved", "reserved_milli", VIEW_SHARE},
    {"Limit", "limit_milli", VIEW_SHARE},
    {"Weight", "weight", VIEW_COUNT},
    {"Used", "used_milli", VIEW_SHARE},
    {"Borrowed from others", "borrowed_milli", VIEW_SHARE},
    {"Lent to others", "lent_milli", VIEW_SHARE},
    {"Kept for waiting jobs", "claimed_milli", VIEW_SHARE},
    {"Waits for its own at most", "bound_ms", VIEW_MS},
    {0},
};

static const struct view_column loan_columns[] = {
    {"LOAN", "loan", VIEW_COUNT},
    {"LENDER", "lender", VIEW_TEXT},
    {"BORROWER", "borrower", VIEW_TEXT},
    {"JOB", "job", VIEW_TEXT},
    {"SHARE", "milli", VIEW_SHARE},
    {"SINCE", "since", VIEW_AGO},
    {"DUE", "due", VIEW_TEXT},
    {"FOR", "for", VIEW_TEXT},
    {"TOLD", "notice.told", VIEW_AGO},
    {"HOOK", "notice.pre_stop", VIEW_TEXT},
    {0},
};

static const struct view_column queue_columns[] = {
    {"#", "position", VIEW_COUNT},
    {"JOB", "job", VIEW_TEXT},
    {"NAME", "name", VIEW_TEXT},
    {"TENANT", "tenant", VIEW_TEXT},
    {"PRIORITY", "priority", VIEW_COUNT},
    {"SHARE", "share_permille", VIEW_SHARE},
    {"MEMORY", "memory_bytes", VIEW_BYTES},
    {"SINCE", "since", VIEW_AGO},
    {"CODE", "code", VIEW_TEXT},
    {"WHY", "text", VIEW_TEXT},
    {0},
};

static const struct resource tenant_resource = {
    .kind = "tenants",
    .none = "there are no tenants: everybody shares everything; `leat tenant set` makes one",
    .columns = tenant_columns,
    .fields = tenant_fields,
};
static const struct resource loan_resource = {
    .kind = "loans",
    .none = "nothing is lent, and nobody gives way",
    .columns = loan_columns,
};
static const struct resource queue_resource = {
    .kind = "queue",
    .none = "nothing waits",
    .columns = queue_columns,
};

static int tenant_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &tenant_resource, err);
}

static int loan_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &loan_resource, err);
}

static int queue_main(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &queue_resource, err);
}

static int tenant_show(struct cli *cli, const struct args *args, struct error *err)
{
    return resource_show(cli, &tenant_resource, args->operands[0], err);
}

#define DIGITS_MAX 9

/* Devices as people write them: "2", "1.5", "150%"; in thousandths. */
static int devices_parse(const char *text, uint64_t *ret_milli, struct error *err)
{
    uint64_t value = 0;
    unsigned digits = 0, after = 0, places = text[strcspn(text, "%")] ? 1 : 3;
    bool point = false, good = isdigit((unsigned char)text[0]);
    const char *c = text;
    for (; good && *c && *c != '%'; c++) {
        if (*c == '.' && !point) {
            point = true;
            continue;
        }
        good = isdigit((unsigned char)*c) && ++digits <= DIGITS_MAX && after < places;
        after += point;
        value = 10 * value + (uint64_t)(*c - '0');
    }
    good = good && (*c == '\0' || c[1] == '\0');
    for (; after < places; after++)
        value *= 10;
    if (!good || value > UINT32_MAX)
        return error_set(err, -EINVAL, "bad-devices",
                         "'%.32s' is no number of devices: write 2, 1.5 or 150%%", text);
    *ret_milli = value;
    return 0;
}

static const struct option_spec tenant_options[] = {
    {"reserved", 'r', "DEVICES", "what is kept for it: 2, 1.5 or 150% (default 0)"},
    {"limit", 'l', "DEVICES", "the most it may use at once (default: no limit)"},
    {"weight", 'w', "N", "of its turn among those that borrow (default 100)"},
    {"parent", 'p', "TENANT", "the tenant whose reservation its own is a part of"},
    {0},
};

static json_t *tenant_body(const struct args *args, struct error *err)
{
    static const struct {
        const char *option, *member;
    } amounts[] = {{"reserved", "reserved_milli"}, {"limit", "limit_milli"}};
    AUTO_JSON json_t *body = json_object();
    const char *weight = args_text(args, "weight"), *parent = args_text(args, "parent");
    uint64_t number;
    bool good = body;
    for (size_t i = 0; good && i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        const char *text = args_text(args, amounts[i].option);
        if (text && devices_parse(text, &number, err) < 0)
            return NULL;
        if (text)
            good =
                json_object_set_new(body, amounts[i].member, json_integer((json_int_t)number)) == 0;
    }
    if (weight && u64_parse(weight, &number, err) < 0)
        return NULL;
    if (good && weight)
        good = json_object_set_new(body, "weight", json_integer((json_int_t)number)) == 0;
    if (good && parent)
        good = json_object_set_new(body, "parent", json_string(parent)) == 0;
    if (!good)
        (void)error_set(err, -ENOMEM, "out-of-memory", "making a request");
    return good ? json_incref(body) : NULL;
}

static int tenant_ask(struct cli *cli, const char *name, const char *method, const char *body,
                      struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *answer = NULL;
    int r = ask_path("tenants", name, NULL, &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = method, .path = path, .body = body};
    r = ask(cli, &request, &answer, err);
    if (r == 0 && cli->json && !json_is_null(answer))
        ask_print(answer);
    return r;
}

static int tenant_set(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *request = tenant_body(args, err);
    if (!request)
        return err->errnum;
    AUTO_FREE char *body = json_text(request);
    if (!body)
        return error_set(err, -ENOMEM, "out-of-memory", "making a request");
    return tenant_ask(cli, args->operands[0], "PUT", body, err);
}

static int tenant_remove(struct cli *cli, const struct args *args, struct error *err)
{
    return tenant_ask(cli, args->operands[0], "DELETE", NULL, err);
}

const struct verb verb_tenant_list = {
    .group = "tenant",
    .name = "list",
    .summary = "List the tenants with what they reserve, use, lend and borrow",
    .example = "leat tenant list",
    .run = tenant_list,
};

const struct verb verb_tenant_show = {
    .group = "tenant",
    .name = "show",
    .operands = "TENANT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show all about one tenant",
    .example = "leat tenant show vision",
    .run = tenant_show,
};

const struct verb verb_tenant_set = {
    .group = "tenant",
    .name = "set",
    .operands = "TENANT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Make a tenant, or change what it reserves",
    .details = "What is not named gets its default. Jobs name their tenant with --tenant.",
    .example = "leat tenant set vision --reserved 1.5 --limit 3",
    .options = tenant_options,
    .run = tenant_set,
};

const struct verb verb_tenant_rm = {
    .group = "tenant",
    .name = "rm",
    .operands = "TENANT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Remove a tenant that has no running jobs",
    .example = "leat tenant rm vision",
    .run = tenant_remove,
};

const struct verb verb_loan_list = {
    .group = "loan",
    .name = "list",
    .summary = "List what is lent: by whom, to whom, for which job, until when",
    .example = "leat loan list",
    .run = loan_list,
};

const struct verb verb_queue = {
    .name = "queue",
    .summary = "List who waits, in order, and why",
    .example = "leat queue",
    .run = queue_main,
};
