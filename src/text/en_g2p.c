/* en_g2p.c - English text to phonemes: tokens, tags, pieces, then words from right to left, since "the" and "to" depend on what follows. */
#include <stdlib.h>
#include <unicode/uchar.h>

#include "text/en.h"
#include "text/utf8.h"

enum { MAX_LIST = 24 }; /* pieces of one word: spans of it are looked up, so their number is bounded */

#define JUNK "',-._‘’/"
#define MARKS ";:,.!?—…\"“”"

static const koe_str none = { NULL, 0 };

static bool only(koe_str s, const char *set)
{
    for (size_t at = 0; at < s.n;)
        if (!koe_utf8_in(koe_utf8_next(s, &at), set)) return false;
    return true;
}

/* ---- the writer's own phonemes and stress: [word](/.../), [word](+1), [2024](#a#) ---- */

static bool inside(const koe_link *l, size_t base, const koe_en_token *t)
{
    return base + t->at >= l->at && base + t->at + t->text.n <= l->at + l->n;
}

static void apply_stress_link(koe_english *e, koe_en_tokens *t, const koe_link *l, size_t from, size_t to)
{
    koe_str v = l->value;
    double stress = KOE_NO_STRESS;
    const char *flags = "";
    if (v.n > 1 && v.p[0] == '#') flags = koe_en_printf(e, "%.*s", KOE_STR_ARG(v)).p;
    else {
        char number[16] = { 0 }, *end;
        if (!v.n || v.n >= sizeof number) return;
        memcpy(number, v.p, v.n);
        stress = strtod(number, &end);
        if (*end) return;
    }
    for (size_t i = from; i < to; i++) t->token[i].stress = stress, t->token[i].num_flags = flags ? flags : "";
}

/* IPA in misaki's symbols. */
static koe_str misaki_of(koe_english *e, koe_str ipa)
{
    koe_buf out = { 0 };
    koe_misaki_of_ipa(&out, ipa, koe_lang_find(e->british ? KOE_STR("en-gb") : KOE_STR("en-us")));
    koe_str s = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&out)));
    koe_buf_free(&out);
    return s;
}

/* Tokens end where links do that say how they sound: "v[2](/tu/)". */
static void split_at_links(koe_en_tokens *t, size_t base, const koe_link *link, size_t n_link)
{
    koe_en_tokens out = { 0 };
    size_t k = 0;
    for (size_t i = 0; i < t->n; i++) {
        koe_en_token one = t->token[i];
        while (k < n_link && link[k].at + link[k].n <= base + one.at) k++;
        for (size_t edge = k; edge < n_link && link[edge].at < base + one.at + one.text.n; edge++) {
            const size_t edges[] = { link[edge].at, link[edge].at + link[edge].n };
            for (size_t j = 0; j < 2 && link[edge].n && koe_link_phonemes(&link[edge]).n; j++) {
                if (edges[j] <= base + one.at || edges[j] >= base + one.at + one.text.n) continue;
                const size_t n = edges[j] - base - one.at;
                koe_en_token head = one;
                head.text.n = n;
                head.space = false;
                koe_en_add_token(&out, head);
                one.at += n;
                one.text = koe_str_sub(one.text, n, one.text.n);
            }
        }
        koe_en_add_token(&out, one);
    }
    free(t->token);
    out.failed |= t->failed;
    *t = out;
}

/* What a link says for a word that is read as `tag`, in misaki's symbols. */
static koe_str link_sound(koe_english *e, const koe_link *l, koe_en_tag_id tag)
{
    koe_link chosen = *l;
    if (l->word) {
        koe_pos exact, parent;
        koe_en_pos(tag, &exact, &parent);
        chosen.value = koe_user_word_phonemes(l->word, exact, parent);
    }
    const koe_str v = koe_link_phonemes(&chosen), sound = l->is_ipa ? misaki_of(e, v) : v;
    return l->has_s ? koe_en_add_s(e, sound) : sound;
}

