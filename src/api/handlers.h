/* What the routes do: each takes the request and answers it exactly once, now or when core replies.
 * They run on the loop. */
#ifndef LEAT_API_HANDLERS_H
#define LEAT_API_HANDLERS_H

struct request;

/* jobs.c */
void handle_job_submit(struct request *request);
void handle_job_list(struct request *request);
void handle_job_get(struct request *request);
void handle_job_stop(struct request *request);
void handle_job_checkpointed(struct request *request);
void handle_job_remove(struct request *request);
void handle_job_wait(struct request *request);
void handle_job_explain(struct request *request);

/* logs.c */
void handle_job_logs(struct request *request);

/* events.c */
void handle_events(struct request *request);

/* resources.c */
void handle_version(struct request *request);
void handle_health(struct request *request);
void handle_device_list(struct request *request);
void handle_device_get(struct request *request);
void handle_card_list(struct request *request);
void handle_card_get(struct request *request);
void handle_card_suspend(struct request *request);
void handle_card_resume(struct request *request);
void handle_card_move(struct request *request);
void handle_card_resize(struct request *request);
void handle_card_trace(struct request *request);
void handle_template_list(struct request *request);
void handle_template_get(struct request *request);
void handle_estimate(struct request *request);
void handle_model_list(struct request *request);
void handle_model_get(struct request *request);
void handle_model_set(struct request *request);
void handle_model_remove(struct request *request);
void handle_knowledge_put(struct request *request);
void handle_knowledge_search(struct request *request);
void handle_knowledge_similar(struct request *request);
void handle_knowledge_suggest(struct request *request);
void handle_knowledge_get(struct request *request);
void handle_knowledge_remove(struct request *request);
void handle_device_set(struct request *request);
void handle_tenant_list(struct request *request);
void handle_tenant_get(struct request *request);
void handle_tenant_set(struct request *request);
void handle_tenant_remove(struct request *request);
void handle_loan_list(struct request *request);
void handle_queue(struct request *request);
void handle_image_list(struct request *request);
void handle_image_get(struct request *request);
void handle_image_build(struct request *request);
void handle_image_import(struct request *request);
void handle_image_remove(struct request *request);

/* metrics.c */
void handle_metrics(struct request *request);

#endif
