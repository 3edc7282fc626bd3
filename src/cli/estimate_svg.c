/* The breakdown of an estimate as a bar: see estimate_svg.h. */
#include "cli/estimate_svg.h"

#include "base/units.h"
#include "cli/view.h"

#define WIDTH 720.0
#define MARGIN 20.0
#define BAR_TOP 40
#define BAR_HEIGHT 36
#define LINE_HEIGHT 20

/* Colours that stay apart for readers who do not see all of them (Okabe and Ito). */
static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9",
                                      "#d55e00", "#f0e442", "#999999", "#000000", "#7f5f00"};
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

static void term_draw(struct buf *out, size_t index, double left, double width, const char *name,
                      uint64_t bytes)
{
    char amount[UNITS_TEXT_MAX];
    const char *colour = colours[index % COLOURS];
    int top = BAR_TOP + BAR_HEIGHT + 34 + (int)index * LINE_HEIGHT;
    (void)buf_printf(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
                     left, BAR_TOP, width, BAR_HEIGHT, colour);
    (void)buf_printf(out, "<rect x=\"%.0f\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>\n",
                     MARGIN, top - 11, colour);
    (void)buf_printf(out, "<text x=\"%.0f\" y=\"%d\">%s: %s</text>\n", MARGIN + 20, top, name,
                     bytes_text(bytes, amount));
}

void estimate_svg(struct buf *out, const json_t *answer, const char *title)
{
    char point[UNITS_TEXT_MAX], safe[UNITS_TEXT_MAX];
    uint64_t safe_bytes = view_number(answer, "safe_bytes");
    json_t *terms = json_object_get(answer, "terms"), *value;
    double scale = (WIDTH - 2 * MARGIN) / (safe_bytes ? (double)safe_bytes : 1), left = MARGIN;
    size_t index = 0;
    int height = BAR_TOP + BAR_HEIGHT + 34 + (int)json_object_size(terms) * LINE_HEIGHT;
    const char *name;
    (void)buf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%d\" "
                     "font-family=\"sans-serif\" font-size=\"13\">\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
                     "<text x=\"%.0f\" y=\"24\" font-weight=\"bold\">",
                     WIDTH, height, MARGIN);
    text_escape(out, title);
    (void)buf_printf(out, ": %s, safe %s</text>\n",
                     bytes_text(view_number(answer, "point_bytes"), point),
                     bytes_text(safe_bytes, safe));
    json_object_foreach (terms, name, value) {
        uint64_t bytes = (uint64_t)json_integer_value(value);
        double width = (double)bytes * scale;
        term_draw(out, index++, left, width, name, bytes);
        left += width;
    }
    (void)buf_printf(out,
                     "<rect x=\"%.0f\" y=\"%d\" width=\"%.0f\" height=\"%d\" fill=\"none\" "
                     "stroke=\"#000000\"/>\n</svg>\n",
                     MARGIN, BAR_TOP, WIDTH - 2 * MARGIN, BAR_HEIGHT);
}