static void apply_links(koe_english *e, koe_en_tokens *t, size_t base, const koe_link *link, size_t n_link)
{
    size_t out = 0, k = 0;
    split_at_links(t, base, link, n_link);
    for (size_t i = 0; i < t->n;) {
        while (k < n_link && link[k].at + link[k].n <= base + t->token[i].at) k++;
        size_t end = i;
        while (k < n_link && end < t->n && inside(&link[k], base, &t->token[end])) end++;
        if (end == i) {
            t->token[out++] = t->token[i++];
            continue;
        }
        koe_str v = koe_link_phonemes(&link[k]);
        bool spoken = v.n > 0;
        if (!spoken) apply_stress_link(e, t, &link[k], i, end);
        else {
            koe_en_token *head = &t->token[i];
            const koe_en_token *last = &t->token[end - 1];
            head->text.n = last->at + last->text.n - head->at;
            head->space = last->space;
            head->done = true;
            head->phonemes = link_sound(e, &link[k], head->tag);
            head->tag = KOE_TAG_NNP;
        }
        for (size_t j = i; j < (spoken ? i + 1 : end); j++) t->token[out++] = t->token[j];
        i = end;
    }
    t->n = out;
}

/* ---- pieces ---- */

static bool is_punctuation(koe_en_tag_id t) { return t >= KOE_TAG_STOP; }

static koe_str mark_phonemes(koe_english *e, const koe_en_token *t)
{
    if (t->tag == KOE_TAG_LRB) return KOE_STR("(");
    if (t->tag == KOE_TAG_RRB) return KOE_STR(")");
    if (t->tag == KOE_TAG_OPEN) return KOE_STR("“");
    if (t->tag == KOE_TAG_CLOSE) return KOE_STR("”");
    koe_buf b = { 0 };
    for (size_t at = 0; at < t->text.n;) {
        uint32_t c = koe_utf8_next(t->text, &at);
        if (koe_utf8_in(c, MARKS)) koe_utf8_put(&b, c);
    }
    koe_str s = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&b)));
    koe_buf_free(&b);
    return s;
}

static bool ascii_letters(koe_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z')) return false;
    return true;
}

static void settle(koe_en_token *t, koe_str phonemes)
{
    t->done = true;
    t->phonemes = phonemes.p ? phonemes : KOE_STR("");
}

static char currency_of(koe_str s) { return koe_str_is(s, "$") ? '$' : koe_str_is(s, "£") ? 'L' : koe_str_is(s, "€") ? 'E' : 0; }

/* misaki's retokenize: pieces of every token, marks settled, currency carried to the last piece of its amount. */
static void make_pieces(koe_english *e, koe_en_tokens *out, const koe_en_tokens *t)
{
    char currency = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t from = out->n;
        if (t->token[i].done) koe_en_add_token(out, t->token[i]);
        else koe_en_split(out, &t->token[i]);
        for (size_t j = from; j < out->n && !out->failed; j++) {
            koe_en_token *p = &out->token[j];
            char sign = currency_of(p->text);
            if (p->done) continue;
            if (p->tag == KOE_TAG_DOLLAR && sign) currency = sign, settle(p, KOE_STR(""));
            else if (p->tag == KOE_TAG_COLON && (koe_str_is(p->text, "-") || koe_str_is(p->text, "–"))) settle(p, KOE_STR("—"));
            else if (is_punctuation(p->tag) && !ascii_letters(p->text)) settle(p, mark_phonemes(e, p));
            else if (currency) {
                if (p->tag != KOE_TAG_CD) currency = 0;
                else if (j + 1 == out->n && (i + 1 == t->n || t->token[i + 1].tag != KOE_TAG_CD)) p->currency = currency;
            } else if (j > from && j + 1 < out->n && koe_str_is(p->text, "2") && ascii_letters(koe_str_sub(out->token[j - 1].text, out->token[j - 1].text.n - 1, 1)) &&
                       ascii_letters(koe_str_sub(out->token[j + 1].text, 0, 1)))
                p->alias = "to";
        }
    }
}

/* ---- words ---- */

