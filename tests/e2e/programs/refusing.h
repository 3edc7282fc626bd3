/* What the driver of refusing_driver.c refuses, and the program refusing.c asks for. */
#ifndef LEAT_TEST_REFUSING_H
#define LEAT_TEST_REFUSING_H

#define REFUSED_KERNEL "refused"
#define REFUSED_BYTES 12344u

#endif
