/* Coarse-grain shared virtual memory: pointers that mean the same to the program and to kernels.
 * Prints results that do not depend on addresses, and the codes of wrong calls.
 *
 * svm                all of that
 * svm rounds N       a list that kernels follow and change N times
 * svm across         such a list and an open map across a line on standard input, three times
 * svm between        the same with no map open
 * svm fill          as many MiB as there are, twice
 * svm taken ADDRESS  where the driver's first memory would lie, this process has something else */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#include <string.h>
#include <sys/mman.h>

#include "program.h"

#define COUNT 200u

struct node {
    struct node *next;
    cl_int value;
};

struct world {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_kernel walk, add, age;
};

static const char *const source =
    "struct node { global struct node *next; int value; };\n"
    "kernel void walk(global struct node *list, global int *sum) {\n"
    "    int total = 0;\n"
    "    for (; list; list = list->next) { total += list->value; list->value = -1; }\n"
    "    *sum = total;\n"
    "}\n"
    "kernel void age(global struct node *list, global int *sum) {\n"
    "    int total = 0;\n"
    "    for (; list; list = list->next) total += list->value++;\n"
    "    *sum = total;\n"
    "}\n"
    "kernel void add(global int *x, int n) { x[get_global_id(0)] += n; }\n";

static cl_kernel kernel(cl_program program, const char *name)
{
    cl_int code;
    cl_kernel made = clCreateKernel(program, name, &code);
    must(code, name);
    return made;
}

static void open_world(struct world *w)
{
    cl_int code;
    w->context = open_device(&w->device);
    w->queue = clCreateCommandQueueWithProperties(w->context, w->device, NULL, &code);
    must(code, "queue");
    cl_program program =
        clCreateProgramWithSource(w->context, 1, (const char **)(uintptr_t)&source, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    w->walk = kernel(program, "walk");
    w->add = kernel(program, "add");
    w->age = kernel(program, "age");
}

static void *allocate(struct world *w, size_t bytes)
{
    void *memory = clSVMAlloc(w->context, CL_MEM_READ_WRITE, bytes, 0);
    if (memory)
        return memory;
    (void)fprintf(stderr, "no shared virtual memory\n");
    exit(3);
}

/* A list, every node an allocation of its own. */
static void make_list(struct world *w, struct node *nodes[COUNT])
{
    for (cl_uint i = 0; i < COUNT; i++)
        nodes[i] = allocate(w, sizeof(*nodes[i]));
    for (cl_uint i = 0; i < COUNT; i++) {
        MUST(clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_WRITE, nodes[i], sizeof(*nodes[i]), 0, NULL,
                             NULL));
        *nodes[i] = (struct node){i + 1 < COUNT ? nodes[i + 1] : NULL, (cl_int)i};
        MUST(clEnqueueSVMUnmap(w->queue, nodes[i], 0, NULL, NULL));
    }
}

/* Made here, followed there. */
static void lists(struct world *w)
{
    struct node *nodes[COUNT];
    cl_int *sum = allocate(w, sizeof(*sum));
    const size_t one = 1;
    make_list(w, nodes);
    struct node *last = nodes[COUNT - 1];
    MUST(clSetKernelExecInfo(w->walk, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(nodes), nodes));
    MUST(clSetKernelArgSVMPointer(w->walk, 0, nodes[0]));
    MUST(clSetKernelArgSVMPointer(w->walk, 1, sum));
    MUST(clEnqueueNDRangeKernel(w->queue, w->walk, 1, NULL, &one, NULL, 0, NULL, NULL));
    MUST(clEnqueueSVMMap(w->queue, CL_FALSE, CL_MAP_READ, last, sizeof(*last), 0, NULL, NULL));
    MUST(clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ, sum, sizeof(*sum), 0, NULL, NULL));
    (void)printf("sum %d, last %d\n", *sum, last->value);
    MUST(clEnqueueSVMUnmap(w->queue, sum, 0, NULL, NULL));
    MUST(clEnqueueSVMUnmap(w->queue, last, 0, NULL, NULL));
    MUST(clFinish(w->queue));
    for (cl_uint i = 0; i < COUNT; i++)
        clSVMFree(w->context, nodes[i]);
    clSVMFree(w->context, sum);
}

