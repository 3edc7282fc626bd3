/* The formulas of memory and their tables: see memory.h. Symbols as in the literature: T tokens of
 * a micro-batch, L blocks, h hidden, q and g widths of queries and of keys, f feed-forward, V
 * vocabulary, e bytes of a compute element. */
#include "estimate/memory.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "estimate/profile.h"

#define POINT_MAX_BYTES 1e18
#define COUNT_MAX 1e15 /* parameters, tokens: more is not a model */
#define SEQUENCE_ASSUMED 2048
#define RANK_ASSUMED 16
#define EXPERTS_ACTIVE 2
#define BUCKET_ELEMENTS 1e9 /* ZeRO: reduce and all-gather buckets of 5e8 elements each */
#define DDP_BUCKET_BYTES (25.0 * (1 << 20))

struct named_amount {
    const char *name;
    double amount;
};

/* Bytes per parameter. nf4: blocks of 64 with an fp32 scale; -dq: the scales quantised to 8 bits in
 * blocks of 256; gptq and awq: groups of 128; q*: ggml's blocks of 32 or 256. */
static const struct named_amount formats[] = {
    {"fp32", 4},           {"bf16", 2},
    {"fp16", 2},           {"fp8", 1},
    {"int8", 1.004},       {"nf4", 0.5625},
    {"nf4-dq", 0.516},     {"gptq-int4", 0.520},
    {"gptq-int8", 1.023},  {"awq-int4", 0.520},
    {"q4_0", 18.0 / 32},   {"q4_1", 20.0 / 32},
    {"q5_0", 22.0 / 32},   {"q5_1", 24.0 / 32},
    {"q8_0", 34.0 / 32},   {"q2_k", 84.0 / 256},
    {"q3_k", 110.0 / 256}, {"q4_k", 144.0 / 256},
    {"q5_k", 176.0 / 256}, {"q6_k", 210.0 / 256},
    {"fp64", 8},           {0},
};

/* Optimizer states of a parameter, in elements of the state's type; 8-bit ones in bytes below. */
static const struct named_amount optimizers[] = {
    {"adamw", 2},
    {"adam", 2},
    {"adam-amsgrad", 3},
    {"sgd", 0},
    {"sgd-momentum", 1},
    {"lion", 1},
    {"muon", 1},
    {"adafactor", 0},
    {"adamw-8bit", 2},
    {"adamw-paged", 0},
    {"adamw-fused", 2},
    {"lomo", 0},
    {0},
};

enum method_flags {
    METHOD_TRAINS_ALL = 1,
    METHOD_ADAPTS = 2,
    METHOD_COPIES_EMBEDDING = 4, /* embedding and head are trained in full beside the adapters */
    METHOD_SAVES_OUTPUTS = 8,    /* a trained scale on every linear keeps that linear's output */
};

static const struct method {
    const char *name;
    unsigned flags;
} methods[] = {
    {"full", METHOD_TRAINS_ALL},
    {"lora", METHOD_ADAPTS},
    {"qlora", METHOD_ADAPTS},
    {"qlora-gptq4", METHOD_ADAPTS},
    {"lora+emb", METHOD_ADAPTS | METHOD_COPIES_EMBEDDING},
    {"adapter", METHOD_ADAPTS},
    {"qadapter", METHOD_ADAPTS},
    {"adapter_v2", METHOD_ADAPTS | METHOD_SAVES_OUTPUTS},
    {"qadapter_v2", METHOD_ADAPTS | METHOD_SAVES_OUTPUTS},
    {"generate", 0},
    {0},
};

/* What stays whole on a device of a shard group and what is divided. */
static const struct sharding {
    const char *name;
    bool weights, gradients, states, buckets, frozen_resident;
} shardings[] = {
    {"none", false, false, false, false, false}, {"ddp", false, false, false, false, false},
    {"zero1", false, false, true, true, false},  {"zero2", false, true, true, true, false},
    {"zero3", true, true, true, true, false},    {"fsdp", true, true, true, false, true},
    {"layers", true, true, true, false, false},  {0},
};

static const char *const term_names[MEMORY_TERM_COUNT] = {
    "weights",  "gradients", "optimizer", "adapters", "activations", "logits",
    "kv_cache", "transient", "data",      "buffers",  "context",
};

