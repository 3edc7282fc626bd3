/* Memory pools are charged with what they have reserved, not with what was asked of them: a free
 * gives nothing back until the pool shrinks. Any thread. */
#ifndef LEAT_CARD_CUDA_POOL_H
#define LEAT_CARD_CUDA_POOL_H

/* Bring all charges to what the pools hold now. */
void pools_reconcile(void);
/* A child after fork has no pools. */
void pools_clear(void);

#endif
