/* The drawn digits: see dataset.h. */
#include "dataset.h"

#include <math.h>
#include <stdlib.h>

void random_seed(struct random *random, uint64_t seed, uint64_t stream)
{
    /* splitmix64: neighbouring seeds and streams give unrelated states, never 0. */
    uint64_t z = seed * 0x9e3779b97f4a7c15u + stream * 0xd1b54a32d192ed03u + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    random->state = (z ^ (z >> 31)) | 1;
}

static uint32_t random_bits(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (uint32_t)((random->state * 0x2545f4914f6cdd1du) >> 32);
}

float random_float(struct random *random)
{
    return (float)(random_bits(random) >> 8) / (1 << 24);
}

static float random_range(struct random *random, float low, float high)
{
    return low + (high - low) * random_float(random);
}

float random_normal(struct random *random)
{
    float sum = -6.0f; /* twelve uniform numbers have variance 1 */
    for (int i = 0; i < 12; i++)
        sum += random_float(random);
    return sum;
}

struct point {
    float x, y;
};

/* A digit is one or two lines through points of the unit square, y downwards. Digits that need one
 * line only leave the second empty. */
#define POINTS_MAX 12
struct glyph {
    int counts[2];
    struct point lines[2][POINTS_MAX];
};

static const struct glyph glyphs[CLASSES] = {
    {{11, 0},
     {{{.50f, .10f},
       {.68f, .17f},
       {.77f, .35f},
       {.77f, .65f},
       {.68f, .83f},
       {.50f, .90f},
       {.32f, .83f},
       {.23f, .65f},
       {.23f, .35f},
       {.32f, .17f},
       {.50f, .10f}}}},
    {{3, 0}, {{{.33f, .28f}, {.53f, .10f}, {.53f, .90f}}}},
    {{8, 0},
     {{{.25f, .30f},
       {.33f, .15f},
       {.50f, .10f},
       {.68f, .16f},
       {.74f, .32f},
       {.62f, .52f},
       {.24f, .90f},
       {.78f, .90f}}}},
    {{12, 0},
     {{{.26f, .20f},
       {.42f, .10f},
       {.60f, .12f},
       {.71f, .25f},
       {.66f, .41f},
       {.48f, .48f},
       {.66f, .53f},
       {.76f, .68f},
       {.68f, .84f},
       {.50f, .90f},
       {.33f, .87f},
       {.23f, .76f}}}},
    {{3, 2}, {{{.60f, .10f}, {.22f, .65f}, {.80f, .65f}}, {{.62f, .38f}, {.62f, .92f}}}},
    {{10, 0},
     {{{.74f, .10f},
       {.32f, .10f},
       {.29f, .46f},
       {.45f, .40f},
       {.62f, .43f},
       {.75f, .57f},
       {.74f, .74f},
       {.62f, .88f},
       {.42f, .90f},
       {.25f, .80f}}}},
    {{12, 0},
     {{{.68f, .12f},
       {.48f, .20f},
       {.32f, .40f},
       {.26f, .64f},
       {.33f, .84f},
       {.50f, .90f},
       {.67f, .85f},
       {.75f, .70f},
       {.68f, .55f},
       {.52f, .49f},
       {.36f, .55f},
       {.27f, .68f}}}},
    {{3, 2}, {{{.22f, .10f}, {.78f, .10f}, {.42f, .90f}}, {{.40f, .50f}, {.70f, .50f}}}},
    {{9, 9},
     {{{.50f, .10f},
       {.66f, .16f},
       {.70f, .29f},
       {.64f, .42f},
       {.50f, .48f},
       {.36f, .42f},
       {.30f, .29f},
       {.34f, .16f},
       {.50f, .10f}},
      {{.50f, .48f},
       {.70f, .57f},
       {.76f, .71f},
       {.68f, .85f},
       {.50f, .90f},
       {.32f, .85f},
       {.24f, .71f},
       {.30f, .57f},
       {.50f, .48f}}}},
    {{12, 0},
     {{{.73f, .32f},
       {.64f, .45f},
       {.48f, .51f},
       {.32f, .45f},
       {.25f, .30f},
       {.33f, .15f},
       {.50f, .10f},
       {.67f, .16f},
       {.74f, .32f},
       {.71f, .58f},
       {.60f, .78f},
       {.40f, .90f}}}},
};

/* How one drawing differs from the plain glyph. */
struct hand {
    float cosine, sine, slant, scale_x, scale_y, shift_x, shift_y, half_width, noise;
};

static void hand_make(struct hand *hand, struct random *random)
{
    float angle = random_range(random, -0.5f, 0.5f); /* radians: 29 degrees each way */
    hand->cosine = cosf(angle);
    hand->sine = sinf(angle);
    hand->slant = random_range(random, -0.3f, 0.3f);
    hand->scale_x = random_range(random, 0.60f, 1.05f);
    hand->scale_y = random_range(random, 0.65f, 1.05f);
    hand->shift_x = random_range(random, -0.13f, 0.13f);
    hand->shift_y = random_range(random, -0.13f, 0.13f);
    hand->half_width = random_range(random, 0.025f, 0.07f);
    hand->noise = random_range(random, 0.05f, 0.40f);
}