/* Everything the formulas need, resolved: no name and no zero is left. */
struct sizes {
    const struct memory_request *request;
    const struct profile *profile;
    const struct method *method;
    const struct sharding *sharding;
    double e, L, h, q, g, f, n, V, S, T, N; /* see the file comment; n: matrices of an FFN */
    double params, linear, embedding, trainable, heads;
    double active;               /* experts that see a token */
    double weight_bytes, states; /* per parameter */
    bool quantised, checkpointing, foreach;
    bool fused_step; /* the optimizer steps within backward */
    double terms[MEMORY_TERM_COUNT];
    size_t assumption_count;
    struct memory_estimate *out;
};

const char *memory_term_name(enum memory_term term)
{
    return (unsigned)term < MEMORY_TERM_COUNT ? term_names[term] : "unknown";
}

static const struct named_amount *amount_find(const struct named_amount *table, const char *name)
{
    while (table->name && strcmp(table->name, name) != 0)
        table++;
    return table->name ? table : NULL;
}

double memory_format_bytes(const char *weights)
{
    const struct named_amount *format = amount_find(formats, weights);
    return format ? format->amount : 0;
}

static void assume(struct sizes *s, const char *text)
{
    if (s->assumption_count + 1 < MEMORY_ASSUMPTIONS_MAX)
        s->out->assumptions[s->assumption_count++] = text;
}

/* `given`, or `otherwise` with a remark. */
static const char *text_or(struct sizes *s, const char *given, const char *otherwise,
                           const char *remark)
{
    if (given)
        return given;
    if (remark)
        assume(s, remark);
    return otherwise;
}

static bool adapts(const struct sizes *s, const char *target)
{
    const char *targets = s->request->targets ? s->request->targets : "q,v";
    size_t length = strlen(target);
    while (*targets) {
        size_t word = strcspn(targets, ",");
        if (word == length && strncmp(targets, target, length) == 0)
            return true;
        targets += word + (targets[word] == ',');
    }
    return false;
}

/* Parameters of low-rank adapters: rank * (in + out) of every adapted matrix. */
static double adapter_params(const struct sizes *s)
{
    double widths = (s->h + s->q) * (adapts(s, "q") + adapts(s, "o")) +
                    (s->h + s->g) * (adapts(s, "k") + adapts(s, "v")) +
                    s->n * (s->h + s->f) * adapts(s, "mlp");
    double rank = s->request->rank ? s->request->rank : RANK_ASSUMED;
    return rank * (s->L * widths + (s->h + s->V) * adapts(s, "head"));
}

/* Elements that enter adapted matrices, per token and block. */
static double adapted_inputs(const struct sizes *s)
{
    double attention = s->h * (adapts(s, "q") + adapts(s, "k") + adapts(s, "v"));
    double mlp = ((s->n - 1) * s->h + s->f) * adapts(s, "mlp");
    return attention + s->q * adapts(s, "o") + mlp;
}

static int names_resolve(struct sizes *s, struct error *err)
{
    const struct memory_request *request = s->request;
    bool infer = strcmp(text_or(s, request->task, "train", NULL), "infer") == 0;
    const char *method = infer ? "generate" : text_or(s, request->method, "full", NULL);
    const char *weights = text_or(s, request->weights, "bf16", "weights are kept as bf16");
    const char *compute =
        text_or(s, request->compute, strcmp(weights, "fp32") == 0 ? "fp32" : "bf16", NULL);
    const char *optimizer =
        text_or(s, request->optimizer, "adamw", infer ? NULL : "the optimizer is AdamW");
    const char *sharding = text_or(s, request->sharding, "none", NULL);
    const struct named_amount *state = amount_find(optimizers, optimizer);
    s->weight_bytes = memory_format_bytes(weights);
    s->e = memory_format_bytes(compute);
    for (s->method = methods; s->method->name && strcmp(s->method->name, method) != 0;)
        s->method++;
    for (s->sharding = shardings; s->sharding->name && strcmp(s->sharding->name, sharding) != 0;)
        s->sharding++;
    if (!s->method->name)
        return error_set(err, -EINVAL, "unknown-method",
                         "there is no method '%s'; there are: full, lora, lora+emb, qlora, "
                         "adapter, adapter_v2",
                         method);
    if (!s->sharding->name)
        return error_set(err, -EINVAL, "unknown-sharding",
                         "there is no sharding '%s'; there are: none, ddp, zero1, zero2, zero3, "
                         "fsdp, layers",
                         sharding);
    if (!state)
        return error_set(err, -EINVAL, "unknown-optimizer",
                         "there is no optimizer '%s'; there are: adamw, adam, adam-amsgrad, "
                         "adamw-8bit, adamw-paged, adamw-fused, adafactor, lion, muon, sgd, "
                         "sgd-momentum, lomo",
                         optimizer);
    if (s->weight_bytes <= 0 || s->e < 2)
        return error_set(err, -EINVAL, "unknown-format",
                         "weights '%s' or compute '%s' is not a known format: fp32, bf16, fp16, "
                         "int8, nf4, nf4-dq, gptq-int4, q4_k, ...",
                         weights, compute);
    s->quantised = s->weight_bytes < 2;
    s->states =
        strcmp(optimizer, "adamw-8bit") == 0 ? 2.004 : state->amount * fmax(s->weight_bytes, 2);
    s->fused_step = strcmp(optimizer, "lomo") == 0;
    s->foreach = strcmp(optimizer, "adamw-fused") != 0 && !s->fused_step;
    return 0;
}

