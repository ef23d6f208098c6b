/* kokoro_tables.c - what is published of Kokoro-82M v1.0: its vocabulary and its voices. */
#include "voice/kokoro_tables.h"

#include <string.h>

/* The "vocab" of the model's config.json: 114 of its 178 ids have a symbol; 0 is pad, begin and end. */
const char koe_kokoro_vocab[] =
    "{"
    "\";\":1,\":\":2,\",\":3,\".\":4,\"!\":5,\"?\":6,\"—\":9,\"…\":10,\"\\\"\":11,\"(\":12,\")\":13,\"“\":14,\"”\":15,"
    "\" \":16,\"\\u0303\":17,\"ʣ\":18,\"ʥ\":19,\"ʦ\":20,\"ʨ\":21,\"ᵝ\":22,\"ꭧ\":23,\"A\":24,\"I\":25,\"O\":31,\"Q\":33,"
    "\"S\":35,\"T\":36,\"W\":39,\"Y\":41,\"ᵊ\":42,\"a\":43,\"b\":44,\"c\":45,\"d\":46,\"e\":47,\"f\":48,\"h\":50,\"i\":51,"
    "\"j\":52,\"k\":53,\"l\":54,\"m\":55,\"n\":56,\"o\":57,\"p\":58,\"q\":59,\"r\":60,\"s\":61,\"t\":62,\"u\":63,\"v\":64,"
    "\"w\":65,\"x\":66,\"y\":67,\"z\":68,\"ɑ\":69,\"ɐ\":70,\"ɒ\":71,\"æ\":72,\"β\":75,\"ɔ\":76,\"ɕ\":77,\"ç\":78,\"ɖ\":80,"
    "\"ð\":81,\"ʤ\":82,\"ə\":83,\"ɚ\":85,\"ɛ\":86,\"ɜ\":87,\"ɟ\":90,\"ɡ\":92,\"ɥ\":99,\"ɨ\":101,\"ɪ\":102,\"ʝ\":103,"
    "\"ɯ\":110,\"ɰ\":111,\"ŋ\":112,\"ɳ\":113,\"ɲ\":114,\"ɴ\":115,\"ø\":116,\"ɸ\":118,\"θ\":119,\"œ\":120,\"ɹ\":123,"
    "\"ɾ\":125,\"ɻ\":126,\"ʁ\":128,\"ɽ\":129,\"ʂ\":130,\"ʃ\":131,\"ʈ\":132,\"ʧ\":133,\"ʊ\":135,\"ʋ\":136,\"ʌ\":138,"
    "\"ɣ\":139,\"ɤ\":140,\"χ\":142,\"ʎ\":143,\"ʒ\":147,\"ʔ\":148,\"ˈ\":156,\"ˌ\":157,\"ː\":158,\"ʰ\":162,\"ʲ\":164,"
    "\"↓\":169,\"→\":171,\"↗\":172,\"↘\":173,\"ᵻ\":177"
    "}";

/* The grades are hexgrad's own, for the quality of the training data. */
const koe_kokoro_voice koe_kokoro_voices[] = {
    { "af_alloy", "C" }, { "af_aoede", "C+" }, { "af_bella", "A-" }, { "af_heart", "A" }, { "af_jessica", "D" },
    { "af_kore", "C+" }, { "af_nicole", "B-" }, { "af_nova", "C" }, { "af_river", "D" }, { "af_sarah", "C+" },
    { "af_sky", "C-" }, { "am_adam", "F+" }, { "am_echo", "D" }, { "am_eric", "D" }, { "am_fenrir", "C+" }, { "am_liam", "D" },
    { "am_michael", "C+" }, { "am_onyx", "D" }, { "am_puck", "C+" }, { "am_santa", "D-" }, { "bf_alice", "D" },
    { "bf_emma", "B-" }, { "bf_isabella", "C" }, { "bf_lily", "D" }, { "bm_daniel", "D" }, { "bm_fable", "C" },
    { "bm_george", "C" }, { "bm_lewis", "D+" }, { "ef_dora", "" }, { "em_alex", "" }, { "em_santa", "" }, { "ff_siwis", "" },
    { "hf_alpha", "" }, { "hf_beta", "" }, { "hm_omega", "" }, { "hm_psi", "" }, { "if_sara", "" }, { "im_nicola", "" },
    { "jf_alpha", "" }, { "jf_gongitsune", "" }, { "jf_nezumi", "" }, { "jf_tebukuro", "" }, { "jm_kumo", "" },
    { "pf_dora", "" }, { "pm_alex", "" }, { "pm_santa", "" }, { "zf_xiaobei", "" }, { "zf_xiaoni", "" }, { "zf_xiaoxiao", "" },
    { "zf_xiaoyi", "" }, { "zm_yunjian", "" }, { "zm_yunxi", "" }, { "zm_yunxia", "" }, { "zm_yunyang", "" },
};
const size_t koe_kokoro_n_voices = sizeof koe_kokoro_voices / sizeof *koe_kokoro_voices;

/* A name is a letter for the language, one for the gender, '_' and more (v0.19 also has "af" alone). */
const char *koe_kokoro_lang(const char *name)
{
    static const char *const langs[] = {
        ['a'] = "en-us", ['b'] = "en-gb", ['e'] = "es", ['f'] = "fr", ['h'] = "hi", ['i'] = "it", ['j'] = "ja", ['p'] = "pt-br", ['z'] = "zh",
    };
    unsigned char c = (unsigned char)name[0];
    return *koe_kokoro_gender(name) && c < sizeof langs / sizeof *langs && langs[c] ? langs[c] : "en-us";
}

const char *koe_kokoro_gender(const char *name)
{
    size_t n = strlen(name);
    if (n < 2 || (n > 2 && name[2] != '_')) return "";
    return name[1] == 'f' ? "female" : name[1] == 'm' ? "male" : "";
}
