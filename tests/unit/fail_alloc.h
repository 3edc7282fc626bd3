/* Allocations of the code under test that fail on purpose: link with fail_alloc_args. Only calls
 * made from our own objects are caught, not those inside shared libraries. */
#ifndef LEAT_TESTS_FAIL_ALLOC_H
#define LEAT_TESTS_FAIL_ALLOC_H

/* The allocation after the next `count` ones fails, once. Negative: none does. */
void fail_alloc_after(long count);
/* Has it failed since fail_alloc_after? */
int fail_alloc_happened(void);

#endif