static double or_else(double given, double otherwise)
{
    return given > 0 ? given : otherwise;
}

static void shapes_resolve(struct sizes *s)
{
    const struct memory_request *r = s->request;
    double experts = or_else(r->experts, 1);
    s->active = fmin(experts, EXPERTS_ACTIVE);
    if (experts > EXPERTS_ACTIVE)
        assume(s, "two experts see each token");
    s->L = r->layers;
    s->h = r->hidden;
    s->heads = or_else(r->heads, 1);
    double width = or_else(r->head_dim, floor(s->h / s->heads));
    s->q = s->heads * width;
    s->g = or_else(r->kv_heads, s->heads) * width;
    s->f = or_else(r->ffn, 4 * s->h);
    s->n = or_else(r->mlp_matrices, 2);
    s->V = r->vocab;
    s->linear = s->L * (2 * s->h * s->q + 2 * s->h * s->g + s->n * s->h * s->f * experts);
    s->embedding = s->V * s->h * (r->tied ? 1 : 2);
    s->params = (double)r->params;
    if (!r->params) {
        s->params = s->linear + 2 * s->L * s->h + s->h + s->embedding;
        assume(s, "parameters are counted from the shapes");
    }
    s->linear = fmin(s->linear, s->params);
}

static void run_resolve(struct sizes *s)
{
    const struct memory_request *r = s->request;
    s->N = or_else(r->gpus, 1);
    s->S = (double)r->sequence;
    if (!r->sequence && r->layers && s->method->flags) {
        s->S = SEQUENCE_ASSUMED;
        assume(s, "the sequence is 2048 tokens");
    }
    s->T = or_else((double)r->batch, 1) * s->S;
    if (!r->batch)
        assume(s, "the batch is one sample");
    s->checkpointing = r->checkpointing;
    if (s->sharding->frozen_resident && s->profile->sharded_checkpointing > 0 &&
        !r->checkpointing) {
        s->checkpointing = true;
        assume(s, "this framework checkpoints every block of a sharded run");
    }
}

static void trainable_resolve(struct sizes *s)
{
    const struct memory_request *r = s->request;
    if (s->method->flags & METHOD_TRAINS_ALL)
        s->trainable = r->trainable_params ? (double)r->trainable_params : s->params;
    else if (!(s->method->flags & METHOD_ADAPTS))
        s->trainable = 0;
    else
        s->trainable = r->trainable_params ? (double)r->trainable_params : adapter_params(s);
    if (s->method->flags & METHOD_ADAPTS && !r->rank && !r->trainable_params)
        assume(s, "adapters have rank 16");
    s->trainable = fmin(s->trainable, 4 * s->params);
}

/* Weights on one device, with embeddings and norms in 16 bits beside quantised matrices. */
static void weights_add(struct sizes *s)
{
    double whole = s->params * s->weight_bytes;
    if (s->quantised) {
        double packed = s->L > 0 ? s->linear : s->params;
        packed += s->profile->quantised_head > 0 ? s->V * s->h : 0;
        packed = fmin(packed, s->params);
        whole = packed * s->weight_bytes + (s->params - packed) * 2;
    }
    double kept = whole;
    if (s->sharding->weights && s->N > 1) {
        kept = whole / s->N;
        if (s->sharding->frozen_resident && !(s->method->flags & METHOD_TRAINS_ALL))
            kept = kept * s->profile->shard_scale + whole * s->profile->fsdp_resident;
    }
    s->terms[MEMORY_WEIGHTS] = kept;
}

static double largest_layer(const struct sizes *s)
{
    return fmax((double)s->request->largest_params, fmax(s->V * s->h, s->h * s->f));
}

