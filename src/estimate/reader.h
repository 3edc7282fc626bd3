/* Readers of model files: what the header of a file says about parameters and shapes, without its
 * weights, without Python and without running anything in it. Every length in a file is hostile.
 * Pure: bytes come through a callback. Readers fill in what they learn and leave the rest. */
#ifndef LEAT_ESTIMATE_READER_H
#define LEAT_ESTIMATE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct memory_request;

/* Where a file's bytes come from. */
struct source {
    /* All of `length` bytes at `offset`, which lie within the size; 0 or a negative errno. */
    int (*read_at)(void *arg, uint64_t offset, void *data, size_t length);
    void *arg;
    uint64_t size_bytes;
};

#define TALLY_FORMATS_MAX 16

/* What the tensors of a model add up to, over all its files. */
struct tally {
    uint64_t params, tensors, stored_bytes;
    uint64_t largest_params;
    size_t format_count;
    struct {
        char name[12]; /* as memory_format_bytes knows it, where it does */
        uint64_t params;
    } formats[TALLY_FORMATS_MAX];
    bool has_gate, has_head; /* a gated feed-forward; a head beside the embedding */
};

/* Count one tensor. -EOVERFLOW or -ENOSPC when no machine could hold it. */
int tally_add(struct tally *tally, const char *name, const char *format, uint64_t params,
              uint64_t stored_bytes);
/* Hand over what the tensors told: parameters, weights' format, gate and head. */
int tally_apply(const struct tally *tally, struct memory_request *request, struct error *err);

/* The header of one safetensors file: offsets in range, without overlap or gap. */
int safetensors_read(const struct source *source, struct tally *tally, struct error *err);
/* GGUF, version 2 or 3: shapes from its keys, parameters from its tensors. */
int gguf_read(const struct source *source, struct tally *tally, struct memory_request *request,
              struct error *err);
/* ONNX: parameters from its initializers; from its operators what one sample leaves for backward.
 * An operator whose shapes are not known is refused by name (-ENOTSUP). */
int onnx_read(const struct source *source, struct tally *tally, struct memory_request *request,
              struct error *err);
/* An archive of PyTorch: its pickle is walked and nothing in it is executed. One that builds what
 * is not known counts as its storages, four bytes a number. */
int pytorch_read(const struct source *source, struct tally *tally, struct error *err);
/* The text of a Hugging Face config.json: shapes under the names that the architectures use. */
int config_json_read(const char *text, size_t length, struct memory_request *request,
                     struct error *err);

/* A file (.safetensors, .gguf, .onnx, .pt, .pth, .bin, .ckpt, config.json; a description by hand,
 * .yaml, with the members of a body of POST /v1/estimates) or a folder with config.json and the
 * weights beside it. Opens only what it needs and reads headers only. */
int model_read(const char *path, struct tally *ret_tally, struct memory_request *request,
               struct error *err);

#endif
