/* Readers of model files: counted against files made by hand, refusals, a folder of shards, and how
 * little of a huge file is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

#define SHARD_COUNT 4
#define SHARD_PARAMS 2500000000ULL /* in bf16: 5 GB a shard */

struct fixture {
    char folder[64];
    struct memory_request request;
    struct tally tally;
};

static void put(const struct fixture *f, const char *name, const void *data, size_t length,
                uint64_t size)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, length), 0);
    if (size)
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
    (void)close(fd);
}

/* A file whose header is `text` and whose tensors take `data_bytes`, without taking disk. */
static void put_safetensors(const struct fixture *f, const char *name, const char *text,
                            uint64_t data_bytes)
{
    AUTO_BUF struct buf file = BUF_INIT;
    uint64_t length = strlen(text);
    assert_int_equal(buf_append(&file, &length, sizeof(length)), 0); /* little-endian hosts */
    assert_int_equal(buf_puts(&file, text), 0);
    put(f, name, file.data, file.length, 8 + length + data_bytes);
}

static int read_model(struct fixture *f, const char *name, struct error *err)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    memory_request_finish(&f->request);
    memory_request_init(&f->request);
    return model_read(path, &f->tally, &f->request, err);
}

static void must_read(struct fixture *f, const char *name)
{
    struct error err = {0};
    if (read_model(f, name, &err) < 0)
        fail_msg("%s", err.text);
}

/* A seed of the fuzzers. */
static void put_seed(const struct fixture *f, const char *seed, const char *name)
{
    char path[512];
    AUTO_BUF struct buf text = BUF_INIT;
    (void)snprintf(path, sizeof(path), CORPUS_FOLDER "/%s", seed);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
    put(f, name, text.data, text.length, 0);
}

static void test_safetensors(void **state)
{
    struct fixture *f = *state;
    put_seed(f, "safetensors/mlp", "model.safetensors");
    must_read(f, "model.safetensors");
    assert_int_equal(f->tally.params, 4 * 8 + 2 * 8);
    assert_int_equal(f->tally.tensors, 2);
    assert_int_equal(f->tally.stored_bytes, 96);
    assert_string_equal(f->request.weights, "fp16"); /* most of the parameters are */
}

static void test_safetensors_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *header, *says;
        uint64_t data_bytes;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "complete", 7},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", "size", 9},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "data_offsets", 8},
        {"{\"a\":{\"dtype\":\"X\",\"shape\":[2],\"data_offsets\":[0,8]}}", "dtype", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "shape", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,8]}}",
         "shape", 8},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         "overlap", 6},
        {"{\"a\":1,\"a\":2}", "duplicate", 0},
        {"[]", "not an object", 0},
        {"{}", "no tensors", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        put_safetensors(f, "bad.safetensors", cases[i].header, cases[i].data_bytes);
        int r = read_model(f, "bad.safetensors", &err);
        if (i == 9) { /* an empty file is a file, but no model */
            assert_int_equal(r, 0);
            assert_int_equal(f->tally.tensors, 0);
            continue;
        }
        assert_true(r < 0);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].header, err.text);
    }
    struct error err = {0};
    put(f, "bad.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, 0);
    assert_true(read_model(f, "bad.safetensors", &err) < 0);
}

static void test_gguf(void **state)
{
    struct fixture *f = *state;
    put_seed(f, "gguf/llama", "a.gguf");
    must_read(f, ".");
    assert_int_equal(f->request.layers, 2);
    assert_int_equal(f->request.hidden, 32);
    assert_int_equal(f->request.ffn, 64);
    assert_int_equal(f->request.vocab, 3);
    assert_int_equal(f->request.params, 32 * 3 + 512);
    assert_int_equal(f->request.mlp_matrices, 3);
    assert_true(f->request.tied);
    assert_string_equal(f->request.weights, "q4_k");
    assert_int_equal(f->tally.stored_bytes, 192 + 2 * 144);
}