/* ZeRO's mixed precision keeps fp32 masters: 2 + 2 + 12 bytes and an fp32 gradient's 2 more. */
static void training_add(struct sizes *s)
{
    bool masters = s->sharding->buckets;
    double gradient = masters ? 4 : fmax(s->weight_bytes, 2);
    double states = masters ? 12 : s->states;
    double gradient_parts = s->sharding->gradients ? s->N : 1;
    double state_parts = s->sharding->states ? s->N : 1;
    if (s->method->flags & METHOD_TRAINS_ALL) {
        double kept = s->trainable / gradient_parts;
        if (s->fused_step &&
            largest_layer(s) > 0) /* a gradient is used up as soon as it is there */
            kept = fmin(kept, largest_layer(s));
        s->terms[MEMORY_GRADIENTS] = kept * gradient;
        s->terms[MEMORY_OPTIMIZER] = s->trainable * states / state_parts;
    } else {
        s->terms[MEMORY_ADAPTERS] = s->trainable * s->profile->adapter_bytes / state_parts;
    }
    if (s->method->flags & METHOD_COPIES_EMBEDDING)
        s->terms[MEMORY_ADAPTERS] += s->embedding * s->profile->module_copy_bytes;
}

static void buffers_add(struct sizes *s)
{
    double largest = largest_layer(s);
    if (s->sharding->buckets)
        s->terms[MEMORY_BUFFERS] = 2 * BUCKET_ELEMENTS;
    if (s->sharding->buckets && s->sharding->weights)
        s->terms[MEMORY_BUFFERS] += 2 * fmin(BUCKET_ELEMENTS, s->params) + 4 * largest;
    if (s->N > 1 && !s->sharding->weights && !s->sharding->buckets)
        s->terms[MEMORY_BUFFERS] = 2 * DDP_BUCKET_BYTES + s->trainable * 2;
}

/* Bytes that one block saves per token. */
static double block_bytes(const struct sizes *s)
{
    const struct profile *p = s->profile;
    double norm = 2 * p->norm_bytes * s->h;
    double attention = s->e * (2 * s->q + 2 * s->g);
    double mlp = s->e * (s->n > 2 ? 4 : 2) * s->f * s->active;
    double bytes = p->block_scale * (norm + attention + mlp + s->e * s->h);
    if (s->method->flags & METHOD_ADAPTS)
        bytes += p->adapter_input_bytes * adapted_inputs(s);
    if (s->quantised)
        bytes += p->quantised_inputs * s->e * (s->h + s->f);
    if (s->method->flags & METHOD_SAVES_OUTPUTS)
        bytes += s->e * (s->q + 2 * s->g + 2 * s->h + (s->n - 1) * s->f);
    return bytes;
}

static void activations_add(struct sizes *s)
{
    const struct memory_request *r = s->request;
    double block = s->T * block_bytes(s);
    if (r->no_flash) /* scores, and probabilities beside them */
        block += s->T * s->S * s->heads * (2 * s->e + 1);
    double blocks = s->checkpointing ? s->T * s->L * s->e * s->h + block : s->L * block;
    double head = s->T * s->V * s->profile->head_bytes;
    s->terms[MEMORY_ACTIVATIONS] = blocks;
    s->terms[MEMORY_LOGITS] = head;
}

/* A model without blocks: what backward needs of every sample, and twice the largest tensor. */
static void layers_add(struct sizes *s)
{
    const struct memory_request *r = s->request;
    double batch = r->batch ? (double)r->batch : 1;
    double elements = (double)r->saved_elements + 2 * (double)r->widest_elements;
    double scale = s->profile->layer_scale;
    s->terms[MEMORY_ACTIVATIONS] = s->e * batch * elements;
    for (int term = 0; term < MEMORY_CONTEXT; term++)
        s->terms[term] *= scale;
    if (r->convolutions)
        s->terms[MEMORY_TRANSIENT] += s->profile->convolution_bytes;
}

static void inference_add(struct sizes *s)
{
    const struct memory_request *r = s->request;
    double batch = r->batch ? (double)r->batch : 1;
    double tokens = batch * ((double)r->sequence + (double)r->new_tokens);
    bool packed = r->kv_cache && strcmp(r->kv_cache, "int8") == 0;
    double scale = packed ? s->profile->kv_int8_scale : 2 * s->profile->kv_scale;
    double largest = fmax(s->V * s->h, s->h * fmax(s->f, s->q));
    double split = s->sharding->weights ? s->N : 1;
    if (s->L > 0)
        s->terms[MEMORY_KV_CACHE] = 2 * s->L * s->g * tokens * scale / split;
    else
        s->terms[MEMORY_ACTIVATIONS] = 2 * s->e * batch * (double)r->widest_elements;
    s->terms[MEMORY_ACTIVATIONS] += s->T * s->e * (4 * s->h + 2 * s->f);
    s->terms[MEMORY_LOGITS] = batch * s->V * s->profile->logits_scale;
    if (s->quantised)
        s->terms[MEMORY_TRANSIENT] = 2 * largest * s->profile->generate_dequantised;
    s->out->phase = "generate";
}

