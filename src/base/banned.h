/* Forced into every translation unit: functions that the house bans become compile errors.
 * The real declarations come first, so that system headers still parse. */
#ifndef LEAT_BASE_BANNED_H
#define LEAT_BASE_BANNED_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANNED(name) leat_banned_##name##_see_docs_style

#undef strcpy
#define strcpy(d, s) BANNED(strcpy)
#undef strcat
#define strcat(d, s) BANNED(strcat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef strtok
#define strtok(s, d) BANNED(strtok)
#undef atoi
#define atoi(s) BANNED(atoi)
#undef atol
#define atol(s) BANNED(atol)
#undef strtol
#define strtol(s, e, b) BANNED(strtol)
#undef gets
#define gets(s) BANNED(gets)
#undef alloca
#define alloca(n) BANNED(alloca)
#undef system
#define system(c) BANNED(system)
#undef popen
#define popen(c, m) BANNED(popen)
#undef signal
#define signal(n, h) BANNED(signal)

#endif
