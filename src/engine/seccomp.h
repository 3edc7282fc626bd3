/* The seccomp profile of every container. */
#ifndef LEAT_ENGINE_SECCOMP_H
#define LEAT_ENGINE_SECCOMP_H

struct json_t;

/* The "linux.seccomp" object of an OCI config for one architecture ("SCMP_ARCH_X86_64"). New
 * reference; NULL: out of memory. */
struct json_t *seccomp_profile(const char *architecture);

#endif
