/* Where this machine keeps the files of NVIDIA's driver, as NVIDIA's container toolkit says. Its
 * command line, where it is installed, is asked once, when leatd starts. */
#ifndef LEAT_CORE_CUDA_LIST_H
#define LEAT_CORE_CUDA_LIST_H

#include <limits.h>
#include <stdbool.h>

struct core;

/* Ask, without waiting. No such tool: there is none, and that is all. */
void cuda_list_open(struct core *core);
/* The tool is not waited for any more. */
void cuda_list_close(struct core *core);
void cuda_list_destroy(struct core *core);
/* What it said; NULL: nothing, or not yet. */
const char *cuda_list_text(const struct core *core);

/* The file of a library, "libcuda.so.1", in a listing: one path a line, libraries with the driver's
 * version in their names. `listing` may be NULL. */
bool cuda_list_find(const char *listing, const char *library, char ret_path[PATH_MAX]);

#endif
