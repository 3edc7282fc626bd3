/* NVIDIA's devices, told by its management library where that is installed. */
#ifndef LEAT_CARD_EXECUTOR_NVML_H
#define LEAT_CARD_EXECUTOR_NVML_H

struct json_t;

/* Append a description of each device to the probe's array: kind "cuda", in the library's order.
 * Without the library nothing is appended. 0 or -ENOMEM. */
int nvml_list(struct json_t *list);

#endif
