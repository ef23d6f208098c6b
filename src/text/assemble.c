/* assemble.c - pieces to segments.
 * 1. Each piece learns how good a place to stop its end is. 2. The input's words (runs without white space; in scripts without spaces
 * the pieces themselves) are laid over the pieces. 3. Sentences become segments: short ones are joined, long ones are cut at the best
 * places. Every word lands in a segment; those without sound ride along with a neighbour. */
#include "text/assemble.h"

#include <math.h>
#include <stdlib.h>
#include <unicode/uchar.h>

#include "text/rules.h"
#include "text/script.h"
#include "text/utf8.h"

enum { MAX_PHONEMES = 510, MIN_PHONEMES = 20 }; /* of a segment; a sentence below MIN joins its neighbour */

static const double pause_s[] = { [KOE_BREAK_NONE] = 0, [KOE_BREAK_WORD] = 0, [KOE_BREAK_CLAUSE] = 0.12, [KOE_BREAK_SENTENCE] = 0.3,
                                  [KOE_BREAK_LINE] = 0.4, [KOE_BREAK_PARAGRAPH] = 0.6 };

/* A word of the input and its pieces; first == end: it has none. */
typedef struct input_word {
    size_t at, n;
    size_t first, end;
} input_word;

typedef struct layout {
    koe_block *b;
    input_word *word;
    size_t n_word, cap_word;
    size_t max, first_max; /* phonemes */
    size_t next_word; /* first word that is not yet wholly in a segment */
} layout;

static koe_str normal_text(const koe_block *b) { return koe_buf_str(&b->normal.text); }
static koe_str piece_text(const koe_block *b, const koe_piece *p) { return koe_str_sub(normal_text(b), p->at, p->n); }

/* ---- breaks ---- */

/* What the end of piece i would be if a space followed. */
static koe_break mark_level(const koe_block *b, size_t i, koe_break before)
{
    uint32_t last = koe_utf8_last(piece_text(b, &b->piece[i]));
    if (koe_utf8_in(last, ",;:—…–،؛、，；：.!?。！？।")) return KOE_BREAK_CLAUSE;
    return koe_utf8_in(last, "\"'”’»)]}」』）") ? before : KOE_BREAK_WORD;
}

static void set_breaks(koe_block *b)
{
    size_t s = 0, n_sentence;
    const size_t *sentence = koe_block_sentences(b, &n_sentence);
    koe_break level = KOE_BREAK_NONE;
    for (size_t i = 0; i < b->n; i++) {
        koe_piece *p = &b->piece[i];
        const koe_piece *next = i + 1 < b->n ? p + 1 : NULL;
        level = mark_level(b, i, level);
        if (!next) {
            p->brk = b->end;
            break;
        }
        while (s < n_sentence && sentence[s] <= p->at) s++;
        if (s < n_sentence && sentence[s] <= next->at) p->brk = KOE_BREAK_SENTENCE;
        else if (p->at + p->n < next->at || p->space) p->brk = level;
        else if (!next->voiced) p->brk = KOE_BREAK_NONE; /* marks stay together and with their word */
        else if (koe_utf8_first(piece_text(b, p)) == 0x2014 || koe_script_unspaced(koe_utf8_first(piece_text(b, next)))) p->brk = level;
        else p->brk = KOE_BREAK_NONE;
    }
}

/* ---- words ---- */

static bool is_space(uint32_t c) { return c < 0x21 || c == 0x7f || u_isUWhiteSpace((UChar32)c); }

static input_word *add_word(layout *l, size_t at, size_t end, size_t piece)
{
    if (l->n_word == l->cap_word) {
        size_t cap = l->cap_word ? l->cap_word * 2 : 64;
        input_word *w = reallocarray(l->word, cap, sizeof *w);
        if (!w) return NULL;
        l->word = w;
        l->cap_word = cap;
    }
    l->word[l->n_word] = (input_word){ at, end - at, piece, piece };
    return &l->word[l->n_word++];
}

/* Whether piece i, whose source is inside the word w (at `source`), starts a word of its own. */
static bool starts_word(const koe_block *b, size_t i, const input_word *w, size_t source)
{
    if (source <= w->at || !b->piece[i].voiced || w->end == w->first) return false;
    koe_str before = piece_text(b, &b->piece[i - 1]);
    if (!b->piece[i - 1].voiced && koe_utf8_in(koe_utf8_first(before), "—―…")) return true;
    return koe_script_unspaced(koe_utf8_first(piece_text(b, &b->piece[i]))) || koe_script_unspaced(koe_utf8_last(before));
}

