/* Buffers of many sizes that come and go while kernels still work on them, filled and looked at in
 * every way, by writes, reads and maps: no two may ever share a byte. Prints a sum of all that was
 * seen, which does not depend on timing. */
#include <string.h>

#include "program.h"

#define LIVE 24
#define ROUNDS 1500
#define ITEMS_MOST 60000u
#define ROOMS 32 /* host memory of so many rounds, which writes may still read from */

struct item {
    cl_mem memory;
    cl_uint count, value; /* every word of it is `value` */
};

static const char *const source =
    "kernel void add(global uint *x, const uint n, const uint count)\n"
    "{ if (get_global_id(0) < count) x[get_global_id(0)] += n; }\n";

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void check_all(const cl_uint *words, const struct item *item, int round)
{
    for (cl_uint i = 0; i < item->count; i++) {
        if (words[i] == item->value)
            continue;
        (void)fprintf(stderr, "round %d: word %u of %u is %u, not %u\n", round, i, item->count,
                      words[i], item->value);
        exit(1);
    }
}

/* Look at the whole buffer by a map or by a read into `room`. */
static void look(cl_command_queue queue, const struct item *item, cl_uint *room, int round)
{
    const size_t bytes = item->count * sizeof(cl_uint);
    if (round % 2) {
        MUST(clEnqueueReadBuffer(queue, item->memory, round % 3 != 0, 0, bytes, room, 0, NULL,
                                 NULL));
        MUST(clFinish(queue));
        check_all(room, item, round);
        return;
    }
    cl_int code;
    cl_uint *mapped = clEnqueueMapBuffer(queue, item->memory, CL_TRUE, CL_MAP_READ, 0, bytes, 0,
                                         NULL, NULL, &code);
    must(code, "map");
    check_all(mapped, item, round);
    MUST(clEnqueueUnmapMemObject(queue, item->memory, mapped, 0, NULL, NULL));
}

static void make(cl_context context, cl_command_queue queue, struct item *item, cl_uint *room,
                 int round)
{
    const size_t bytes = item->count * sizeof(cl_uint);
    cl_int code;
    for (cl_uint i = 0; i < item->count; i++)
        room[i] = item->value;
    item->memory = clCreateBuffer(context, round % 3 ? CL_MEM_READ_WRITE : CL_MEM_COPY_HOST_PTR,
                                  bytes, round % 3 ? NULL : room, &code);
    must(code, "buffer");
    if (round % 3)
        MUST(clEnqueueWriteBuffer(queue, item->memory, round % 3 == 1, 0, bytes, room, 0, NULL,
                                  NULL));
}

static void add(cl_command_queue queue, cl_kernel kernel, struct item *item, cl_uint n)
{
    const size_t local = 64, global = (item->count + local - 1) / local * local;
    MUST(clSetKernelArg(kernel, 0, sizeof(item->memory), &item->memory));
    MUST(clSetKernelArg(kernel, 1, sizeof(n), &n));
    MUST(clSetKernelArg(kernel, 2, sizeof(item->count), &item->count));
    MUST(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL));
    item->value += n;
}

int main(void)
{
    static struct item items[LIVE];
    static cl_uint rooms[ROOMS][ITEMS_MOST];
    cl_device_id device;
    cl_int code;
    uint32_t random = 12345;
    unsigned long long seen = 0;
    cl_context context = open_device(&device);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &code);
    must(code, "queue");
    const char *text = source;
    cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(program, 1, &device, "", NULL, NULL));
    cl_kernel kernel = clCreateKernel(program, "add", &code);
    must(code, "kernel");
    for (int round = 0; round < ROUNDS; round++) {
        cl_uint *room = rooms[round % ROOMS];
        if (round % ROOMS == 0)
            MUST(clFinish(queue));
        struct item *item = &items[random_next(&random) % LIVE];
        if (item->memory && random_next(&random) % 3) {
            look(queue, item, room, round);
            seen += item->value;
        }
        if (item->memory) {
            add(queue, kernel, item, 1); /* is still under way when the buffer goes */
            MUST(clReleaseMemObject(item->memory));
        }
        cl_uint large = random_next(&random) % 8 ? 3000 : ITEMS_MOST;
        *item = (struct item){NULL, 1 + random_next(&random) % large, random_next(&random)};
        make(context, queue, item, room, round);
        add(queue, kernel, item, random_next(&random) % 100);
    }
    for (int i = 0; i < LIVE; i++) {
        if (!items[i].memory)
            continue;
        look(queue, &items[i], rooms[0], 1);
        seen += items[i].value;
        MUST(clReleaseMemObject(items[i].memory));
    }
    (void)printf("seen %llu\n", seen);
    return 0;
}
