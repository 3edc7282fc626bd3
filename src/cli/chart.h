/* Series of percentages as lines in a chart. */
#ifndef LEAT_CLI_CHART_H
#define LEAT_CLI_CHART_H

#include "base/buf.h"
#include "base/json.h"

/* Appends an SVG document: `series` is a list of {"label","values":[percent...]}, each drawn over
 * the whole width; `below` names the horizontal axis. */
void chart_svg(struct buf *out, const json_t *series, const char *below);

#endif