/* Lays the run of non-spaces input[at, end) over the pieces from *i on. */
static bool lay_run(layout *l, size_t at, size_t end, size_t *i, size_t *hint)
{
    koe_block *b = l->b;
    input_word *w = add_word(l, at, end, *i);
    for (; w && *i < b->n; ++*i) {
        size_t source = koe_normal_source(&b->normal, b->piece[*i].at, hint);
        if (source >= end) break;
        if (starts_word(b, *i, w, source)) {
            w->n = source - w->at;
            w = add_word(l, source, end, *i);
            if (!w) break;
        }
        w->end = *i + 1;
    }
    return w != NULL;
}

static bool lay_words(layout *l)
{
    koe_block *b = l->b;
    koe_str in = { b->input.p, b->text_at + b->text_n };
    size_t i = 0, hint = 0;
    for (size_t at = b->text_at; at < in.n;) {
        size_t start = at;
        if (is_space(koe_utf8_next(in, &at))) continue;
        for (size_t next = at; next < in.n; at = next)
            if (is_space(koe_utf8_next(in, &next))) break;
        if (!lay_run(l, start, at, &i, &hint)) return false;
    }
    if (l->n_word) l->word[l->n_word - 1].end = b->n; /* whatever maps behind the last word */
    return true;
}

/* ---- pieces that are too long for a segment ---- */

/* Where to cut `sound` so that at most max code points come first: after a space when there is one in the second half. */
static size_t cut_sound(koe_str sound, size_t max)
{
    size_t hard = koe_utf8_offset(sound, max);
    for (size_t at = hard; at > hard / 2; at--)
        if (sound.p[at - 1] == ' ') return at;
    return hard;
}

static size_t snap(koe_str text, size_t at)
{
    while (at > 0 && at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80) at--;
    return at;
}

static void add_cut_piece(koe_block *to, const koe_block *from, const koe_piece *p, size_t max)
{
    koe_str sound = koe_str_sub(koe_buf_str(&from->sound), p->sound_at, p->sound_n);
    size_t done = 0, at = p->at;
    do {
        size_t n = cut_sound(koe_str_sub(sound, done, sound.n - done), max);
        bool last = done + n >= sound.n;
        size_t end = p->at + (last ? p->n : (size_t)((double)p->n * (double)(done + n) / (double)sound.n));
        if (!last) end = snap(normal_text(from), end);
        koe_str part = koe_str_sub(sound, done, n);
        bool space = part.n && part.p[part.n - 1] == ' ';
        koe_block_add(to, at, end > at ? end - at : 0, koe_str_trim(part), p->voiced, last ? p->space : space);
        done += n;
        at = end;
    } while (done < sound.n);
}

static koe_status cut_long_pieces(koe_block *b, size_t max, koe_error *err)
{
    size_t n_long = 0;
    for (size_t i = 0; i < b->n; i++) n_long += b->piece[i].n_phonemes > max;
    if (!n_long) return KOE_OK;
    koe_block cut = *b; /* the same block with pieces of its own */
    cut.piece = NULL;
    cut.sound = (koe_buf){ 0 };
    cut.n = cut.cap = 0;
    for (size_t i = 0; i < b->n; i++) add_cut_piece(&cut, b, &b->piece[i], max);
    free(b->piece);
    koe_buf_free(&b->sound);
    *b = cut;
    return b->failed ? koe_fail(err, KOE_E_NOMEM, "segments") : KOE_OK;
}

/* ---- segments ---- */

/* Phonemes of pieces [from, to), spaces between them included. */
static size_t count_phonemes(const koe_block *b, size_t from, size_t to)
{
    size_t n = 0;
    bool space = false;
    for (size_t i = from; i < to; i++) {
        if (b->piece[i].n_phonemes) n += b->piece[i].n_phonemes + (space && n);
        if (b->piece[i].n_phonemes) space = false;
        space |= b->piece[i].space;
    }
    return n;
}

/* Where to cut pieces [from, to), which are more than `limit` phonemes: into equal parts, at a clause near there, else between words, else
 * anywhere. For the first segment of a stream (`early`) rather at a clause soon after the limit than between words. */