/* espeak-ng on a text, cut at marks as phonemizer does it. */
static koe_str fallback(koe_english *e, koe_str text)
{
    koe_buf out = { 0 }, ipa = { 0 };
    size_t start = 0;
    for (size_t at = 0; at <= text.n && e->st == KOE_OK;) {
        size_t here = at;
        uint32_t c = at < text.n ? koe_utf8_next(text, &at) : 0;
        bool mark = c && koe_utf8_in(c, ";:,.!?¡¿—…\"«»“”(){}[]");
        if (at < text.n && !mark) continue;
        size_t end = mark ? here : text.n;
        koe_str part = koe_str_trim(koe_str_sub(text, start, end - start));
        if (part.n) {
            koe_buf_clear(&ipa);
            e->st = koe_espeak_safe(e->t, &ipa, e->british ? KOE_STR("en-gb") : KOE_STR("en-us"), part, true, e->err);
            if (e->st == KOE_E_UNSUPPORTED) { /* no espeak-ng here: letter by letter */
                e->st = KOE_OK;
                koe_buf_add_str(&out, koe_en_spell(e, part));
            } else if (e->st == KOE_OK) koe_misaki_english(&out, koe_str_trim(koe_buf_str(&ipa)), e->british);
        }
        if (mark) koe_buf_add(&out, text.p + here, at - here);
        start = at;
        if (!mark) break;
    }
    koe_str r = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&out)));
    koe_buf_free(&out);
    koe_buf_free(&ipa);
    return r;
}

static koe_en_context context_after(koe_en_context ctx, koe_str phonemes, koe_str text, koe_en_tag_id tag)
{
    if (phonemes.n) ctx.vowel = koe_en_vowel_after(phonemes, ctx.vowel);
    ctx.to = koe_str_is(text, "to") || koe_str_is(text, "To") || (koe_str_is(text, "TO") && (tag == KOE_TAG_TO || tag == KOE_TAG_IN));
    return ctx;
}

static size_t tag_weight(koe_str s)
{
    size_t n = 0;
    for (size_t at = 0; at < s.n;) {
        uint32_t c = koe_utf8_next(s, &at);
        n += c < 0x80 ? (c >= 'A' && c <= 'Z' ? 2 : 1) : u_tolower((UChar32)c) != (UChar32)c ? 2 : 1;
    }
    return n;
}

static koe_en_query merge(const koe_en_token *t, size_t n)
{
    koe_en_query q = { .text = { t[0].text.p, t[n - 1].at + t[n - 1].text.n - t[0].at }, .is_head = t[0].is_head, .stress = KOE_NO_STRESS, .num_flags = "" };
    size_t best = 0;
    bool mixed = false;
    for (size_t i = 0; i < n; i++) {
        size_t w = tag_weight(t[i].text);
        if (w > best) best = w, q.tag = t[i].tag;
        if (t[i].currency) q.currency = t[i].currency;
        if (*t[i].num_flags) q.num_flags = t[i].num_flags;
        if (isnan(t[i].stress)) continue;
        if (!isnan(q.stress) && q.stress != t[i].stress) mixed = true;
        q.stress = t[i].stress;
    }
    if (mixed) q.stress = KOE_NO_STRESS;
    return q;
}

static koe_str look_up(koe_english *e, const koe_en_token *t, size_t n, koe_en_context ctx)
{
    koe_en_query q = merge(t, n);
    if (n == 1 && t->alias) q.text = koe_str_of(t->alias);
    return koe_en_lookup(e, &q, ctx);
}

static bool is_letter_at(koe_str s, size_t at) { return u_isalpha((UChar32)koe_utf8_first(koe_str_sub(s, at, 4))); }

/* Whether the parts of a word are separated by spaces: a slash, or letters beside digits beside other signs. */
static bool spaced_parts(koe_str text)
{
    unsigned kinds = 0;
    for (size_t at = 0; at < text.n;) {
        size_t here = at;
        uint32_t c = koe_utf8_next(text, &at);
        if (c == ' ' || c == '/') return true;
        if (!koe_utf8_in(c, JUNK)) kinds |= is_letter_at(text, here) ? 1u : u_isdigit((UChar32)c) ? 2u : 4u;
    }
    return (kinds & (kinds - 1)) != 0;
}

