/* The breakdown of an estimate as a bar. */
#ifndef LEAT_CLI_ESTIMATE_SVG_H
#define LEAT_CLI_ESTIMATE_SVG_H

#include "base/buf.h"
#include "base/json.h"

/* Appends an SVG document of an answer of POST /v1/estimates: one bar, a colour and a line of the
 * legend for every term, and the safe reservation as a mark. */
void estimate_svg(struct buf *out, const json_t *answer, const char *title);

#endif