/* Copies and fills between this process's own memory and shared memory, and a part of an
 * allocation as an argument. */
static void moves(struct world *w)
{
    cl_int *a = allocate(w, COUNT * sizeof(*a)), *b = allocate(w, COUNT * sizeof(*b));
    cl_int host[COUNT], seven = 7, total = 0;
    const size_t half = COUNT / 2;
    for (cl_uint i = 0; i < COUNT; i++)
        host[i] = (cl_int)i;
    MUST(clEnqueueSVMMemFill(w->queue, a, &seven, sizeof(seven), sizeof(host), 0, NULL, NULL));
    MUST(clEnqueueSVMMemcpy(w->queue, CL_FALSE, b, host, sizeof(host), 0, NULL, NULL));
    MUST(clSetKernelArgSVMPointer(w->add, 0, a + half));
    MUST(clSetKernelArg(w->add, 1, sizeof(seven), &seven));
    MUST(clEnqueueNDRangeKernel(w->queue, w->add, 1, NULL, &half, NULL, 0, NULL, NULL));
    MUST(clEnqueueSVMMemcpy(w->queue, CL_FALSE, b, a + half, half * sizeof(*a), 0, NULL, NULL));
    MUST(clEnqueueSVMMemcpy(w->queue, CL_TRUE, host, b, sizeof(host), 0, NULL, NULL));
    for (cl_uint i = 0; i < COUNT; i++)
        total += host[i];
    (void)printf("moved %d\n", total);
    cl_event event;
    cl_command_type type;
    MUST(clEnqueueSVMMemcpy(w->queue, CL_TRUE, host, host + half, 16, 0, NULL, &event));
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL));
    (void)printf("own memory %d by %x\n", host[0] == host[half], type);
    (void)clReleaseEvent(event);
    cl_int code;
    cl_bool shared = 7;
    cl_mem over = clCreateBuffer(w->context, CL_MEM_USE_HOST_PTR, 64, a, &code);
    MUST(clGetMemObjectInfo(over, CL_MEM_USES_SVM_POINTER, sizeof(shared), &shared, NULL));
    (void)printf("a buffer over it %d\n", shared);
    MUST(clReleaseMemObject(over));
    clSVMFree(w->context, a);
    clSVMFree(w->context, b);
}

static void CL_CALLBACK on_free(cl_command_queue queue, cl_uint count, void **pointers, void *arg)
{
    cl_context context;
    MUST(clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof(context), &context, NULL));
    for (cl_uint i = 0; i < count; i++)
        clSVMFree(context, pointers[i]);
    *(cl_uint *)arg += count;
}

/* The program's function has been called when the command has ended. */
static void frees(struct world *w)
{
    void *pair[2] = {allocate(w, 64), allocate(w, 64)}, *alone = allocate(w, 64);
    void *third = allocate(w, 64), *fourth = allocate(w, 64);
    cl_uint freed = 0;
    cl_int code, copied;
    cl_event event, gate;
    MUST(clEnqueueSVMFree(w->queue, 2, pair, on_free, &freed, 0, NULL, NULL));
    MUST(clEnqueueSVMFree(w->queue, 1, &alone, NULL, NULL, 0, NULL, NULL));
    MUST(clFinish(w->queue));
    (void)printf("freed %u\n", freed);
    MAKE(gate, clCreateUserEvent(w->context, &code));
    MUST(clEnqueueSVMFree(w->queue, 1, &third, on_free, &freed, 1, &gate, &event));
    MUST(clFlush(w->queue));
    (void)printf("held back %u\n", freed);
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    MUST(clWaitForEvents(1, &event));
    (void)printf("freed %u\n", freed);
    MUST(clEnqueueSVMFree(w->queue, 1, &fourth, on_free, &freed, 1, &event, NULL));
    MUST(clEnqueueSVMMemcpy(w->queue, CL_TRUE, &copied, &code, sizeof(code), 0, NULL, NULL));
    (void)printf("freed %u\n", freed);
    MUST(clReleaseEvent(event));
    MUST(clReleaseEvent(gate));
}