/* The end of forward against the optimizer's step: the larger of the two holds its own terms. */
static void phase_choose(struct sizes *s)
{
    double largest = fmax(s->V * s->h, s->h * fmax(s->f, s->q));
    double dequantised = s->quantised ? 2 * largest * s->profile->dequantised_copies : 0;
    double copies = s->foreach && !s->sharding->buckets ? s->profile->step_copies : 0;
    double step =
        copies * s->trainable * fmax(s->weight_bytes, 2) / (s->sharding->states ? s->N : 1);
    double forward = s->terms[MEMORY_ACTIVATIONS] + s->terms[MEMORY_LOGITS] + dequantised;
    s->out->phase = "backward";
    s->terms[MEMORY_TRANSIENT] = dequantised;
    if (step <= forward)
        return;
    s->out->phase = "step";
    s->terms[MEMORY_ACTIVATIONS] = s->terms[MEMORY_LOGITS] = 0;
    s->terms[MEMORY_TRANSIENT] = step;
}

static int sizes_check(const struct memory_request *r, struct error *err)
{
    const double counts[] = {(double)r->params,         (double)r->trainable_params,
                             (double)r->saved_elements, (double)r->widest_elements,
                             (double)r->batch,          (double)r->sequence,
                             (double)r->new_tokens,     (double)r->largest_params,
                             (double)r->resident_bytes};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        if (counts[i] > COUNT_MAX)
            return error_set(err, -EINVAL, "bad-estimate",
                             "%.3g is more than a model or a run has; the limit is %.0e", counts[i],
                             COUNT_MAX);
    }
    if (!r->params && !(r->layers && r->hidden))
        return error_set(err, -EINVAL, "bad-estimate",
                         "neither the parameters nor the shapes of the model are known: give "
                         "params, or layers and hidden");
    return 0;
}

static int result_set(struct sizes *s, struct error *err)
{
    double point = 0;
    for (int term = 0; term < MEMORY_TERM_COUNT; term++)
        point += s->terms[term];
    if (!(point * s->profile->safe_factor < POINT_MAX_BYTES))
        return error_set(err, -EOVERFLOW, "bad-estimate",
                         "these sizes need %.3g bytes: no machine has as much", point);
    for (int term = 0; term < MEMORY_TERM_COUNT; term++) {
        s->out->term_bytes[term] = (uint64_t)s->terms[term];
        s->out->point_bytes += s->out->term_bytes[term];
    }
    s->out->safe_bytes = (uint64_t)(point * s->profile->safe_factor);
    s->out->params = (uint64_t)s->params;
    s->out->trainable_params = (uint64_t)s->trainable;
    s->out->gpus = (uint32_t)s->N;
    return 0;
}

int memory_estimate(const struct memory_request *request, const struct profiles *profiles,
                    struct memory_estimate *ret_estimate, struct error *err)
{
    struct memory_estimate estimate = {0};
    struct sizes s = {.request = request, .out = &estimate};
    bool known;
    s.profile = profiles_find(profiles, request->framework, &known);
    estimate.profile = s.profile->name;
    if (!known)
        assume(&s, "the framework has no profile of its own: the default's constants");
    int r = sizes_check(request, err);
    if (r == 0)
        r = names_resolve(&s, err);
    if (r < 0)
        return r;
    shapes_resolve(&s);
    run_resolve(&s);
    trainable_resolve(&s);
    weights_add(&s);
    if (s.method->flags == 0) {
        inference_add(&s);
    } else {
        training_add(&s);
        buffers_add(&s);
        if (s.L > 0) {
            activations_add(&s);
            phase_choose(&s);
        } else {
            estimate.phase = "backward";
            layers_add(&s);
        }
    }
    s.terms[MEMORY_DATA] = (double)request->resident_bytes;
    if (!request->allocated_only)
        s.terms[MEMORY_CONTEXT] = s.profile->context_bytes;
    r = result_set(&s, err);
    if (r == 0)
        *ret_estimate = estimate;
    return r;
}