static size_t choose_cut(const koe_block *b, size_t from, size_t to, size_t limit, size_t max, bool early)
{
    size_t total = count_phonemes(b, from, to), parts = (total + limit - 1) / limit;
    double target = early ? (double)limit : (double)total / (double)parts;
    size_t best = from + 1, n = 0, late = 0;
    double best_score = -1e9;
    bool space = false;
    for (size_t i = from; i + 1 < to; i++) {
        const koe_piece *p = &b->piece[i];
        n += p->n_phonemes + (space && n && p->n_phonemes);
        space = p->space || (space && !p->n_phonemes);
        if (n > limit) {
            if (!early || best_score > -1 || n > 2 * limit || n > max) break;
            if (p->brk >= KOE_BREAK_CLAUSE) {
                late = i + 1;
                break;
            }
            continue;
        }
        double off = fabs((double)n - target) / (double)limit; /* 0..1 */
        double score = (p->brk >= KOE_BREAK_CLAUSE ? 0.5 : p->brk == KOE_BREAK_WORD ? -1.5 : -4) - off;
        if (n && score >= best_score) best_score = score, best = i + 1;
    }
    return late ? late : best;
}

/* Closes word w at `end` bytes of the input and puts the rest of it, from piece `first` on, back in line. */
static void split_word(input_word *w, size_t end, size_t first)
{
    size_t tail = w->at + w->n - end;
    w->at = end;
    w->n = tail;
    w->first = first;
}

/* The rule that made normal text [at, end), NULL when none did. */
static const char *rule_of(const koe_block *b, size_t at, size_t end)
{
    const koe_applied *a = (const koe_applied *)(const void *)b->applied.data;
    size_t low = 0, high = b->applied.n / sizeof *a;
    while (low < high) { /* the first that ends behind `at` */
        size_t mid = (low + high) / 2;
        if (a[mid].at + a[mid].n <= at) low = mid + 1;
        else high = mid;
    }
    return low < b->applied.n / sizeof *a && a[low].at < end && a[low].n ? a[low].name : NULL;
}

/* Words whose pieces lie before `to`, positioned in the segment's phonemes by offset[piece - from] (code points; one more at the end). */
static koe_status take_words(layout *l, koe_buf *out, koe_buf *rules, size_t from, size_t to, const size_t *offset, size_t *covered, koe_error *err)
{
    koe_block *b = l->b;
    size_t hint = 0;
    while (l->next_word < l->n_word) {
        input_word *w = &l->word[l->next_word];
        if (w->first >= to && to < b->n) break;
        size_t end = w->end < to ? w->end : to;
        koe_word k = { .text_at = w->at, .text_n = w->n };
        const char *rule = NULL;
        for (size_t i = w->first > from ? w->first : from; i < end; i++) {
            if (!b->piece[i].voiced || !b->piece[i].n_phonemes) continue;
            if (!k.phoneme_n) k.phoneme_at = offset[i - from];
            if (!rule) rule = rule_of(b, b->piece[i].at, b->piece[i].at + b->piece[i].n);
            k.phoneme_n = offset[i - from] + b->piece[i].n_phonemes - k.phoneme_at;
        }
        if (!k.phoneme_n) k.phoneme_at = offset[(w->first > from ? w->first < to ? w->first : to : from) - from];
        bool torn = w->end > to;
        if (torn) {
            size_t cut = koe_normal_source(&b->normal, b->piece[to].at, &hint);
            cut = snap(b->input, cut > w->at + w->n ? w->at + w->n : cut);
            if (cut <= w->at) cut = w->at;
            k.text_n = cut - w->at;
            split_word(w, cut, to);
        } else l->next_word++;
        if (k.text_n) koe_buf_add(out, &k, sizeof k), koe_buf_add(rules, &rule, sizeof rule);
        *covered = k.text_at + k.text_n;
        if (torn) break;
    }
    return out->failed || rules->failed ? koe_fail(err, KOE_E_NOMEM, "words") : KOE_OK;
}

/* The phonemes of pieces [from, to) and where each piece starts in them. */
static void join_sound(koe_buf *out, size_t *offset, const koe_block *b, size_t from, size_t to)
{
    size_t n = 0;
    bool space = false;
    for (size_t i = from; i < to; i++) {
        const koe_piece *p = &b->piece[i];
        if (p->n_phonemes && space && n) koe_buf_addc(out, ' '), n++;
        if (p->n_phonemes) space = false;
        offset[i - from] = n;
        koe_buf_add(out, b->sound.data + p->sound_at, p->sound_n);
        n += p->n_phonemes;
        space |= p->space;
    }
    offset[to - from] = n;
}

