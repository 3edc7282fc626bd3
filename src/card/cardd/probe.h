/* Listing the devices of this machine: the one time that drivers are asked outside of an
 * executor. */
#ifndef LEAT_CARDD_PROBE_H
#define LEAT_CARDD_PROBE_H

struct devices;
struct error;

#define PROBE_MS 60000 /* a driver that has not listed its devices by then is given up */

/* Ask the drivers, in a process of its own, as they may start threads or crash, and give each
 * device its shared page. */
int devices_probe(struct devices *ret_devices, struct error *err);

#endif
