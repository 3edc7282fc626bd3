/* Several cards of one process. The library has one session; each further card has a copy of it,
 * with a platform of its own, which the first one's platforms are followed by. */
#ifndef LEAT_CARD_OPENCL_SIBLING_H
#define LEAT_CARD_OPENCL_SIBLING_H

#include <CL/cl.h>
#include <stddef.h>

#define CARDS_MAX 16 /* of one process */

/* What a copy is asked for by its clGetExtensionFunctionAddress: be the library of the card with
 * this number (0 is the first), and give its platform; NULL: there is no card. */
#define SIBLING_FUNCTION "leatPlatformOfCard"
typedef cl_platform_id sibling_function(unsigned number);
sibling_function sibling_be;

struct siblings {
    int sought; /* copies were made, as many as can be */
    unsigned count;
    sibling_function *platform_of[CARDS_MAX];
};

/* The part of LEAT_CARD_TOKEN that is of card `number`, copied into `room` bytes: 0, or -1 when
 * there is none or it is too long. */
int sibling_token(const char *tokens, unsigned number, char *token, size_t room);
/* Copies for all cards but the first. Called by the first library, once, with its lock. */
void siblings_open(struct siblings *siblings, const char *tokens);
/* The platforms of the other cards, as many as fit; gives their number. */
cl_uint siblings_platforms(const struct siblings *siblings, cl_uint room,
                           cl_platform_id *platforms);

#endif
