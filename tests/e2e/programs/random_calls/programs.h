/* The programs and kernels of which random ones are taken. */
#ifndef LEAT_TEST_RANDOM_CALLS_PROGRAMS_H
#define LEAT_TEST_RANDOM_CALLS_PROGRAMS_H

/* A kernel and its arguments, a letter each:
 *   x bytes written, y bytes read, n and m the number of those bytes, k an int,
 *   c s l f d v w p   a char, short, long, float, double, float3, char16 and a struct,
 *   t local memory, i an image read, o an image written, z a sampler. */
struct signature {
    const char *name, *arguments;
};

struct source {
    const char *text;
    struct signature kernels[10];
};

extern const struct source sources[];
enum { SOURCES = 7, PLAIN = 0 };

#endif
