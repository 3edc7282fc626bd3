/* The table of verbs: a new verb is a row here and a file of its own. */
#include "cli/verbs.h"

#include <stddef.h>

#include "cli/verb.h"

const struct verb *const verb_table[] = {
    &verb_up,
    &verb_down,
    &verb_run,
    &verb_submit,
    &verb_ps,
    &verb_show,
    &verb_logs,
    &verb_wait,
    &verb_stop,
    &verb_rm,
    &verb_top,
    &verb_explain,
    &verb_events,
    &verb_device_list,
    &verb_device_show,
    &verb_card_list,
    &verb_card_show,
    &verb_card_stats,
    &verb_card_exec,
    &verb_card_suspend,
    &verb_card_resume,
    &verb_card_move,
    &verb_card_resize,
    &verb_template_list,
    &verb_template_show,
    &verb_image_list,
    &verb_image_show,
    &verb_image_build,
    &verb_image_import,
    &verb_image_rm,
    &verb_estimate,
    &verb_model_list,
    &verb_model_show,
    &verb_model_register,
    &verb_model_rm,
    &verb_simulate,
    &verb_tenant_list,
    &verb_tenant_show,
    &verb_tenant_set,
    &verb_tenant_rm,
    &verb_loan_list,
    &verb_queue,
    &verb_version,
    NULL,
};

const struct option_spec global_options[] = {
    {"host", 'H', "PLACE", "leatd to ask: URL, HOST:PORT or path of a socket (LEAT_HOST)"},
    {"token", 0, "TOKEN", "token of a leatd that listens on TCP (LEAT_TOKEN)"},
    {"run-dir", 0, "DIR", "folder of the local sockets (LEAT_RUN_DIR)"},
    {"json", 'j', NULL, "print what the API answers, as JSON"},
    {"help", 'h', NULL, "show this help"},
    {0},
};
