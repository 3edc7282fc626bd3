/* What Leat needs of the CUDA driver's binary interface, declared by ourselves from its public
 * documentation. Structures that the library only looks into are declared as far as it looks. */
#ifndef LEAT_CARD_CUDA_TYPES_H
#define LEAT_CARD_CUDA_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_PEER_ACCESS_UNSUPPORTED = 217,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_FILE_NOT_FOUND = 301,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_PEER_ACCESS_NOT_ENABLED = 705,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_SYSTEM_NOT_READY = 802,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_UNKNOWN = 999
} CUresult;

typedef int CUdevice;
typedef unsigned long long CUdeviceptr, CUmemHandle;
typedef uint64_t cuuint64_t;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUarray_st *CUarray, *CUmipmappedArray; /* both are only passed on here */
typedef struct CUmemPoolHandle_st *CUmemPool;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;

enum stream_flavour {
    STREAM_INVALID,
    STREAM_LEGACY,    /* the null stream is the device's */
    STREAM_PER_THREAD /* the null stream is the thread's */
};

#define CUDA_STREAM_PER_THREAD ((CUstream)2) /* CU_STREAM_PER_THREAD: the thread's, by name */
#define CUDA_STREAM_LEGACY ((CUstream)1)     /* CU_STREAM_LEGACY: the null stream, by name */
#define CUDA_EVENT_BLOCKING_SYNC 1u          /* CU_EVENT_BLOCKING_SYNC */
#define CUDA_PER_THREAD_STREAM_FLAG 2u       /* CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM */
#define CUDA_POOL_RESERVED_NOW 5             /* CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT */
#define CUDA_LOCATION_DEVICE 1               /* CU_MEM_LOCATION_TYPE_DEVICE */
#define CUDA_NODE_KERNEL 0                   /* CU_GRAPH_NODE_TYPE_KERNEL, and so on */
#define CUDA_NODE_COPY 1
#define CUDA_NODE_FILL 2
#define CUDA_NODE_GRAPH 4
#define CUDA_NODE_EMPTY 5
#define CUDA_NODE_MEM_ALLOC 10            /* CU_GRAPH_NODE_TYPE_MEM_ALLOC */
#define CUDA_NODE_MEM_FREE 11             /* CU_GRAPH_NODE_TYPE_MEM_FREE */
#define CUDA_GRAPH_MEMORY_USED 0          /* CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT */
#define CUDA_GRAPH_MEMORY_RESERVED 2      /* CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT */
#define CUDA_INSTANTIATE_UPLOAD 2u        /* CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD */
#define CUDA_ARRAY_SPARSE 0x40u           /* CUDA_ARRAY3D_SPARSE */
#define CUDA_ARRAY_DEFERRED_MAPPING 0x80u /* CUDA_ARRAY3D_DEFERRED_MAPPING */

/* CUDA_ARRAY_DESCRIPTOR */
struct cuda_array_shape {
    size_t width, height;
    int format;
    unsigned channels;
};

/* CUDA_ARRAY3D_DESCRIPTOR */
struct cuda_array3d_shape {
    size_t width, height, depth;
    int format;
    unsigned channels, flags;
};

/* CUDA_ARRAY_MEMORY_REQUIREMENTS */
struct cuda_requirements {
    size_t bytes, alignment;
    unsigned reserved[4];
};

/* CUmemAllocationProp */
struct cuda_memory_kind {
    int type, handle_types;
    int location_type, location_id;
    void *windows_handle;
    unsigned char compression, direct_rdma;
    unsigned short usage;
    unsigned char reserved[4];
};

/* CUmemAccessDesc */
struct cuda_access {
    int location_type, location_id;
    int flags;
};
#define CUDA_ACCESS_READ_WRITE 3 /* CU_MEM_ACCESS_FLAGS_PROT_READWRITE */
#define CUDA_MEMORY_PINNED 1     /* CU_MEM_ALLOCATION_TYPE_PINNED */
#define CUDA_SIDE_DEVICE 2       /* CU_MEMORYTYPE_DEVICE */
#define CUDA_SIDE_UNIFIED 4      /* CU_MEMORYTYPE_UNIFIED */

/* Ways to give a kernel's parameters as one block: the list `extra` of launches. */
#define CUDA_LAUNCH_END ((void *)0)
#define CUDA_LAUNCH_BLOCK ((void *)1)       /* CU_LAUNCH_PARAM_BUFFER_POINTER */
#define CUDA_LAUNCH_BLOCK_BYTES ((void *)2) /* CU_LAUNCH_PARAM_BUFFER_SIZE: of a size_t */

/* CUlaunchConfig */
struct cuda_launch {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    CUstream stream;
    const void *attributes;
    unsigned attribute_count;
};

/* CUmemPoolProps */
struct cuda_pool_kind {
    int type, handle_types;
    int location_type, location_id;
    void *security;
    size_t most_bytes;
    unsigned char reserved[56];
};

/* CUDA_MEM_ALLOC_NODE_PARAMS */
struct cuda_allocation {
    struct cuda_pool_kind pool;
    const void *accesses;
    size_t access_count, bytes;
    CUdeviceptr pointer;
};

/* CUDA_KERNEL_NODE_PARAMS; its first version ends before `kernel`. */
struct cuda_kernel_node {
    CUfunction function;
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    void **params, **extra;
    void *kernel;
    CUcontext context;
};

/* One side of CUDA_MEMCPY3D */
struct cuda_copy_side {
    size_t x_bytes, y, z, level;
    int type; /* CUmemorytype */
    void *host;
    CUdeviceptr device;
    CUarray array;
    void *reserved;
    size_t pitch, height;
};

/* CUDA_MEMCPY3D */
struct cuda_copy {
    struct cuda_copy_side from, to;
    size_t row_bytes, rows, depth;
};

/* CUDA_MEMSET_NODE_PARAMS */
struct cuda_fill {
    CUdeviceptr to;
    size_t pitch;
    unsigned item, item_bytes;
    size_t columns, rows;
};

/* CUDA_GRAPH_INSTANTIATE_PARAMS */
struct cuda_instantiation {
    cuuint64_t flags;
    CUstream stream;
    CUgraphNode wrong;
    int result;
};

/* ---- NVML ---- */

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_FUNCTION_NOT_FOUND = 13
} nvmlReturn_t;

typedef struct nvmlDevice_st *nvmlDevice_t;

/* nvmlMemory_t */
struct nvml_memory {
    unsigned long long total, free, used;
};

/* nvmlMemory_v2_t */
struct nvml_memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

/* nvmlUtilization_t, in percent */
struct nvml_utilization {
    unsigned gpu, memory;
};

/* nvmlProcessInfo_v1_t */
struct nvml_process_v1 {
    unsigned pid;
    unsigned long long used;
};

/* nvmlProcessInfo_v2_t */
struct nvml_process {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};

#define NVML_NO_INSTANCE 0xffffffffu

#endif