static koe_status emit(koe_assembly *a, layout *l, size_t from, size_t to, koe_error *err)
{
    koe_block *b = l->b;
    koe_buf sound = { 0 }, words = { 0 }, rules = { 0 };
    size_t *offset = reallocarray(NULL, to - from + 1, sizeof *offset);
    if (!offset) return koe_fail(err, KOE_E_NOMEM, "segment");
    join_sound(&sound, offset, b, from, to);
    bool voiced = false;
    for (size_t i = from; i < to; i++) voiced |= b->piece[i].voiced && b->piece[i].n_phonemes;
    size_t covered = a->covered;
    koe_status st = take_words(l, &words, &rules, from, to, offset, &covered, err);
    free(offset);
    koe_break brk = b->piece[to - 1].brk;
    if (st != KOE_OK) goto done;
    if (!voiced) { /* nothing to say: its words wait for the next segment */
        for (size_t i = 0; i < words.n / sizeof(koe_word); i++) ((koe_word *)(void *)words.data)[i].phoneme_n = 0;
        koe_buf_add(&a->silent, words.data, words.n);
        goto done;
    }
    koe_arena *arena = &a->arena;
    size_t n_silent = a->silent.n / sizeof(koe_word), n_own = words.n / sizeof(koe_word);
    koe_word *word = koe_arena_array(arena, n_silent + n_own, sizeof *word);
    const char **rule = koe_arena_array(arena, n_silent + n_own, sizeof *rule); /* zeroed */
    size_t text_end = to < b->n ? b->piece[to].at : b->normal.text.n;
    koe_segment s = { .word = word, .word_rule = rule, .n_word = n_silent + n_own, .text_at = a->covered, .lang = koe_str_of(b->lang->tag) };
    s.text_n = (to == b->n ? b->text_at + b->text_n : covered) - a->covered;
    s.pause_s = pause_s[brk] * (b->opt->pause_scale > 0 ? b->opt->pause_scale : 1);
    s.text = koe_arena_str(arena, koe_str_trim(koe_str_sub(normal_text(b), b->piece[from].at, text_end - b->piece[from].at)));
    s.phonemes = koe_arena_str(arena, koe_buf_str(&sound));
    if (((!word || !rule) && s.n_word) || !s.text.p || !s.phonemes.p || sound.failed) {
        st = koe_fail(err, KOE_E_NOMEM, "segment");
        goto done;
    }
    for (size_t i = 0; i < n_silent; i++) {
        memcpy(&word[i], a->silent.data + i * sizeof *word, sizeof *word);
        word[i].phoneme_at = word[i].phoneme_n = 0;
    }
    if (n_own) memcpy(word + n_silent, words.data, words.n), memcpy(rule + n_silent, rules.data, rules.n);
    a->silent.n = 0;
    a->covered = s.text_at + s.text_n;
    koe_buf_add(&a->segments, &s, sizeof s);
    a->n_emitted++;
done:
    koe_buf_free(&sound);
    koe_buf_free(&words);
    koe_buf_free(&rules);
    return st;
}

static koe_status emit_cut(koe_assembly *a, layout *l, size_t from, size_t to, koe_error *err)
{
    koe_status st = KOE_OK;
    while (from < to && st == KOE_OK) {
        bool early = a->n_emitted == 0 && l->first_max < l->max;
        size_t limit = early ? l->first_max : l->max;
        size_t end = count_phonemes(l->b, from, to) <= limit ? to : choose_cut(l->b, from, to, limit, l->max, early);
        st = emit(a, l, from, end, err);
        from = end;
    }
    return st;
}

static size_t sentence_end(const koe_block *b, size_t from)
{
    while (from < b->n && b->piece[from].brk < KOE_BREAK_SENTENCE) from++;
    return from < b->n ? from + 1 : b->n;
}

static koe_status emit_all(koe_assembly *a, layout *l, koe_error *err)
{
    koe_block *b = l->b;
    koe_status st = KOE_OK;
    for (size_t from = 0; from < b->n && st == KOE_OK;) {
        size_t to = sentence_end(b, from), n = count_phonemes(b, from, to);
        while (to < b->n) { /* join what is short */
            size_t next = sentence_end(b, to), n_next = count_phonemes(b, to, next);
            if (n + 1 + n_next > l->max || (n >= MIN_PHONEMES && !(next == b->n && n_next < MIN_PHONEMES))) break;
            to = next;
            n += 1 + n_next;
        }
        st = emit_cut(a, l, from, to, err);
        from = to;
    }
    return st;
}

