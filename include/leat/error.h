/* Why a call of libleat failed: for a program (errnum, code) and for a human (text). */
#ifndef LEAT_ERROR_H
#define LEAT_ERROR_H

#define LEAT_CODE_MAX 48
#define LEAT_TEXT_MAX 512

struct leat_error {
    int errnum;               /* negative errno; the same number as the call returned */
    int status;               /* HTTP status of the answer; 0 when there was none */
    char code[LEAT_CODE_MAX]; /* stable slug, for example "unknown-job" */
    char text[LEAT_TEXT_MAX]; /* one sentence: what was asked, what was there, what to do */
};

#endif
