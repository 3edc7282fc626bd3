/* A data set without a download: drawings of the digits 0 to 9, each rotated, slanted, scaled,
 * shifted, of another stroke width and noisy. The same seed gives the same images. */
#ifndef DIGITS_DATASET_H
#define DIGITS_DATASET_H

#include <stdint.h>

#define IMAGE_SIDE 16
#define IMAGE_PIXELS (IMAGE_SIDE * IMAGE_SIDE)
#define CLASSES 10
#define TRAIN_COUNT 32768
#define VALIDATION_COUNT 2048
#define IMAGE_COUNT (TRAIN_COUNT + VALIDATION_COUNT)

struct dataset {
    uint8_t images[IMAGE_COUNT][IMAGE_PIXELS]; /* those for validation come last */
    uint8_t labels[IMAGE_COUNT];
};

/* NULL: out of memory. Free with free(). */
struct dataset *dataset_create(uint64_t seed);

/* Write an order to go through the training images in, another for each epoch. */
void dataset_shuffle(uint64_t seed, uint64_t epoch, uint32_t order[TRAIN_COUNT]);

/* Small, fast, good enough pseudo-random numbers (xorshift64*), the same everywhere. */
struct random {
    uint64_t state;
};

void random_seed(struct random *random, uint64_t seed, uint64_t stream);
float random_float(struct random *random);  /* 0 <= x < 1 */
float random_normal(struct random *random); /* mean 0, deviation 1, never beyond 6 */

#endif
