/* What kernels print, and the driver with them: caught in a file of this session, so that sessions
 * never mix, and handed to the client in pieces when it asks. */
#ifndef LEAT_CARD_EXECUTOR_OUTPUT_H
#define LEAT_CARD_EXECUTOR_OUTPUT_H

struct error;

/* Standard output of this process goes to a file in memory from now on. Before the driver is
 * loaded. 0 or a negative errno. */
int output_capture(struct error *err);

#endif
