/* The real library behind Leat's, opened by path when its first function is needed: the CUDA driver
 * behind libcuda.so.1, NVIDIA's management library behind libnvidia-ml.so.1. Any thread. */
#ifndef LEAT_CARD_CUDA_DRIVER_H
#define LEAT_CARD_CUDA_DRIVER_H

/* What differs between the two; each library has one. */
struct driver_library {
    const char *variable; /* of the environment: names the real library */
    const char *file;     /* else it is looked for under this name */
    void *missing;        /* stands for a function that the real library lacks */
    /* What stands in for the real function of that number; NULL: nothing. The pointer may be
     * NULL. */
    void *(*stand_in)(unsigned name);
};

struct driver_name {
    const char *symbol; /* as exported */
    const char *base;   /* as programs ask for it */
    void *own;          /* NULL: the real library's own function */
    int version;        /* first version that gets it */
    int per_thread;     /* for the per-thread default stream */
};

extern const struct driver_library driver_library;
/* By number, ordered by base and version; generated. */
extern const struct driver_name driver_names[];
/* The real functions by number, filled as they are used. */
extern void *driver_table[];

/* The real function of that number, or `missing`. */
void *driver_entry(unsigned name);
/* What a refused name does. */
int driver_refuses(void);

#endif
