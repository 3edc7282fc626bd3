/* Which library a program uses, from a look into its file. */
#ifndef LEAT_CLI_GUESS_H
#define LEAT_CLI_GUESS_H

/* "vllm", "pytorch", "tensorflow", "jax", "tinygrad" or "pyopencl" for Python that imports it,
 * "opencl-c" for an ELF program, else "generic". An unreadable file is "generic". */
const char *guess_library(const char *path);

#endif