static void wrong_calls(struct world *w)
{
    cl_int *a = allocate(w, 256), host[4] = {0};
    size_t size = 16;
    const void *pointer = a;
    REPORT("size 0", clSVMAlloc(w->context, CL_MEM_READ_WRITE, 0, 0) != NULL);
    REPORT("odd alignment", clSVMAlloc(w->context, CL_MEM_READ_WRITE, 64, 3) != NULL);
    REPORT("null context", clSVMAlloc(NULL, CL_MEM_READ_WRITE, 64, 0) != NULL);
    clSVMFree(w->context, NULL);
    REPORT("arg index", clSetKernelArgSVMPointer(w->add, 9, a));
    REPORT("arg null kernel", clSetKernelArgSVMPointer(NULL, 0, a));
    REPORT("copy null", clEnqueueSVMMemcpy(w->queue, CL_TRUE, NULL, a, 4, 0, NULL, NULL));
    REPORT("copy overlap", clEnqueueSVMMemcpy(w->queue, CL_TRUE, a, a + 1, 16, 0, NULL, NULL));
    REPORT("copy null queue", clEnqueueSVMMemcpy(NULL, CL_TRUE, a, host, 4, 0, NULL, NULL));
    REPORT("fill pattern 3", clEnqueueSVMMemFill(w->queue, a, host, 3, 15, 0, NULL, NULL));
    REPORT("fill half a pattern", clEnqueueSVMMemFill(w->queue, a, host, 4, 6, 0, NULL, NULL));
    REPORT("map null", clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ, NULL, 4, 0, NULL, NULL));
    REPORT("map nothing", clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ, a, 0, 0, NULL, NULL));
    REPORT("unmap null", clEnqueueSVMUnmap(w->queue, NULL, 0, NULL, NULL));
    REPORT("migrate nothing",
           clEnqueueSVMMigrateMem(w->queue, 0, &pointer, &size, 0, 0, NULL, NULL));
    REPORT("migrate", clEnqueueSVMMigrateMem(w->queue, 1, &pointer, &size, 0, 0, NULL, NULL));
    REPORT("free nothing", clEnqueueSVMFree(w->queue, 0, NULL, NULL, NULL, 0, NULL, NULL));
    MUST(clFinish(w->queue));
    clSVMFree(w->context, a);
}

static void rounds(struct world *w, int count)
{
    struct node *nodes[COUNT];
    cl_int *sum = allocate(w, sizeof(*sum)), all = 0;
    const size_t one = 1;
    make_list(w, nodes);
    MUST(clSetKernelExecInfo(w->age, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(nodes), nodes));
    MUST(clSetKernelArgSVMPointer(w->age, 0, nodes[0]));
    MUST(clSetKernelArgSVMPointer(w->age, 1, sum));
    cl_int code;
    cl_kernel twin = clCloneKernel(w->age, &code);
    must(code, "twin");
    for (int i = 0; i < count; i++) {
        MUST(clEnqueueNDRangeKernel(w->queue, i % 2 ? twin : w->age, 1, NULL, &one, NULL, 0, NULL,
                                    NULL));
        MUST(clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ, sum, sizeof(*sum), 0, NULL, NULL));
        all = (all ^ *sum) * 31 % 1000003;
        MUST(clEnqueueSVMUnmap(w->queue, sum, 0, NULL, NULL));
    }
    MUST(clFinish(w->queue));
    (void)printf("%d rounds %d, at last %d\n", count, all, *sum);
}

/* Kernels follow the list from `first` on; what the map of `sum` holds was written by them. */
static cl_int *age_from(struct world *w, struct node *first, cl_int *sum)
{
    const size_t one = 1;
    MUST(clSetKernelArgSVMPointer(w->age, 0, first));
    MUST(clEnqueueNDRangeKernel(w->queue, w->age, 1, NULL, &one, NULL, 0, NULL, NULL));
    MUST(clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, sum, sizeof(*sum), 0, NULL,
                         NULL));
    return sum;
}

