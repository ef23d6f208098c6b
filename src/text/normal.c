/* normal.c - a text together with the way back to the input it was made from. */
#include <stdlib.h>

#include "text/rules.h"
#include "text/utf8.h"

void koe_normal_free(koe_normal *t)
{
    koe_buf_free(&t->text);
    free(t->span);
    *t = (koe_normal){ 0 };
}

void koe_normal_clear(koe_normal *t)
{
    koe_buf_clear(&t->text);
    t->n = 0;
}

static void add_span(koe_normal *t, koe_span s)
{
    koe_span *last = t->n ? &t->span[t->n - 1] : NULL;
    if (last && last->same && s.same && last->text_at + last->text_n == s.text_at) { /* one longer span */
        last->n += s.n;
        last->text_n += s.text_n;
        return;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        koe_span *span = reallocarray(t->span, cap, sizeof *span);
        if (!span) {
            t->failed = true;
            return;
        }
        t->span = span;
        t->cap = cap;
    }
    t->span[t->n++] = s;
}

void koe_normal_keep(koe_normal *t, koe_str input, size_t at, size_t n)
{
    if (!n) return;
    add_span(t, (koe_span){ t->text.n, n, at, n, true });
    koe_buf_add(&t->text, input.p + at, n);
    t->failed |= t->text.failed;
}

void koe_normal_replace(koe_normal *t, size_t at, size_t n, koe_str by)
{
    add_span(t, (koe_span){ t->text.n, by.n, at, n, false });
    koe_buf_add(&t->text, by.p, by.n);
    t->failed |= t->text.failed;
}

void koe_normal_rewrite(koe_normal *t, koe_str input, koe_put_fn *put)
{
    koe_buf words = { 0 };
    size_t kept = 0;
    for (size_t at = 0; at < input.n;) {
        if (koe_is_letter(input.p[at])) {
            while (koe_is_alnum(koe_byte(input, at))) at++;
            continue;
        }
        koe_buf_clear(&words);
        const size_t n = put(&words, input, at);
        if (!n) {
            koe_utf8_next(input, &at);
            continue;
        }
        koe_normal_keep(t, input, kept, at - kept);
        koe_normal_replace(t, at, n, koe_buf_str(&words));
        at += n;
        kept = at;
    }
    koe_normal_keep(t, input, kept, input.n - kept);
    t->failed |= words.failed;
    koe_buf_free(&words);
}

size_t koe_normal_source(const koe_normal *t, size_t at, size_t *hint)
{
    if (!t->n) return 0;
    size_t i = *hint < t->n ? *hint : 0;
    if (t->span[i].at > at) i = 0;
    /* The last span that starts at or before `at`; among empty ones at the same place the last. */
    while (i + 1 < t->n && t->span[i + 1].at <= at) i++;
    *hint = i;
    const koe_span *s = &t->span[i];
    size_t off = at - s->at;
    if (off >= s->n) return s->text_at + s->text_n;
    return s->text_at + (s->same ? off : (size_t)((double)off * (double)s->text_n / (double)s->n));
}

size_t koe_normal_place(const koe_normal *t, size_t text_at, size_t *hint)
{
    if (!t->n) return 0;
    size_t i = *hint < t->n ? *hint : 0;
    if (t->span[i].text_at > text_at) i = 0;
    while (i + 1 < t->n && t->span[i].text_at + t->span[i].text_n <= text_at) i++;
    *hint = i;
    const koe_span *s = &t->span[i];
    if (text_at <= s->text_at) return s->at;
    size_t off = text_at - s->text_at;
    return s->same && off < s->n ? s->at + off : s->at + s->n;
}

/* The span that holds byte `at`, from *hint on. */
static const koe_span *span_of(const koe_normal *t, size_t at, size_t *hint)
{
    size_t i = *hint < t->n ? *hint : 0;
    if (t->span[i].at > at) i = 0;
    while (i + 1 < t->n && t->span[i].at + t->span[i].n <= at) i++;
    *hint = i;
    return &t->span[i];
}

void koe_normal_range(const koe_normal *t, size_t at, size_t n, size_t *hint, size_t *text_at, size_t *text_n)
{
    *text_at = *text_n = 0;
    if (!t->n || !n) return;
    const koe_span *first = span_of(t, at, hint), *last = span_of(t, at + n - 1, hint);
    *text_at = first->text_at + (first->same ? at - first->at : 0);
    *text_n = last->text_at + (last->same ? at + n - last->at : last->text_n) - *text_at;
}

void koe_normal_compose(koe_normal *outer, const koe_normal *inner)
{
    size_t n_old = outer->n, hint = 0;
    koe_span *old = outer->span;
    outer->span = NULL;
    outer->n = outer->cap = 0;
    for (size_t i = 0; i < n_old && !outer->failed; i++) {
        const koe_span s = old[i];
        if (!s.same) {
            size_t from = koe_normal_source(inner, s.text_at, &hint), to = koe_normal_source(inner, s.text_at + s.text_n, &hint);
            add_span(outer, (koe_span){ s.at, s.n, from, to > from ? to - from : 0, false });
            continue;
        }
        /* A kept stretch may lie over several spans of the inner text. */
        for (size_t off = 0; off < s.n;) {
            size_t from = koe_normal_source(inner, s.text_at + off, &hint);
            const koe_span *in = &inner->span[hint];
            size_t n = in->at + in->n - (s.text_at + off);
            if (n > s.n - off || n == 0) n = s.n - off;
            size_t next = hint, to = koe_normal_source(inner, s.text_at + off + n, &next);
            if (in->same) to = from + n;
            add_span(outer, (koe_span){ s.at + off, n, from, to > from ? to - from : 0, in->same });
            off += n;
        }
    }
    free(old);
}
