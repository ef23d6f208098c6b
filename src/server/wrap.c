/* wrap.c - see wrap.h. */
#include "server/wrap.h"

#include <math.h>
#include <stdlib.h>

#include "audio/encode.h"
#include "server/json.h"

void koe_base64(koe_buf *out, koe_str bytes)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (!koe_buf_reserve(out, (bytes.n + 2) / 3 * 4 + 1)) return;
    const unsigned char *p = (const unsigned char *)bytes.p;
    for (size_t i = 0; i < bytes.n; i += 3) {
        const unsigned left = bytes.n - i < 3 ? (unsigned)(bytes.n - i) : 3;
        const unsigned group = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0u);
        const char four[4] = { digit[group >> 18], digit[group >> 12 & 63], left > 1 ? digit[group >> 6 & 63] : '=',
                               left > 2 ? digit[group & 63] : '=' };
        koe_buf_add(out, four, 4);
    }
}

void koe_wrap_init(koe_wrap *w, const koe_utterance *u)
{
    *w = (koe_wrap){ .u = u, .warning = "" };
    if (u->shape == KOE_SHAPE_JSON) w->words = json_array(), w->marks = json_array();
    w->failed = u->shape == KOE_SHAPE_JSON && (!w->words || !w->marks);
}

void koe_wrap_deinit(koe_wrap *w)
{
    koe_buf_free(&w->sound);
    free(w->scaled);
    json_decref(w->words);
    json_decref(w->marks);
}

const float *koe_wrap_samples(koe_wrap *w, const koe_audio *audio)
{
    const float volume = (float)w->u->volume;
    if (volume == 1) return audio->samples;
    float *scaled = realloc(w->scaled, (audio->n_samples + 1) * sizeof *scaled);
    if (!scaled) return NULL;
    w->scaled = scaled;
    for (size_t i = 0; i < audio->n_samples; i++) scaled[i] = audio->samples[i] * volume;
    return scaled;
}

const char *koe_wrap_type(const koe_wrap *w)
{
    switch (w->u->shape) {
    case KOE_SHAPE_SSE: return "text/event-stream";
    case KOE_SHAPE_LINES: return "application/x-ndjson";
    case KOE_SHAPE_JSON: return "application/json";
    default: return koe_encode_content_type(koe_str_of(w->u->format));
    }
}

const char *koe_wrap_filler(const koe_wrap *w)
{
    switch (w->u->shape) {
    case KOE_SHAPE_SSE: return ":\n\n"; /* a comment */
    case KOE_SHAPE_LINES: return " ";
    default: return NULL;
    }
}

/* Words come in order, so that counting goes on from the last one. */
static size_t chars_before(koe_wrap *w, size_t at)
{
    if (at < w->at_bytes) w->at_bytes = w->at_chars = 0;
    for (; w->at_bytes < at && w->at_bytes < w->u->input.n; w->at_bytes++)
        w->at_chars += ((unsigned char)w->u->input.p[w->at_bytes] & 0xC0) != 0x80;
    return w->at_chars;
}

static double rounded(double seconds) { return round(seconds * 10000) / 10000; }

json_t *koe_wrap_words(koe_wrap *w, const koe_audio *audio, double after_s, size_t after_chars)
{
    json_t *list = json_array();
    for (size_t i = 0; i < audio->n_words; i++) {
        const koe_timed_word *t = &audio->words[i];
        const koe_str word = koe_str_sub(w->u->input, t->text_at, t->text_n);
        json_t *j = json_pack("{s:o, s:f, s:f, s:I}", "word", json_stringn(word.p ? word.p : "", word.n), "start_time", rounded(after_s + t->start_s),
                              "end_time", rounded(after_s + t->end_s), "offset", (json_int_t)(after_chars + chars_before(w, t->text_at)));
        if (!j || json_array_append_new(list, j) != 0) w->failed = true;
    }
    if (!list) w->failed = true;
    return list;
}

json_t *koe_wrap_marks(koe_wrap *w, const koe_audio *audio, double after_s, size_t after_chars)
{
    json_t *list = json_array();
    for (size_t i = 0; i < audio->n_marks; i++) {
        const koe_timed_mark *m = &audio->marks[i];
        json_t *j = json_pack("{s:s, s:s, s:f, s:I}", "type", "speech.audio.mark", "name", m->name, "time", rounded(after_s + m->time_s), "offset",
                              (json_int_t)(after_chars + chars_before(w, m->text_at)));
        if (!j || json_array_append_new(list, j) != 0) w->failed = true;
    }
    if (!list) w->failed = true;
    return list;
}

