/* The verbs, one file each. */
#ifndef LEAT_CLI_VERBS_H
#define LEAT_CLI_VERBS_H

struct verb;

extern const struct verb verb_up, verb_down, verb_run, verb_submit, verb_ps, verb_show, verb_logs,
    verb_wait, verb_stop, verb_rm, verb_top, verb_explain, verb_events, verb_device_list,
    verb_device_show, verb_device_set, verb_device_scan, verb_card_list, verb_card_show,
    verb_card_stats, verb_card_exec, verb_card_suspend, verb_card_resume, verb_card_move,
    verb_card_resize, verb_card_trace, verb_card_checkpoint, verb_card_restore, verb_template_list,
    verb_template_show, verb_image_list, verb_image_show, verb_image_build, verb_image_import,
    verb_image_rm, verb_version, verb_simulate, verb_estimate, verb_tenant_list, verb_tenant_show,
    verb_tenant_set, verb_tenant_rm, verb_loan_list, verb_queue;
extern const struct verb verb_model_list, verb_model_show, verb_model_register, verb_model_rm;
extern const struct verb verb_kb_search, verb_kb_suggest, verb_kb_similar, verb_kb_show,
    verb_kb_add, verb_kb_rm, verb_kb_import, verb_kb_export;

#endif
