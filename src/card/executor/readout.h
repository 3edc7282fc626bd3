/* A session that came from another host is read out by its relay, to go back there: it leaves the
 * device, its checkpoint goes over in pieces, and it stays away until another record comes, for it
 * may well go on here. Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_READOUT_H
#define LEAT_CARD_EXECUTOR_READOUT_H

struct error;
struct session;

/* Of a suspended session: answer its relay if that asks next. 1 when it did; else the record that
 * came is in hand. */
int readout_serve(struct session *session);
/* What was not read will not be; the session stays away. */
void readout_break_off(struct session *session);
/* Back on the device: 0, also when it was not read out, or -ENOSPC with err set: it is away then,
 * as after a suspension. */
int readout_end(struct session *session, struct error *err);

#endif