static void add_json(koe_wrap *w, koe_buf *out, json_t *j)
{
    koe_json_add(out, j);
    w->failed |= out->failed;
}

static void add_event(koe_wrap *w, koe_buf *out, json_t *j)
{
    koe_buf_adds(out, "data: ");
    add_json(w, out, j);
    koe_buf_adds(out, "\n\n");
}

/* "warning": ..., and no longer. */
static void add_warning(koe_wrap *w, json_t *j)
{
    if (*w->warning && (!j || json_object_set_new(j, "warning", json_string(w->warning)) != 0)) w->failed = true;
}

/* Takes words and marks. */
static void add_captioned(koe_wrap *w, koe_buf *out, koe_str sound, json_t *words, json_t *marks, bool last)
{
    json_t *rest = json_pack("{s:s, s:o}", "audio_format", koe_encode_content_type(koe_str_of(w->u->format)), "timestamps", words);
    if (json_array_size(marks) && (!rest || json_object_set(rest, "marks", marks) != 0)) w->failed = true;
    json_decref(marks);
    if (last) add_warning(w, rest);
    koe_buf_adds(out, "{\"audio\":\"");
    koe_base64(out, sound);
    koe_buf_addc(out, '"');
    const size_t at = out->n;
    add_json(w, out, rest);
    if (!out->failed && out->n > at) out->data[at] = ','; /* two objects become one */
    koe_buf_addc(out, '\n');
}

static void add_marks(koe_wrap *w, koe_buf *out, json_t *marks)
{
    for (size_t i = 0; i < json_array_size(marks); i++) add_event(w, out, json_incref(json_array_get(marks, i)));
    json_decref(marks);
}

void koe_wrap_add(koe_wrap *w, koe_buf *out, koe_str sound, const koe_audio *audio)
{
    switch (w->u->shape) {
    case KOE_SHAPE_SSE:
        if (sound.n) {
            koe_buf_adds(out, "data: {\"type\":\"speech.audio.delta\",\"audio\":\"");
            koe_base64(out, sound);
            koe_buf_adds(out, "\"}\n\n");
        }
        if (w->u->timestamps) add_event(w, out, json_pack("{s:s, s:o}", "type", "speech.audio.timestamps", "timestamps", koe_wrap_words(w, audio, 0, 0)));
        if (audio->n_marks) add_marks(w, out, koe_wrap_marks(w, audio, 0, 0));
        break;
    case KOE_SHAPE_LINES: add_captioned(w, out, sound, koe_wrap_words(w, audio, 0, 0), koe_wrap_marks(w, audio, 0, 0), audio->segment + 1 == audio->n_segments); break;
    case KOE_SHAPE_JSON: {
        json_t *words = koe_wrap_words(w, audio, 0, 0);
        koe_buf_add_str(&w->sound, sound);
        if (!words || json_array_extend(w->words, words) != 0) w->failed = true;
        json_decref(words);
        json_t *marks = koe_wrap_marks(w, audio, 0, 0);
        if (!marks || json_array_extend(w->marks, marks) != 0) w->failed = true;
        json_decref(marks);
        break;
    }
    default: koe_buf_add_str(out, sound); break;
    }
}

void koe_wrap_end(koe_wrap *w, koe_buf *out, double audio_s)
{
    const json_int_t input = (json_int_t)w->u->n_chars, output = (json_int_t)ceil(audio_s * 50);
    if (w->u->shape == KOE_SHAPE_SSE) {
        json_t *j = json_pack("{s:s, s:{s:I, s:I, s:I}}", "type", "speech.audio.done", "usage", "input_tokens", input, "output_tokens", output,
                              "total_tokens", input + output);
        add_warning(w, j);
        add_event(w, out, j);
    }
    if (w->u->shape == KOE_SHAPE_JSON) {
        add_captioned(w, out, koe_buf_str(&w->sound), w->words, w->marks, true);
        w->words = w->marks = NULL;
    }
    if (w->sound.failed) w->failed = true;
}

void koe_wrap_problem(koe_wrap *w, koe_buf *out, const koe_problem *p)
{
    json_t *j = koe_problem_json(p);
    if (w->u->shape == KOE_SHAPE_SSE) {
        if (j) json_object_set_new(j, "type", json_string("error"));
        add_event(w, out, j);
    } else if (w->u->shape == KOE_SHAPE_LINES) {
        add_json(w, out, j);
        koe_buf_addc(out, '\n');
    } else {
        json_decref(j);
    }
}
