/* Any bytes as a lexicon, JSON or PLS, which then reads itself: its matches lie inside the text. Seeds: fuzz/corpus/lexicon. */
#include <assert.h>

#include "text/user_lexicon.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const koe_str text = { (const char *)data, n };
    koe_user_lexicon *l = NULL;
    koe_user_match m;
    size_t bad;
    if (koe_user_lexicon_read(&l, text, "fuzz", NULL) != KOE_OK) return 0;
    for (size_t at = 0; koe_utf8_check(text, &bad) && at < n; koe_utf8_next(text, &at))
        if (koe_user_lexicon_match(l, text, at, koe_lang_find(KOE_STR("en-us")), &m)) assert(m.n > 0 && m.n <= n - at && m.word->written.n);
    koe_user_lexicon_unref(l);
    return 0;
}
