/* Series as lines: see chart.h. */
#include "cli/chart.h"

#include "cli/view.h"

#define WIDTH 760
#define HEIGHT 420
#define LEFT 46
#define TOP 20
#define PLOT_WIDTH 540
#define PLOT_HEIGHT 350
#define LINE_HEIGHT 18
#define GRID 5 /* lines, every 20 percent */

/* Colours that stay apart for readers who do not see all of them (Okabe and Ito). */
static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                      "#56b4e9", "#d55e00", "#000000", "#7f5f00"};
#define COLOURS (sizeof(colours) / sizeof(*colours))

static void text_escape(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
            (void)buf_printf(out, "&#%d;", *text);
        else if ((unsigned char)*text >= 0x20)
            (void)buf_append(out, text, 1);
    }
}

static void line_draw(struct buf *out, const json_t *one, size_t index)
{
    const json_t *values = json_object_get(one, "values");
    const char *colour = colours[index % COLOURS];
    size_t count = json_array_size(values);
    int legend = TOP + 12 + (int)index * LINE_HEIGHT;
    (void)buf_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"",
                     colour);
    for (size_t i = 0; i < count; i++) {
        double x = LEFT + (count > 1 ? (double)i / (double)(count - 1) : 0) * PLOT_WIDTH;
        double y = TOP + PLOT_HEIGHT * (1 - json_number_value(json_array_get(values, i)) / 100);
        (void)buf_printf(out, "%.1f,%.1f ", x, y);
    }
    (void)buf_printf(out, "\"/>\n<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"4\" fill=\"%s\"/>",
                     LEFT + PLOT_WIDTH + 10, legend - 6, colour);
    (void)buf_printf(out, "<text x=\"%d\" y=\"%d\">", LEFT + PLOT_WIDTH + 28, legend);
    text_escape(out, view_text(one, "label", ""));
    (void)buf_puts(out, "</text>\n");
}

void chart_svg(struct buf *out, const json_t *series, const char *below)
{
    size_t i;
    json_t *one;
    (void)buf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                     "font-family=\"sans-serif\" font-size=\"12\">\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
                     WIDTH, HEIGHT);
    for (int grid = 0; grid <= GRID; grid++) {
        int y = TOP + PLOT_HEIGHT * (GRID - grid) / GRID;
        (void)buf_printf(out,
                         "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#cccccc\"/>"
                         "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d %%</text>\n",
                         LEFT, y, LEFT + PLOT_WIDTH, y, LEFT - 6, y + 4, grid * 100 / GRID);
    }
    json_array_foreach (series, i, one)
        line_draw(out, one, i);
    (void)buf_printf(out, "<text x=\"%d\" y=\"%d\">%s</text>\n</svg>\n", LEFT,
                     TOP + PLOT_HEIGHT + 28, below);
}
