/* How much device memory a training or inference run needs: the sizes of a model and the settings
 * of a run come in; a point estimate, a safe reservation and what they are made of go out. Pure:
 * what depends on a framework and its version comes in as a profile (estimate/profiles.yaml). */
#ifndef LEAT_ESTIMATE_MEMORY_H
#define LEAT_ESTIMATE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct json_t;
struct profiles;

/* All texts are owned; NULL and 0 mean "not said", and an assumption is made in their place. */
struct memory_request {
    /* the model */
    uint64_t params;           /* 0: counted from the shapes */
    uint64_t trainable_params; /* 0: by the method */
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, mlp_matrices, vocab, experts;
    bool tied;                /* the head is the embedding */
    uint64_t saved_elements;  /* per sample, for backward: models without blocks (MLP, CNN) */
    uint64_t widest_elements; /* per sample, of the largest tensor */
    uint64_t largest_params;  /* of the largest layer; 0: from the shapes */
    uint64_t sample_kflop;    /* thousands of operations forward, per sample; 0: by the shapes */
    uint64_t resident_bytes;  /* of data that stays on the device, such as a whole data set */
    bool convolutions;        /* a convolution library keeps a workspace */
    /* the run */
    char *task;      /* train or infer */
    char *method;    /* full, lora, qlora, ...: see memory_methods */
    char *targets;   /* adapted matrices: "q,k,v,o,mlp,head" */
    char *weights;   /* bf16, fp32, nf4, q4_k, ...: how the weights are kept */
    char *compute;   /* fp32, bf16 or fp16 */
    char *optimizer; /* adamw, sgd, ... */
    char *sharding;  /* none, ddp, zero1, zero2, zero3, fsdp or layers */
    char *kv_cache;  /* 16bit or int8 */
    char *framework; /* a profile's name or one of its versions; NULL: the default profile */
    uint32_t rank, gpus;
    uint64_t batch, sequence, new_tokens;
    /* how long it goes on; memory does not depend on it */
    uint64_t steps;           /* 0: by the samples, the epochs and the batch */
    uint64_t samples, epochs; /* of the data set; how often it is gone through */
    bool checkpointing, no_flash,
        allocated_only; /* the last: without context, as frameworks count */
};

enum memory_term {
    MEMORY_WEIGHTS,
    MEMORY_GRADIENTS,
    MEMORY_OPTIMIZER,
    MEMORY_ADAPTERS, /* weights, gradients and states of what an adapter adds */
    MEMORY_ACTIVATIONS,
    MEMORY_LOGITS,
    MEMORY_KV_CACHE,
    MEMORY_TRANSIENT, /* dequantised matrices, one optimizer copy, whichever the phase needs */
    MEMORY_DATA,      /* that stays on the device */
    MEMORY_BUFFERS,   /* of sharding and data-parallel exchange */
    MEMORY_CONTEXT,
    MEMORY_TERM_COUNT
};

#define MEMORY_ASSUMPTIONS_MAX 12

struct memory_estimate {
    uint64_t point_bytes, safe_bytes; /* per device */
    uint64_t params, trainable_params;
    uint64_t term_bytes[MEMORY_TERM_COUNT]; /* at the peak; they add up to point_bytes */
    uint32_t gpus;
    const char *phase;                               /* that sets the peak: static text */
    const char *profile;                             /* borrowed from the profiles */
    const char *assumptions[MEMORY_ASSUMPTIONS_MAX]; /* static texts, ended by NULL */
};

void memory_request_init(struct memory_request *request);
void memory_request_finish(struct memory_request *request);
/* A flat object whose members are called as those of the struct. */
int memory_request_decode(const struct json_t *object, struct memory_request *request,
                          struct error *err);
/* The other way; what is not said is left out. A new reference, NULL: out of memory. */
struct json_t *memory_request_encode(const struct memory_request *request);
/* Refuses names it does not know, naming those it does, and sizes beyond any machine. */
int memory_estimate(const struct memory_request *request, const struct profiles *profiles,
                    struct memory_estimate *ret_estimate, struct error *err);
/* A new reference; NULL: out of memory. */
struct json_t *memory_estimate_encode(const struct memory_estimate *estimate);
const char *memory_term_name(enum memory_term term);
/* Bytes of one parameter kept as `weights` ("nf4", "q4_k", ...); 0: unknown. */
double memory_format_bytes(const char *weights);

#endif