static void test_config(void **state)
{
    struct fixture *f = *state;
    put_seed(f, "config/llama", "config.json");
    must_read(f, "config.json");
    assert_int_equal(f->request.kv_heads, 8);
    assert_int_equal(f->request.mlp_matrices, 3);
    assert_string_equal(f->request.weights, "bf16");
    put_seed(f, "config/gpt2", "config.json");
    must_read(f, ".");
    assert_int_equal(f->request.hidden, 768);
    assert_int_equal(f->request.mlp_matrices, 2);
    struct error err = {0};
    put(f, "config.json", "{\"hidden_size\":-1}", 18, 0);
    assert_true(read_model(f, "config.json", &err) < 0);
    assert_non_null(strstr(err.text, "hidden_size"));
}

/* Conv 3x32x32 to 8x16x16, normalised, rectified in place, pooled to 8x8x8 (kept with its places),
 * and ten classes. */
static void test_onnx(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    put_seed(f, "onnx/mlp", "a.onnx");
    must_read(f, "a.onnx");
    assert_int_equal(f->request.params, 8 * 27 + 8 + 5120 + 10);
    assert_int_equal(f->request.saved_elements, 3 * 1024 + 2048 + 2048 + 3 * 512 + 10);
    assert_int_equal(f->request.widest_elements, 2048);
    assert_true(f->request.convolutions);
    assert_string_equal(f->request.weights, "fp32");
    put_seed(f, "onnx/unsupported", "b.onnx");
    assert_true(read_model(f, "b.onnx", &err) < 0);
    assert_non_null(strstr(err.text, "'Mystery'"));
    put(f, "c.onnx", "\x3a\x7f\x01", 3, 0);
    assert_true(read_model(f, "c.onnx", &err) < 0);
}

/* 20 GB in four sparse shards, each named many times by the index. */
static void test_shards(void **state)
{
    struct fixture *f = *state;
    AUTO_BUF struct buf index = BUF_INIT;
    (void)buf_puts(&index, "{\"weight_map\":{");
    for (int i = 0; i < SHARD_COUNT; i++) {
        char name[64], header[256];
        (void)snprintf(name, sizeof(name), "model-%d.safetensors", i);
        (void)snprintf(header, sizeof(header),
                       "{\"model.layers.%d.w\":{\"dtype\":\"BF16\",\"shape\":[%llu],"
                       "\"data_offsets\":[0,%llu]}}",
                       i, SHARD_PARAMS, 2 * SHARD_PARAMS);
        put_safetensors(f, name, header, 2 * SHARD_PARAMS);
        (void)buf_printf(&index, "%s\"a%d\":\"%s\",\"b%d\":\"%s\"", i ? "," : "", i, name, i, name);
    }
    (void)buf_puts(&index, "}}");
    put(f, "model.safetensors.index.json", index.data, index.length, 0);
    uint64_t begin_ns = clock_monotonic_ns();
    must_read(f, ".");
    uint64_t took_ms = (clock_monotonic_ns() - begin_ns) / 1000000;
    assert_int_equal(f->request.params, SHARD_COUNT * SHARD_PARAMS);
    print_message("estimate.read_20gb_ms\t%llu\n", (unsigned long long)took_ms);
    assert_true(took_ms < 1000);
    struct error err = {0};
    put(f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../x\"}}", 27, 0);
    assert_true(read_model(f, ".", &err) < 0);
    assert_non_null(strstr(err.text, "beside"));
}

static void test_nothing_there(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {".", "missing.gguf", "other.txt", "dir.gguf"};
    put(f, "other.txt", "x", 1, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct error err = {0};
        assert_true(read_model(f, names[i], &err) < 0);
        assert_true(err.text[0]);
    }
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/leat-model-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) ? 0 : -1;
}

static int end(void **state)
{
    struct fixture *f = *state;
    memory_request_finish(&f->request);
    int r = dir_remove_tree(AT_FDCWD, f->folder, NULL);
    free(f);
    return r;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_safetensors, begin, end),
        cmocka_unit_test_setup_teardown(test_safetensors_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_gguf, begin, end),
        cmocka_unit_test_setup_teardown(test_config, begin, end),
        cmocka_unit_test_setup_teardown(test_onnx, begin, end),
        cmocka_unit_test_setup_teardown(test_shards, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_there, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