koe_status koe_assemble(koe_assembly *a, koe_block *b, koe_error *err)
{
    layout l = { .b = b };
    l.max = b->opt->max_phonemes ? b->opt->max_phonemes : MAX_PHONEMES;
    if (l.max < MIN_PHONEMES) l.max = MIN_PHONEMES;
    l.first_max = b->opt->first_max_phonemes && b->opt->first_max_phonemes < l.max ? b->opt->first_max_phonemes : l.max;
    if (l.first_max < MIN_PHONEMES) l.first_max = MIN_PHONEMES;
    koe_status st = cut_long_pieces(b, l.max, err);
    if (st != KOE_OK) return st;
    set_breaks(b);
    if (!lay_words(&l)) st = koe_fail(err, KOE_E_NOMEM, "words");
    if (st == KOE_OK) st = emit_all(a, &l, err);
    for (; st == KOE_OK && l.next_word < l.n_word; l.next_word++) { /* a block without any piece */
        koe_word k = { .text_at = l.word[l.next_word].at, .text_n = l.word[l.next_word].n };
        koe_buf_add(&a->silent, &k, sizeof k);
    }
    if (a->silent.failed || a->segments.failed) st = koe_fail(err, KOE_E_NOMEM, "segments");
    free(l.word);
    return st;
}

koe_segment *koe_assemble_waiting(koe_assembly *a, size_t *n)
{
    *n = a->segments.n / sizeof(koe_segment);
    return (koe_segment *)(void *)a->segments.data;
}

/* Words with their rules, moved to an array with n_more at its end. */
static bool extend_words(koe_arena *arena, koe_segment *s, const koe_word *more, size_t n_more)
{
    koe_word *word = koe_arena_array(arena, s->n_word + n_more, sizeof *word);
    const char **rule = koe_arena_array(arena, s->n_word + n_more, sizeof *rule);
    if ((!word || !rule) && s->n_word + n_more) return false;
    if (s->n_word) memcpy(word, s->word, s->n_word * sizeof *word), memcpy(rule, s->word_rule, s->n_word * sizeof *rule);
    if (n_more) memcpy(word + s->n_word, more, n_more * sizeof *word);
    s->word = word;
    s->word_rule = rule;
    s->n_word += n_more;
    return true;
}

koe_status koe_assemble_end(koe_assembly *a, koe_str input, koe_error *err)
{
    size_t n, n_silent = a->silent.n / sizeof(koe_word);
    koe_segment *s = koe_assemble_waiting(a, &n);
    if (!n) return KOE_OK;
    koe_segment *last = &s[n - 1];
    last->text_n = input.n - last->text_at;
    if (!last->pause_exact) last->pause_s = 0;
    if (!n_silent) return KOE_OK;
    koe_word *silent = (koe_word *)(void *)a->silent.data;
    const size_t end = koe_utf8_count(last->phonemes);
    for (size_t i = 0; i < n_silent; i++) silent[i].phoneme_at = end;
    if (!extend_words(&a->arena, last, silent, n_silent)) return koe_fail(err, KOE_E_NOMEM, "segments");
    a->silent.n = 0;
    return KOE_OK;
}

/* The segment with memory of its own. */
static bool copy_segment(koe_arena *arena, koe_segment *s)
{
    s->phonemes = koe_arena_str(arena, s->phonemes);
    s->text = koe_arena_str(arena, s->text);
    if (s->voice.n) s->voice = koe_arena_str(arena, s->voice);
    return s->phonemes.p && s->text.p && (!s->voice.n || s->voice.p) && extend_words(arena, s, NULL, 0);
}

koe_status koe_assemble_take(koe_assembly *a, size_t n, koe_segments *out, koe_error *err)
{
    size_t n_all;
    koe_segment *s = koe_assemble_waiting(a, &n_all);
    koe_arena kept = { 0 };
    koe_segment *taken = koe_arena_array(&a->arena, n ? n : 1, sizeof *taken);
    bool ok = taken != NULL;
    if (ok && n) memcpy(taken, s, n * sizeof *s);
    for (size_t i = n; i < n_all && ok; i++) ok = copy_segment(&kept, &s[i]);
    if (!ok) {
        koe_arena_free(&kept);
        return koe_fail(err, KOE_E_NOMEM, "segments");
    }
    *out = (koe_segments){ taken, n, a->arena };
    a->arena = kept;
    if (n_all > n) memmove(s, s + n, (n_all - n) * sizeof *s);
    a->segments.n = (n_all - n) * sizeof *s;
    return KOE_OK;
}

void koe_assembly_free(koe_assembly *a)
{
    koe_buf_free(&a->segments);
    koe_buf_free(&a->silent);
    koe_arena_free(&a->arena);
}
