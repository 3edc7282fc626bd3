/* VkFFT: a transform in two dimensions and back, by kernels that it makes for the sizes. */
#define VKFFT_BACKEND 3
#include <vkFFT.h>

#define WIDTH 60
#define HEIGHT 16
#define VALUES (2 * WIDTH * HEIGHT)

static void print(cl_command_queue queue, cl_mem buffer, const char *what)
{
    static float values[VALUES];
    clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof(values), values, 0, NULL, NULL);
    printf("%s", what);
    for (int i = 0; i < VALUES; i += 97)
        printf(" %.4e", (double)values[i]);
    printf("\n");
}

int main(void)
{
    static float values[VALUES];
    for (int i = 0; i < VALUES; i++)
        values[i] = (float)(i * 37 % 101);

    cl_platform_id platform;
    cl_device_id device;
    clGetPlatformIDs(1, &platform, NULL);
    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL);
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, NULL);
    cl_mem buffer = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(values), values, NULL);

    uint64_t size = sizeof(values);
    VkFFTConfiguration configuration = {.FFTdim = 2,
                                        .size = {WIDTH, HEIGHT, 1},
                                        .device = &device,
                                        .platform = &platform,
                                        .context = &context,
                                        .buffer = &buffer,
                                        .bufferSize = &size,
                                        .normalize = 1};
    VkFFTApplication application = {0};
    VkFFTLaunchParams launch = {.commandQueue = &queue, .buffer = &buffer};
    VkFFTResult result = initializeVkFFT(&application, configuration);
    for (int inverse = -1; result == VKFFT_SUCCESS && inverse <= 1; inverse += 2) {
        result = VkFFTAppend(&application, inverse, &launch);
        print(queue, buffer, inverse < 0 ? "there" : "back");
    }
    deleteVkFFT(&application);
    return result;
}