static void across(struct world *w, int is_open)
{
    struct node *reached[COUNT + 1], **nodes = reached + 1;
    cl_int *sum = allocate(w, sizeof(*sum)), told = 0;
    make_list(w, nodes);
    MUST(clSetKernelArgSVMPointer(w->age, 1, sum));
    MUST(clSetKernelExecInfo(w->age, CL_KERNEL_EXEC_INFO_SVM_PTRS, COUNT * sizeof(*nodes), nodes));
    for (int round = 0; round < 3; round++) {
        cl_int *open = age_from(w, nodes[0], sum);
        if (!is_open)
            MUST(clEnqueueSVMUnmap(w->queue, open, 0, NULL, NULL));
        await_line();
        if (!is_open)
            MUST(clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, open, sizeof(*open),
                                 0, NULL, NULL));
        (void)printf("before %d", *open);
        *open += 1000 * round;
        MUST(clEnqueueSVMUnmap(w->queue, open, 0, NULL, NULL));
        MUST(clEnqueueSVMMemcpy(w->queue, CL_TRUE, &told, sum, sizeof(told), 0, NULL, NULL));
        struct node *more = reached[0] = allocate(w, sizeof(*more));
        const struct node content = {nodes[0], 77 + round};
        MUST(clEnqueueSVMMemcpy(w->queue, CL_TRUE, more, &content, sizeof(content), 0, NULL, NULL));
        MUST(clSetKernelExecInfo(w->age, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof(reached), reached));
        (void)printf(", told %d, after %d", told, *age_from(w, more, sum));
        MUST(clEnqueueSVMUnmap(w->queue, sum, 0, NULL, NULL));
        MUST(clEnqueueSVMMap(w->queue, CL_TRUE, CL_MAP_READ, more, sizeof(*more), 0, NULL, NULL));
        (void)printf(", the new one %d %d\n", more->value, more->next == nodes[0]);
        MUST(clEnqueueSVMUnmap(w->queue, more, 0, NULL, NULL));
        MUST(clFinish(w->queue));
        clSVMFree(w->context, more);
        MUST(clSetKernelExecInfo(w->age, CL_KERNEL_EXEC_INFO_SVM_PTRS, COUNT * sizeof(*nodes),
                                 nodes));
    }
}

/* Pages at the address and behind it, and shared memory that then lies elsewhere. */
static void taken(struct world *w, const char *address)
{
    char *start = (char *)(uintptr_t)strtoull(address, NULL, 0); // NOLINT
    const size_t bytes = 16384;
    char *mine = mmap(start, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(mine == start ? 0 : 1, "this process's own");
    (void)memset(mine, 7, bytes);
    char *shared = allocate(w, 64);
    (void)printf("apart %d, mine %d\n", shared >= mine + bytes, mine[0]);
    clSVMFree(w->context, shared);
}

static void fill(struct world *w)
{
    void *pieces[256];
    for (int turn = 0; turn < 2; turn++) {
        int count = 0;
        while (count < 256 &&
               (pieces[count] = clSVMAlloc(w->context, CL_MEM_READ_WRITE, 1u << 20, 0)))
            count++;
        (void)printf("%d MiB\n", count);
        if (turn == 0)
            MUST(clEnqueueSVMFree(w->queue, (cl_uint)count, pieces, NULL, NULL, 0, NULL, NULL));
        MUST(clFinish(w->queue));
        while (turn > 0 && count > 0)
            clSVMFree(w->context, pieces[--count]);
    }
}

int main(int count, char **words)
{
    struct world w;
    cl_device_svm_capabilities capabilities = 0;
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* a driver that dies of a wrong call shows which */
    open_world(&w);
    MUST(clGetDeviceInfo(w.device, CL_DEVICE_SVM_CAPABILITIES, sizeof(capabilities), &capabilities,
                         NULL));
    if (count == 2) {
        if (strcmp(words[1], "fill") == 0)
            fill(&w);
        else
            across(&w, strcmp(words[1], "across") == 0);
        return 0;
    }
    if (count == 3) {
        if (strcmp(words[1], "rounds") == 0)
            rounds(&w, (int)strtoull(words[2], NULL, 10));
        else
            taken(&w, words[2]);
        return 0;
    }
    (void)printf("coarse grain %d\n", (capabilities & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) != 0);
    lists(&w);
    moves(&w);
    frees(&w);
    wrong_calls(&w);
    return 0;
}
