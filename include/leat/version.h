/* The version of the public headers. */
#ifndef LEAT_VERSION_H
#define LEAT_VERSION_H

#define LEAT_VERSION_MAJOR 0
#define LEAT_VERSION_MINOR 1
#define LEAT_VERSION_PATCH 0

#endif