static struct point point_move(struct point p, const struct hand *hand, struct random *random)
{
    float x = (p.x - 0.5f) * hand->scale_x + (p.y - 0.5f) * hand->slant;
    float y = (p.y - 0.5f) * hand->scale_y;
    x += 0.015f * random_normal(random); /* no line is quite straight */
    y += 0.015f * random_normal(random);
    return (struct point){hand->cosine * x - hand->sine * y + hand->shift_x + 0.5f,
                          hand->sine * x + hand->cosine * y + hand->shift_y + 0.5f};
}

static float distance_to_segment(struct point p, struct point a, struct point b)
{
    float dx = b.x - a.x, dy = b.y - a.y;
    float t = ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy + 1e-9f);
    t = t < 0.0f ? 0.0f : t > 1.0f ? 1.0f : t;
    float ex = a.x + t * dx - p.x, ey = a.y + t * dy - p.y;
    return sqrtf(ex * ex + ey * ey);
}

/* The pixels, along one side, whose centres may be within `reach` of what lies between two
 * numbers. */
static void pixels_near(float one, float other, float reach, int *ret_first, int *ret_last)
{
    int first = (int)floorf(((one < other ? one : other) - reach) * IMAGE_SIDE) - 1;
    int last = (int)ceilf(((one < other ? other : one) + reach) * IMAGE_SIDE);
    *ret_first = first < 0 ? 0 : first;
    *ret_last = last < IMAGE_SIDE ? last : IMAGE_SIDE - 1;
}

/* Each pixel's distance to the nearest line so far; those beyond `reach` of this one are passed
 * over. */
static void segment_measure(float nearest[IMAGE_PIXELS], struct point a, struct point b,
                            float reach)
{
    int left, right, top, bottom;
    pixels_near(a.x, b.x, reach, &left, &right);
    pixels_near(a.y, b.y, reach, &top, &bottom);
    for (int row = top; row <= bottom; row++) {
        for (int column = left; column <= right; column++) {
            float *pixel = &nearest[row * IMAGE_SIDE + column];
            float distance = distance_to_segment((struct point){((float)column + 0.5f) / IMAGE_SIDE,
                                                                ((float)row + 0.5f) / IMAGE_SIDE},
                                                 a, b);
            *pixel = distance < *pixel ? distance : *pixel;
        }
    }
}

#define EDGE (1.0f / IMAGE_SIDE) /* ink fades over one pixel */

static uint8_t pixel_value(float distance, const struct hand *hand, struct random *random)
{
    float ink = 1.0f - (distance - hand->half_width) / EDGE;
    ink = ink < 0.0f ? 0.0f : ink > 1.0f ? 1.0f : ink;
    ink += hand->noise * random_normal(random);
    return (uint8_t)(ink < 0.0f ? 0.0f : ink > 1.0f ? 255.0f : ink * 255.0f);
}

static void image_draw(uint8_t *image, int digit, struct random *random)
{
    struct hand hand;
    struct point moved[2][POINTS_MAX];
    float nearest[IMAGE_PIXELS];
    const struct glyph *glyph = &glyphs[digit];
    hand_make(&hand, random);
    for (int line = 0; line < 2; line++) {
        for (int i = 0; i < glyph->counts[line]; i++)
            moved[line][i] = point_move(glyph->lines[line][i], &hand, random);
    }
    for (int i = 0; i < IMAGE_PIXELS; i++)
        nearest[i] = 2.0f;
    for (int line = 0; line < 2; line++) {
        for (int k = 1; k < glyph->counts[line]; k++)
            segment_measure(nearest, moved[line][k - 1], moved[line][k], hand.half_width + EDGE);
    }
    for (int i = 0; i < IMAGE_PIXELS; i++)
        image[i] = pixel_value(nearest[i], &hand, random);
}

struct dataset *dataset_create(uint64_t seed)
{
    struct dataset *dataset = malloc(sizeof(*dataset));
    for (uint32_t i = 0; dataset && i < IMAGE_COUNT; i++) {
        struct random random;
        random_seed(&random, seed, i);
        dataset->labels[i] = (uint8_t)(i % CLASSES);
        image_draw(dataset->images[i], dataset->labels[i], &random);
    }
    return dataset;
}

void dataset_shuffle(uint64_t seed, uint64_t epoch, uint32_t order[TRAIN_COUNT])
{
    struct random random;
    random_seed(&random, seed, IMAGE_COUNT + epoch);
    for (uint32_t i = 0; i < TRAIN_COUNT; i++)
        order[i] = i;
    for (uint32_t i = TRAIN_COUNT - 1; i > 0; i--) {
        uint32_t k = random_bits(&random) % (i + 1), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
}
