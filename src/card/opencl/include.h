/* Headers: the executor cannot read the user's files, so what a source includes is put in its place
 * before it is sent. Headers given by name come first, then the folder of the including file, the
 * folders of -I, and the working directory. What is not found stays for the compiler to refuse. */
#ifndef LEAT_CARD_OPENCL_INCLUDE_H
#define LEAT_CARD_OPENCL_INCLUDE_H

/* Headers given by name (clCompileProgram). */
struct include_headers {
    unsigned count;
    const char *const *names, *const *texts;
};

/* The source with its includes in place, owned; NULL when there are none, or out of memory. */
char *include_expand(const char *source, const struct include_headers *headers,
                     const char *options);

#endif
