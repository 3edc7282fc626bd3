/* The wrapping of program binaries: what the driver made, with a header that says for which device,
 * so that a stale, foreign or damaged one is CL_INVALID_BINARY and never reaches the driver. What
 * has no such header may be what a program kept of a run without a card: the driver judges it. */
#ifndef LEAT_CARD_OPENCL_BINARY_H
#define LEAT_CARD_OPENCL_BINARY_H

#include <CL/cl.h>
#include <stddef.h>
#include <stdint.h>

struct binary_header {
    char magic[8];
    uint64_t device_hash; /* of device name, vendor and driver version */
    uint64_t payload_bytes;
    uint64_t hash; /* of type and payload */
    uint64_t type; /* cl_program_binary_type */
};

void binary_header_init(struct binary_header *header, cl_program_binary_type type,
                        const void *payload, size_t bytes);
/* What the driver gets of a binary, and of which type the binary says it is (none when it is the
 * driver's to say); NULL when it is not for this device. */
const void *binary_payload(const void *binary, size_t length, size_t *ret_length,
                           cl_program_binary_type *ret_type);

#endif
