/* Life around a session: `survive fork` uses OpenCL on both sides of a fork; `survive orphan` works
 * until its executor is gone, which the test arranges when the program has printed "working";
 * `survive told` does the same and waits until its context's notification was called; `survive
 * late` works on, unmaps and releases when main has returned. */
#include <semaphore.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

struct world {
    sem_t told;
    cl_int error; /* that the context was told of */
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_mem memory;
};

static void CL_CALLBACK on_error(const char *text, const void *data, size_t bytes, void *arg)
{
    struct world *w = arg;
    if (bytes == sizeof(w->error))
        memcpy(&w->error, data, bytes);
    (void)sem_post(&w->told);
}

static void open_world(struct world *w)
{
    (void)sem_init(&w->told, 0, 0);
    w->error = 0;
    cl_int code, zero = 0;
    must(clGetPlatformIDs(1, &w->platform, NULL), "platform");
    must(clGetDeviceIDs(w->platform, CL_DEVICE_TYPE_ALL, 1, &w->device, NULL), "device");
    w->context = clCreateContext(NULL, 1, &w->device, on_error, w, &code);
    must(code, "context");
    w->queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
    w->memory = clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, sizeof(zero), &zero, &code);
    must(code, "buffer");
}

static cl_int count_up(struct world *w, cl_int *ret_value)
{
    cl_int code = clEnqueueReadBuffer(w->queue, w->memory, CL_TRUE, 0, sizeof(*ret_value),
                                      ret_value, 0, NULL, NULL);
    cl_int next = *ret_value + 1;
    if (code == CL_SUCCESS)
        code = clEnqueueWriteBuffer(w->queue, w->memory, CL_TRUE, 0, sizeof(next), &next, 0, NULL,
                                    NULL);
    return code;
}

static int survive_fork(void)
{
    struct world parent, child;
    cl_int value, status;
    open_world(&parent);
    must(count_up(&parent, &value), "before the fork");
    pid_t pid = fork();
    if (pid == 0) {
        (void)printf("child: parent's queue %d\n", (int)clFinish(parent.queue));
        (void)printf("child: parent's memory %d\n", (int)clReleaseMemObject(parent.memory));
        (void)printf("child: parent's context %d\n", (int)clRetainContext(parent.context));
        open_world(&child);
        must(count_up(&child, &value), "child");
        must(count_up(&child, &value), "child");
        (void)printf("child: counted %d\n", (int)value);
        (void)fflush(stdout);
        _exit(0);
    }
    (void)waitpid(pid, &status, 0);
    must(count_up(&parent, &value), "after the fork");
    (void)printf("parent: counted %d, child ended with %d\n", (int)value, WEXITSTATUS(status));
    return 0;
}

/* A count may be posted only: an executor that has taken no record yet would be replaced. */
static void begin_work(struct world *w)
{
    cl_int value;
    open_world(w);
    must(count_up(w, &value), "first");
    must(clFinish(w->queue), "finish");
    (void)printf("working\n");
    (void)fflush(stdout);
}

static int survive_orphan(void)
{
    struct world w;
    cl_int value, code;
    begin_work(&w);
    do
        code = count_up(&w, &value);
    while (code == CL_SUCCESS);
    (void)printf("orphan %d\n", (int)code);
    (void)printf("finish %d\n", (int)clFinish(w.queue));
    cl_mem memory = clCreateBuffer(w.context, 0, 64, NULL, &code);
    (void)printf("create %d %d\n", (int)code, memory != NULL);
    (void)printf("release %d\n", (int)clReleaseMemObject(w.memory));
    (void)printf("release %d\n", (int)clReleaseCommandQueue(w.queue));
    (void)printf("release %d\n", (int)clReleaseContext(w.context));
    return 0;
}

static int survive_told(void)
{
    struct world w;
    cl_int value;
    begin_work(&w);
    while (count_up(&w, &value) == CL_SUCCESS)
        continue;
    while (sem_wait(&w.told) != 0)
        continue;
    (void)printf("told %d\n", (int)w.error);
    return 0;
}

static struct world left;
static cl_int *mapped;

static void after_main(void)
{
    cl_int value;
    *mapped = 41;
    REPORT("late: unmap", clEnqueueUnmapMemObject(left.queue, left.memory, mapped, 0, NULL, NULL));
    must(count_up(&left, &value), "late");
    (void)printf("late: counted %d\n", (int)value);
    REPORT("late: finish", clFinish(left.queue));
    REPORT("late: release", clReleaseMemObject(left.memory));
    REPORT("late: release", clReleaseCommandQueue(left.queue));
    REPORT("late: release", clReleaseContext(left.context));
}

/* What is to be called last is registered before there is any library of a driver. */
static int survive_late(void)
{
    cl_int code;
    if (atexit(after_main) != 0)
        return 2;
    open_world(&left);
    MAKE(mapped, clEnqueueMapBuffer(left.queue, left.memory, CL_TRUE, CL_MAP_WRITE, 0,
                                    sizeof(*mapped), 0, NULL, NULL, &code));
    (void)printf("main returns\n");
    return 0;
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "fork") == 0)
        return survive_fork();
    if (count == 2 && strcmp(words[1], "orphan") == 0)
        return survive_orphan();
    if (count == 2 && strcmp(words[1], "told") == 0)
        return survive_told();
    if (count == 2 && strcmp(words[1], "late") == 0)
        return survive_late();
    (void)fprintf(stderr, "usage: survive fork | orphan | told | late\n");
    return 2;
}
