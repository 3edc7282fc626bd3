/* The scheduler's time slices. */
#ifndef LEAT_BASE_SLICE_H
#define LEAT_BASE_SLICE_H

/* The calling thread, and those it starts from now on, work briefly and are waited for: they ask
 * for short slices (Linux 6.12 and later), so that they run when they wake, and not at the next
 * tick, where others compute. Their part of the processor stays the same. */
void slice_shorten(void);

#endif