typedef struct rank {
    bool primary;
    size_t weight, index;
} rank;

static int by_rank(const void *a, const void *b)
{
    const rank *x = a, *y = b;
    if (x->primary != y->primary) return x->primary - y->primary;
    if (x->weight != y->weight) return x->weight < y->weight ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Glued parts share one main stress: "well-known". */
static void restress(koe_english *e, koe_en_token *t, size_t n)
{
    rank r[MAX_LIST];
    size_t k = 0, n_primary = 0;
    for (size_t i = 0; i < n; i++)
        if (t[i].phonemes.n) r[k++] = (rank){ koe_en_has(t[i].phonemes, KOE_PRIMARY), koe_en_weight(t[i].phonemes), i };
    for (size_t i = 0; i < k; i++) n_primary += r[i].primary;
    if (k == 2 && koe_utf8_count(t[r[0].index].text) == 1) {
        t[r[1].index].phonemes = koe_en_stress(e, t[r[1].index].phonemes, -0.5);
        return;
    }
    if (k < 2 || n_primary <= (k + 1) / 2) return;
    qsort(r, k, sizeof *r, by_rank);
    for (size_t i = 0; i < k / 2; i++) t[r[i].index].phonemes = koe_en_stress(e, t[r[i].index].phonemes, -0.5);
}

static void finish_list(koe_english *e, koe_en_token *t, size_t n)
{
    koe_str text = { t[0].text.p, t[n - 1].at + t[n - 1].text.n - t[0].at };
    bool prespace = spaced_parts(text);
    for (size_t i = 0; i < n; i++) {
        if (!t[i].done && i + 1 == n && only(t[i].text, KOE_EN_PAUSES)) settle(&t[i], t[i].text);
        else if (!t[i].done && only(t[i].text, JUNK)) settle(&t[i], KOE_STR(""));
        else if (i > 0 && t[i].done) t[i].prespace = prespace;
    }
    if (!prespace) restress(e, t, n);
}

/* A word of several pieces: the longest known stretches from the right; when a piece stays unknown espeak-ng gets the whole. */
static koe_en_context resolve_list(koe_english *e, koe_en_token *t, size_t n, koe_en_context ctx)
{
    size_t left = 0, right = n;
    while (left < right) {
        bool settled = false;
        for (size_t i = left; i < right; i++) settled |= t[i].done || t[i].alias;
        koe_str ph = settled ? none : look_up(e, t + left, right - left, ctx);
        if (ph.p) {
            koe_en_query q = merge(t + left, right - left);
            settle(&t[left], ph);
            for (size_t i = left + 1; i < right; i++) settle(&t[i], KOE_STR(""));
            ctx = context_after(ctx, ph, q.text, q.tag);
            right = left;
            left = 0;
        } else if (left + 1 < right) left++;
        else {
            koe_en_token *one = &t[--right];
            if (!one->done && !only(one->text, JUNK)) {
                koe_en_query all = merge(t, n);
                settle(&t[0], fallback(e, all.text));
                for (size_t i = 1; i < n; i++) settle(&t[i], KOE_STR(""));
                return ctx;
            }
            if (!one->done) settle(one, KOE_STR(""));
            left = 0;
        }
    }
    finish_list(e, t, n);
    return ctx;
}

static koe_en_context resolve_single(koe_english *e, koe_en_token *t, koe_en_context ctx)
{
    if (!t->done) {
        koe_str ph = look_up(e, t, 1, ctx);
        settle(t, ph.p ? ph : fallback(e, t->text));
    }
    return context_after(ctx, t->phonemes, t->text, t->tag);
}

/* ---- output ---- */

static bool sounds(koe_str ph)
{
    for (size_t at = 0; at < ph.n;) {
        uint32_t c = koe_utf8_next(ph, &at);
        if (koe_utf8_in(c, KOE_EN_VOWELS KOE_EN_CONSONANTS) || u_isalpha((UChar32)c)) return true;
    }
    return false;
}

static void put_final(koe_buf *out, koe_str ph)
{
    for (size_t at = 0; at < ph.n;) {
        uint32_t c = koe_utf8_next(ph, &at);
        koe_utf8_put(out, c == 0x27e ? 'T' : c == 0x294 ? 't' : c); /* Kokoro 1.0 writes the flap as T */
    }
}

static void add_word(koe_block *b, const koe_en_token *t, size_t n, size_t base, koe_buf *scratch)
{
    koe_buf_clear(scratch);
    for (size_t i = 0; i < n; i++) {
        if (t[i].prespace && scratch->n && scratch->data[scratch->n - 1] != ' ' && t[i].phonemes.n) koe_buf_addc(scratch, ' ');
        put_final(scratch, t[i].phonemes);
    }
    koe_str ph = koe_buf_str(scratch);
    koe_block_add(b, base + t[0].at, t[n - 1].at + t[n - 1].text.n - t[0].at, ph, sounds(ph), t[n - 1].space);
}

/* Words are runs of unsettled pieces without white space between them; a settled piece, or one that white space follows, stands alone.
 * first[i]: piece i starts a word; list[i]: that word is a list, however short. */
static bool *find_words(const koe_en_tokens *p, bool **list)
{
    bool *first = calloc(p->n + 1, sizeof *first);
    *list = calloc(p->n + 1, sizeof **list);
    if (!first || !*list) return free(first), free(*list), *list = NULL, NULL;
    size_t head = 0;
    bool open = false;
    for (size_t i = 0; i < p->n; i++) {
        const koe_en_token *t = &p->token[i];
        bool alone = t->done || t->alias;
        if (!alone && open && !p->token[i - 1].space && i - head < MAX_LIST) {
            p->token[i].is_head = false;
            continue;
        }
        first[i] = true;
        head = i;
        open = !alone && !t->space;
        (*list)[i] = open;
    }
    first[p->n] = true;
    return first;
}

static void resolve(koe_english *e, koe_block *b, koe_en_tokens *p, size_t base)
{
    bool *list, *first = find_words(p, &list);
    if (!first) {
        p->failed = true;
        return;
    }
    koe_en_context ctx = { -1, false };
    for (size_t end = p->n; end > 0 && e->st == KOE_OK;) {
        size_t head = end - 1;
        while (!first[head]) head--;
        if (list[head] && end - head > 1) ctx = resolve_list(e, p->token + head, end - head, ctx);
        else ctx = resolve_single(e, &p->token[head], ctx);
        end = head;
    }
    koe_buf scratch = { 0 };
    for (size_t i = 0; i < p->n && e->st == KOE_OK;) {
        size_t end = i + 1;
        while (!first[end]) end++;
        add_word(b, p->token + i, end - i, base, &scratch);
        i = end;
    }
    b->failed |= scratch.failed;
    koe_buf_free(&scratch);
    free(first), free(list);
}

koe_status koe_phonemise_english(koe_block *b, const koe_lexicon *lexicon, bool british, koe_str text, size_t at, koe_error *err)
{
    koe_english e = { .t = b->t, .lexicon = lexicon, .british = british, .text = text, .err = err };
    koe_en_tokens tokens = { 0 }, pieces = { 0 };
    koe_en_tokenize(&e, &tokens, e.text);
    koe_en_tag(&e, &tokens);
    if (b->n_link) apply_links(&e, &tokens, at, b->link, b->n_link);
    make_pieces(&e, &pieces, &tokens);
    if (!tokens.failed && !pieces.failed) resolve(&e, b, &pieces, at);
    if (e.st == KOE_OK && (tokens.failed || pieces.failed || b->failed)) e.st = koe_fail(err, KOE_E_NOMEM, "phonemes");
    free(tokens.token), free(pieces.token);
    koe_arena_free(&e.arena);
    return e.st;
}
