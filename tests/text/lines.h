/* lines.h - a file of cases below tests/data/text: one a line, its fields between tabs; empty lines and those with # in front are left out. */
#ifndef KOE_TESTS_TEXT_LINES_H
#define KOE_TESTS_TEXT_LINES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "text/text.h"

static koe_text *room; /* without dictionaries */

static inline int open_room(void **state)
{
    (void)state;
    return koe_text_open(&room, &(koe_text_setup){ 0 }, NULL) != KOE_OK;
}
static inline int close_room(void **state)
{
    (void)state;
    koe_text_close(room);
    return 0;
}

/* The next of a line's fields. */
static inline koe_str take(koe_str *line)
{
    const char *tab = line->n ? memchr(line->p, '\t', line->n) : NULL;
    const koe_str field = koe_str_sub(*line, 0, tab ? (size_t)(tab - line->p) : line->n);
    *line = koe_str_sub(*line, field.n + 1, line->n);
    return field;
}

/* Whether a line is right: what it gives is added to `got`; `want` is set to the part of the line that says what it should be. */
typedef bool check_line_fn(koe_str line, koe_buf *got, koe_str *want, const void *arg);

/* Fails when a line is wrong, after all were tried. */
static inline void check_lines(const char *path, check_line_fn *check, const void *arg)
{
    koe_buf text = { 0 };
    size_t n_wrong = 0;
    assert_int_equal(koe_file_read(&text, path, 1 << 20, NULL), KOE_OK);
    for (size_t at = 0, n; at < text.n; at += n + 1) {
        n = strcspn(text.data + at, "\n");
        const koe_str line = { text.data + at, n };
        koe_buf got = { 0 };
        koe_str want;
        if (!n || line.p[0] == '#') continue;
        if (!memchr(line.p, '\t', n)) fail_msg("%s: no tab in \"%.*s\"", path, KOE_STR_ARG(line));
        if (!check(line, &got, &want, arg)) {
            print_error("%.*s\n  want  %.*s\n  got   %s\n", KOE_STR_ARG(line), KOE_STR_ARG(want), got.data ? got.data : "");
            n_wrong++;
        }
        koe_buf_free(&got);
    }
    koe_buf_free(&text);
    if (n_wrong) fail_msg("%s: %zu lines", path, n_wrong);
}

/* The same by the file's name. */
static inline void check_file(const char *name, check_line_fn *check, const void *arg)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/text/%s", getenv("KOE_TEST_DATA"), name);
    check_lines(path, check, arg);
}
#endif
