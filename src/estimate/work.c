/* What a run computes: operations of a step by the shapes of the model, and how many steps there
 * are. Two operations (multiply, add) a parameter and token forward, twice that backward (Kaplan et
 * al. 2020, "Scaling Laws for Neural Language Models", section 2.1), and attention's scores. */
#include <math.h>
#include <string.h>

#include "estimate/estimate.h"
#include "estimate/memory.h"

#define SEQUENCE_ASSUMED 2048
#define EXPERTS_ACTIVE 2 /* of a mixture, for a token */
#define WORK_MAX 1e18

static double or_one(uint64_t value)
{
    return value ? (double)value : 1;
}

/* Forward, of one token of a transformer. */
static double token_flop(const struct memory_request *r, double sequence)
{
    double hidden = r->hidden, heads = or_one(r->heads);
    double width = r->head_dim ? heads * r->head_dim : hidden;
    double ffn = (r->ffn ? r->ffn : 4 * hidden) * (r->mlp_matrices ? r->mlp_matrices : 2) * hidden;
    double experts = or_one(r->experts), active = fmin(experts, EXPERTS_ACTIVE);
    double groups = width * (r->kv_heads ? r->kv_heads / heads : 1);
    double block = 2 * hidden * width + 2 * hidden * groups + ffn * active;
    /* Scores and their sum of values; half of them are masked. */
    double attention = 2 * sequence * width;
    return 2 * (r->layers * block + (double)r->vocab * hidden) + r->layers * attention;
}

/* How many times the forward pass a step is: frozen weights have no gradient of their own. */
static double passes(const struct memory_request *r)
{
    if (r->task && strcmp(r->task, "infer") == 0)
        return 1;
    bool frozen = r->method && strcmp(r->method, "full") != 0;
    return (frozen ? 2 : 3) + (r->checkpointing ? 1 : 0);
}

struct estimate_work estimate_work_of(const struct memory_request *r)
{
    double batch = or_one(r->batch), flop;
    double sequence = r->sequence ? (double)r->sequence : SEQUENCE_ASSUMED;
    if (r->sample_kflop)
        flop = batch * (double)r->sample_kflop * 1e3;
    else if (r->layers && r->hidden)
        flop = batch * (sequence + (double)r->new_tokens) * token_flop(r, sequence);
    else
        flop = batch * 2 * (double)r->params;
    double samples = (double)r->samples * or_one(r->epochs);
    double steps = r->steps ? (double)r->steps : ceil(samples / batch);
    return (struct estimate_work){
        .steps = (uint64_t)fmin(steps, WORK_MAX),
        .step_kflop = (uint64_t)fmin(ceil(flop * passes(r) / 1e3), WORK_MAX),
    };
}
