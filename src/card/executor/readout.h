/* A session that came from another host is read out by its relay, to go back there: it leaves the
 * device, its checkpoint goes over in pieces, and it stays away until another record comes, for it
 * may well go on here. Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_READOUT_H
#define LEAT_CARD_EXECUTOR_READOUT_H

struct error;
struct session;

/* Back on the device: 0, also when it was not read out, or -ENOSPC with err set: it is away then,
 * as after a suspension. */
int readout_end(struct session *session, struct error *err);

#endif
