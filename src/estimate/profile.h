/* What a framework and its version add to the formulas of memory.h: constants measured on public
 * runs, read from a data file. A profile belongs to a framework version, never to a model. */
#ifndef LEAT_ESTIMATE_PROFILE_H
#define LEAT_ESTIMATE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct profiles;

/* All constants are numbers: real ones keep the table of fields one kind. */
struct profile {
    char *name;                  /* owned */
    char **frameworks;           /* other names it answers to; owned; may be NULL */
    double block_scale;          /* of the activations of a transformer's block */
    double norm_bytes;           /* per norm element: 8 computed in fp32, 4 fused */
    double head_bytes;           /* per token and entry of the vocabulary: head and loss */
    double adapter_bytes;        /* per adapter parameter: weight, gradient, two states */
    double adapter_input_bytes;  /* saved per element that enters an adapted matrix */
    double module_copy_bytes;    /* per parameter of fully trained embedding and head */
    double quantised_inputs;     /* copies of its input that a quantised linear saves */
    double quantised_head;       /* 1: the head is quantised too */
    double dequantised_copies;   /* of the head or the largest matrix, in 16 bits */
    double generate_dequantised; /* the same for inference */
    double kv_scale;             /* of the plain KV cache: concatenation keeps two */
    double kv_int8_scale;
    double logits_scale;          /* inference: bytes per sample and entry of the vocabulary */
    double fsdp_resident;         /* part of frozen weights that stays whole on every device */
    double shard_scale;           /* of a device's shard of the weights */
    double sharded_checkpointing; /* 1: sharded runs checkpoint unless they say otherwise */
    double layer_scale;           /* of models without blocks */
    double convolution_bytes;     /* workspace of a convolution library */
    double context_bytes;         /* context, libraries: what the framework does not count */
    double step_copies;           /* copies of the trainable parameters in an optimizer's step */
    double safe_factor;           /* safe reservation over point estimate */
};

/* A YAML document: `profiles: [...]`; the first is the default. Returns NULL with err set. */
struct profiles *profiles_parse(const char *text, size_t length, struct error *err);
void profiles_destroy(struct profiles *profiles);
/* By name or framework; NULL name: the default. Never NULL; *ret_known says if it was there. */
const struct profile *profiles_find(const struct profiles *profiles, const char *name,
                                    bool *ret_known);

#endif
