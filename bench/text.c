/* text.c - how fast text is read: a page of 1,000 English words, again and again, and a text of 10 MB, part by part.
 *     build/bench/bench_text [FOLDER OF LEXICONS]     one line of JSON */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "text/text.h"

enum { WORDS = 1000, ROUNDS = 20, LONG_BYTES = 10 << 20, PARTS = 200 };

static const char prose[] =
    "When the morning came, nobody in the village of St. Mary had slept for more than 3 hours. Dr. Whitfield walked along the river at 7:30, "
    "thinking of the $250 that she still owed, and of the letter which her brother had sent from Edinburgh on March 3rd, 1987. \"You have read "
    "it,\" he said, \"but did you understand what I wanted?\" She had not. The live broadcast would begin in 20 minutes; until then, there was "
    "time to record the birds, to close the windows, and to rebuild what the wind had torn down during the night. ";

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Words of prose; a space ends each. */
static void put_words(koe_buf *out, size_t n)
{
    for (size_t i = 0, k = 0; i < n; i += prose[k++] == ' ') {
        if (!prose[k]) k = 0;
        koe_buf_addc(out, prose[k]);
    }
}

static double read_page(koe_text *t, koe_str page, const koe_text_options *opt)
{
    koe_segments s;
    const double start = koe_clock_ms();
    if (koe_text_segments(&s, t, page, opt, NULL) != KOE_OK) fail("the page cannot be read");
    koe_segments_free(&s);
    return koe_clock_ms() - start;
}

static long peak_kb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

int main(int argc, char **argv)
{
    koe_text *t = NULL;
    koe_error err = { 0 };
    const koe_text_options opt = { .lang = KOE_STR("en-us") };
    koe_buf page = { 0 }, book = { 0 };
    if (koe_text_open(&t, &(koe_text_setup){ .lexicon_dir = argc > 1 ? argv[1] : NULL }, &err) != KOE_OK) fail(err.message);
    put_words(&page, WORDS);
    const double first_ms = read_page(t, koe_buf_str(&page), &opt);
    double best_ms = first_ms;
    for (int i = 0; i < ROUNDS; i++) {
        const double ms = read_page(t, koe_buf_str(&page), &opt);
        if (ms < best_ms) best_ms = ms;
    }
    while (book.n < LONG_BYTES) koe_buf_adds(&book, prose);
    const long before_kb = peak_kb();
    const double start = koe_clock_ms();
    double open_ms = 0;
    koe_passage *p = NULL;
    koe_segments s;
    bool last = false;
    size_t n_segments = 0, n_parts = 0, n_bytes = 0;
    if (koe_passage_open(&p, t, koe_buf_str(&book), &opt, &err) != KOE_OK) fail(err.message);
    for (; !last && n_parts < PARTS; n_parts++) {
        if (koe_passage_next(p, &s, &last, &err) != KOE_OK) fail(err.message);
        if (!n_parts) open_ms = koe_clock_ms() - start;
        for (size_t i = 0; i < s.n; i++) n_bytes += s.segment[i].text_n;
        n_segments += s.n;
        koe_segments_free(&s);
    }
    printf("{\"page_first_ms\": %.2f, \"page_ms\": %.3f, \"book_first_ms\": %.2f, \"book_mb_per_s\": %.2f, \"book_segments\": %zu, \"book_added_kb\": %ld}\n",
           first_ms, best_ms, open_ms, (double)n_bytes / 1048.576 / (koe_clock_ms() - start), n_segments, peak_kb() - before_kb);
    koe_passage_close(p);
    koe_text_close(t);
    koe_buf_free(&page);
    koe_buf_free(&book);
    return 0;
}
