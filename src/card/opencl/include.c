/* Putting headers in the place of their #include lines: see include.h. */
#include "card/opencl/include.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64
#define FOLDERS_MAX 64
#define FILE_MAX_BYTES (16u << 20)
#define PROGRAM_NAME "program.cl"

struct expansion {
    FILE *out;
    const struct include_headers *headers;
    char *options; /* a copy that the folders point into */
    const char *folders[FOLDERS_MAX];
    unsigned folder_count;
    const char *open[DEPTH_MAX]; /* names of the texts under way, the program first */
    unsigned depth;
    unsigned found;
};

/* One #include of a text. */
struct directive {
    char name[PATH_MAX];
    int quoted; /* "name", not <name> */
};

/* The next word of the options, with double quotes taken off; moves `at` behind it. */
static char *next_word(char **at)
{
    char *from = *at + strspn(*at, " \t\n"), *to = from, *word = from;
    int quoted = 0;
    if (!*from)
        return NULL;
    for (; *from && (quoted || !strchr(" \t\n", *from)); from++) {
        if (*from == '"')
            quoted = !quoted;
        else
            *to++ = *from;
    }
    *at = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

static void find_folders(struct expansion *run)
{
    char *at = run->options, *word;
    while ((word = next_word(&at)) != NULL) {
        const char *folder = NULL;
        if (strcmp(word, "-I") == 0)
            folder = next_word(&at);
        else if (strncmp(word, "-I", 2) == 0)
            folder = word + 2;
        if (folder && run->folder_count < FOLDERS_MAX)
            run->folders[run->folder_count++] = folder;
    }
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* Behind `#` and `word` at the start of a line, or NULL. */
static const char *after_directive(const char *line, const char *word)
{
    const char *at = skip_blanks(line);
    if (*at++ != '#')
        return NULL;
    at = skip_blanks(at);
    size_t length = strlen(word);
    return strncmp(at, word, length) == 0 ? skip_blanks(at + length) : NULL;
}

static int read_directive(const char *line, struct directive *ret_directive)
{
    const char *at = after_directive(line, "include");
    if (!at || (*at != '"' && *at != '<'))
        return 0;
    ret_directive->quoted = *at == '"';
    size_t length = strcspn(at + 1, ret_directive->quoted ? "\"\n" : ">\n");
    if (length == 0 || length >= sizeof(ret_directive->name) || at[1 + length] == '\n' ||
        !at[1 + length])
        return 0;
    memcpy(ret_directive->name, at + 1, length);
    ret_directive->name[length] = '\0';
    return 1;
}

static int is_pair(const char *at, const char *end, const char *pair)
{
    return end - at >= 2 && memcmp(at, pair, 2) == 0;
}

/* The closing quote of what opens at `at`, or the line's end. */
static const char *closing_quote(const char *at, const char *end)
{
    char quote = *at++;
    while (at < end && *at != quote)
        at += *at == '\\' ? 2 : 1;
    return at;
}

/* Whether a comment is open behind this line. */
static int scan_line(const char *line, const char *end, int in_comment)
{
    for (const char *at = line; at < end; at++) {
        if (is_pair(at, end, in_comment ? "*/" : "/*")) {
            in_comment = !in_comment;
            at++;
        } else if (!in_comment && is_pair(at, end, "//")) {
            return 0;
        } else if (!in_comment && (*at == '"' || *at == '\'')) {
            at = closing_quote(at, end);
        }
    }
    return in_comment;
}

/* The text of a file, owned; NULL when it cannot be read. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    if (!file)
        return NULL;
    ssize_t length = getdelim(&text, &room, '\0', file);
    (void)fclose(file); /* only read from */
    if (length >= 0 && length <= (ssize_t)FILE_MAX_BYTES)
        return text;
    free(text);
    return length < 0 && errno == 0 ? strdup("") : NULL;
}

static char *read_in(const char *folder, size_t folder_length, const char *name,
                     char path[PATH_MAX])
{
    int length = folder_length && name[0] != '/'
                     ? snprintf(path, PATH_MAX, "%.*s/%s", (int)folder_length, folder, name)
                     : snprintf(path, PATH_MAX, "%s", name);
    errno = 0;
    return length > 0 && length < PATH_MAX ? read_text(path) : NULL;
}

/* The text of what a directive names, owned, and the name it goes by from then on. */
static char *find_text(const struct expansion *run, const struct directive *directive,
                       char path[PATH_MAX])
{
    const struct include_headers *headers = run->headers;
    for (unsigned i = 0; headers && i < headers->count; i++) {
        if (strcmp(headers->names[i], directive->name) != 0)
            continue;
        (void)snprintf(path, PATH_MAX, "%s", directive->name);
        return strdup(headers->texts[i]);
    }
    const char *includer = run->open[run->depth - 1], *slash = strrchr(includer, '/');
    char *text = NULL;
    if (directive->quoted && slash)
        text = read_in(includer, (size_t)(slash - includer), directive->name, path);
    for (unsigned i = 0; !text && i < run->folder_count; i++)
        text = read_in(run->folders[i], strlen(run->folders[i]), directive->name, path);
    return text || !directive->quoted ? text : read_in(NULL, 0, directive->name, path);
}

static int is_open(const struct expansion *run, const char *path)
{
    for (unsigned i = 0; i < run->depth; i++)
        if (strcmp(run->open[i], path) == 0)
            return 1;
    return run->depth == DEPTH_MAX;
}

/* `#pragma once` means a file; in one text a guard of its own stands for it. */
static int write_guard(FILE *out, const char *name, unsigned line)
{
    uint64_t state = 14695981039346656037u; /* FNV-1a */
    for (; *name; name++)
        state = (state ^ (unsigned char)*name) * 1099511628211u;
    (void)fprintf(out, "#ifndef LEAT_ONCE_%016llx\n#define LEAT_ONCE_%016llx\n#line %u\n",
                  (unsigned long long)state, (unsigned long long)state, line);
    return 1;
}

static void expand(struct expansion *run, const char *text, const char *name);

/* Put what the directive names in its place: 1, or 0 when it must stay. */
static int expand_directive(struct expansion *run, const char *line, unsigned number)
{
    struct directive directive;
    char path[PATH_MAX];
    if (!read_directive(line, &directive))
        return 0;
    char *text = find_text(run, &directive, path);
    int here = text && !is_open(run, path);
    if (here) {
        (void)fprintf(run->out, "#line 1 \"%s\"\n", path); /* failures show at the close */
        expand(run, text, path);
        (void)fprintf(run->out, "\n#line %u \"%s\"\n", number + 1, run->open[run->depth - 1]);
        run->found++;
    }
    free(text);
    return here;
}

static void expand(struct expansion *run, const char *text, const char *name)
{
    int in_comment = 0, is_first = run->depth > 0, guarded = 0;
    unsigned number = 1;
    run->open[run->depth++] = name;
    for (const char *line = text; *line; number++) {
        const char *end = strchrnul(line, '\n');
        const char *word = in_comment ? NULL : after_directive(line, "");
        if (is_first && word && strncmp(word, "pragma once", 11) == 0)
            guarded = write_guard(run->out, name, number + 1);
        else if (!word || !expand_directive(run, line, number))
            (void)fprintf(run->out, "%.*s\n", (int)(end - line), line);
        is_first = is_first && !word;
        in_comment = scan_line(line, end, in_comment);
        line = *end ? end + 1 : end;
    }
    if (guarded)
        (void)fprintf(run->out, "#endif\n");
    run->depth--;
}

char *include_expand(const char *source, const struct include_headers *headers, const char *options)
{
    char *text = NULL;
    size_t length = 0;
    if (!strstr(source, "include"))
        return NULL;
    struct expansion run = {.headers = headers, .options = strdup(options)};
    if (run.options)
        run.out = open_memstream(&text, &length);
    if (run.out) {
        find_folders(&run);
        expand(&run, source, PROGRAM_NAME);
        if (fclose(run.out) != 0 || run.found == 0) {
            free(text);
            text = NULL;
        }
    }
    free(run.options);
    return text;
}
