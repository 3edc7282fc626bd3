/* The header around a device's binary: see binary.h. */
#include "card/opencl/binary.h"

#include "card/opencl/process.h"

static const char magic[8] = {'L', 'E', 'A', 'T', 'B', 'I', 'N', '3'};

#define FNV_OFFSET 14695981039346656037u /* FNV-1a, 64 bits */
#define FNV_PRIME 1099511628211u

static uint64_t hash(uint64_t state, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++)
        state = (state ^ bytes[i]) * FNV_PRIME;
    return state;
}

static uint64_t device_hash(void)
{
    static const uint32_t names[] = {CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DRIVER_VERSION};
    uint64_t state = FNV_OFFSET;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = 0;
        const void *text = snapshot_find(&process.snapshot, WIRE_INFO_DEVICE, names[i], &length);
        state = hash(state, text, text ? length : 0);
    }
    return state;
}

static uint64_t content_hash(uint64_t type, const void *payload, size_t bytes)
{
    return hash(hash(FNV_OFFSET, &type, sizeof(type)), payload, bytes);
}

void binary_header_init(struct binary_header *header, cl_program_binary_type type,
                        const void *payload, size_t bytes)
{
    memcpy(header->magic, magic, sizeof(magic));
    header->device_hash = device_hash();
    header->payload_bytes = bytes;
    header->hash = content_hash(type, payload, bytes);
    header->type = type;
}

static int is_wrapped(const void *binary, size_t length)
{
    return length >= sizeof(magic) && memcmp(binary, magic, sizeof(magic)) == 0;
}

const void *binary_payload(const void *binary, size_t length, size_t *ret_length,
                           cl_program_binary_type *ret_type)
{
    struct binary_header header;
    *ret_length = length;
    *ret_type = CL_PROGRAM_BINARY_TYPE_NONE;
    if (!is_wrapped(binary, length))
        return binary;
    if (length < sizeof(header))
        return NULL;
    memcpy(&header, binary, sizeof(header));
    const char *payload = (const char *)binary + sizeof(header);
    if (header.device_hash != device_hash() || header.payload_bytes != length - sizeof(header) ||
        header.hash != content_hash(header.type, payload, length - sizeof(header)))
        return NULL;
    *ret_length = length - sizeof(header);
    *ret_type = (cl_program_binary_type)header.type;
    return payload;
}
