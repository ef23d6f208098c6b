/* kokoro_tables.h - what is published of Kokoro-82M: its vocabularies and its voices. */
#ifndef KOE_VOICE_KOKORO_TABLES_H
#define KOE_VOICE_KOKORO_TABLES_H
#include <stdbool.h>
#include <stddef.h>

/* JSON, as "vocab" of config.json. */
extern const char koe_kokoro_vocab[], koe_kokoro_vocab_v019[];

typedef struct koe_kokoro_voice {
    const char *name, *grade; /* "A-", or "" */
} koe_kokoro_voice;
extern const koe_kokoro_voice koe_kokoro_voices[];
extern const size_t koe_kokoro_n_voices;

/* From the letters of a voice's name; "en-us" and "" when it is not named in Kokoro's way. */
const char *koe_kokoro_lang(const char *name);
const char *koe_kokoro_gender(const char *name);
#endif
