/* Which library a program uses: see guess.h. */
#include "cli/guess.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define LOOK_BYTES (256u << 10) /* imports stand at the top; an ELF tells by its first bytes */
#define GENERIC "generic"

static int file_head(const char *path, struct buf *head)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || buf_reserve(head, LOOK_BYTES) < 0)
        return -1;
    ssize_t length = read(fd, head->data, LOOK_BYTES);
    if (length < 0)
        return -1;
    head->length = (size_t)length;
    head->data[length] = '\0';
    return 0;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* The word after `keyword` and blanks, or NULL when the line starts otherwise. */
static const char *word_after(const char *line, const char *keyword)
{
    size_t length = strlen(keyword);
    bool is_it = strncmp(line, keyword, length) == 0 && strchr(" \t", line[length]) && line[length];
    return is_it ? skip_blanks(line + length) : NULL;
}

static bool names_module(const char *text, const char *module)
{
    size_t length = strlen(module);
    char after = strncmp(text, module, length) == 0 ? text[length] : '_';
    return !isalnum((unsigned char)after) && after != '_';
}

/* Whether `line` is "import a, MODULE.b as c" or "from MODULE.b import c". */
static bool line_imports(const char *line, const char *module)
{
    const char *end = line + strcspn(line, "\n");
    const char *name = word_after(skip_blanks(line), "from");
    if (name)
        return names_module(name, module);
    name = word_after(skip_blanks(line), "import");
    while (name && name < end) {
        if (names_module(name, module))
            return true;
        name += strcspn(name, ",\n");
        name = *name == ',' ? skip_blanks(name + 1) : NULL;
    }
    return false;
}

static bool text_imports(const char *text, const char *module)
{
    for (const char *line = text; *line;) {
        if (line_imports(line, module))
            return true;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return false;
}

static bool is_python(const char *path, const char *head)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".py") == 0)
        return true;
    const char *end = strchr(head, '\n'), *python = strstr(head, "python");
    return strncmp(head, "#!", 2) == 0 && python && (!end || python < end);
}

const char *guess_library(const char *path)
{
    static const struct {
        const char *module, *library;
    } table[] = {{"vllm", "vllm"}, {"torch", "pytorch"},     {"tensorflow", "tensorflow"},
                 {"jax", "jax"},   {"tinygrad", "tinygrad"}, {"pyopencl", "pyopencl"}};
    AUTO_BUF struct buf head = BUF_INIT;
    if (file_head(path, &head) < 0)
        return GENERIC;
    if (head.length >= 4 && memcmp(head.data, "\177ELF", 4) == 0)
        return "opencl-c";
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (is_python(path, head.data) && text_imports(head.data, table[i].module))
            return table[i].library;
    }
    return GENERIC;
}
