/* Answers to the clGet*Info queries: each object's queries are a table of names and places in its
 * struct, and one function obeys the rules for sizes and null pointers. */
#ifndef LEAT_CARD_OPENCL_INFO_H
#define LEAT_CARD_OPENCL_INFO_H

#include <CL/cl.h>
#include <stddef.h>
#include <stdint.h>

struct info_field {
    uint32_t name; /* CL_..._... */
    uint32_t text; /* 1: the member is a `const char *`, answered with its NUL */
    size_t offset; /* of the member that holds the answer */
    size_t bytes;
};

#define INFO_VALUE(name, type, member) \
    { \
        name, 0, offsetof(type, member), sizeof(((type *)0)->member) \
    }
#define INFO_TEXT(name, type, member) \
    { \
        name, 1, offsetof(type, member), sizeof(((type *)0)->member) \
    }

/* Where a query wants its answer. */
struct info_out {
    size_t room;
    void *value;      /* may be NULL */
    size_t *ret_size; /* may be NULL */
};

/* CL_SUCCESS, or CL_INVALID_VALUE when there is a value pointer but too little room. */
cl_int info_put(const struct info_out *out, const void *data, size_t length);
/* Look `name` up; CL_INVALID_VALUE when the table has no such name. */
cl_int info_answer(const struct info_out *out, const struct info_field *fields, size_t count,
                   const void *object, uint32_t name);

#endif
