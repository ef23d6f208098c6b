#include "text/lang.h"

#include <ctype.h>

#include "text/text.h"

static const koe_lang table[] = {
    /* tag, Kokoro's letter, way, espeak-ng's voice, ICU's locale, other spellings */
    { "en-us", 'a', KOE_LANG_ENGLISH, "en-us", "en_US", "|english|american|en|us|en-us|" },
    { "en-gb", 'b', KOE_LANG_ENGLISH, "en-gb", "en_GB", "|british|gb|en-uk|en-au|en-nz|en-ie|en-in|en-za|" },
    { "es", 'e', KOE_LANG_ESPEAK, "es", "es", "|spanish|español|castilian|es-es|sp|" },
    { "fr", 'f', KOE_LANG_ESPEAK, "fr-fr", "fr", "|french|français|fr-fr|" },
    { "hi", 'h', KOE_LANG_ESPEAK, "hi", "hi", "|hindi|" },
    { "it", 'i', KOE_LANG_ESPEAK, "it", "it", "|italian|italiano|" },
    { "ja", 'j', KOE_LANG_JAPANESE, "ja", "ja", "|japanese|jp|" },
    { "pt-br", 'p', KOE_LANG_ESPEAK, "pt-br", "pt_BR", "|portuguese|brazilian|brazilian portuguese|pt|br|" },
    { "zh", 'z', KOE_LANG_CHINESE, "cmn", "zh", "|chinese|mandarin|cmn|zh-cn|zh-tw|zh-hans|zh-hant|zh-cmn|cn|" },
    { "af", 0, KOE_LANG_ESPEAK, "af", "af", "|afrikaans|" },
    { "sq", 0, KOE_LANG_ESPEAK, "sq", "sq", "|albanian|" },
    { "am", 0, KOE_LANG_ESPEAK, "am", "am", "|amharic|" },
    { "ar", 0, KOE_LANG_ESPEAK, "ar", "ar", "|arabic|" },
    { "an", 0, KOE_LANG_ESPEAK, "an", "an", "|aragonese|" },
    { "hy", 0, KOE_LANG_ESPEAK, "hy", "hy", "|armenian|" },
    { "hyw", 0, KOE_LANG_ESPEAK, "hyw", "hyw", "|western armenian|" },
    { "as", 0, KOE_LANG_ESPEAK, "as", "as", "|assamese|" },
    { "az", 0, KOE_LANG_ESPEAK, "az", "az", "|azerbaijani|" },
    { "ba", 0, KOE_LANG_ESPEAK, "ba", "ba", "|bashkir|" },
    { "eu", 0, KOE_LANG_ESPEAK, "eu", "eu", "|basque|" },
    { "be", 0, KOE_LANG_ESPEAK, "be", "be", "|belarusian|" },
    { "bn", 0, KOE_LANG_ESPEAK, "bn", "bn", "|bengali|bangla|" },
    { "bpy", 0, KOE_LANG_ESPEAK, "bpy", "bpy", "|bishnupriya manipuri|" },
    { "bs", 0, KOE_LANG_ESPEAK, "bs", "bs", "|bosnian|" },
    { "bg", 0, KOE_LANG_ESPEAK, "bg", "bg", "|bulgarian|" },
    { "ca", 0, KOE_LANG_ESPEAK, "ca", "ca", "|catalan|" },
    { "yue", 0, KOE_LANG_ESPEAK, "yue", "yue", "|cantonese|zh-yue|zh-hk|" },
    { "cv", 0, KOE_LANG_ESPEAK, "cv", "cv", "|chuvash|" },
    { "hr", 0, KOE_LANG_ESPEAK, "hr", "hr", "|croatian|" },
    { "cs", 0, KOE_LANG_ESPEAK, "cs", "cs", "|czech|" },
    { "da", 0, KOE_LANG_ESPEAK, "da", "da", "|danish|" },
    { "nl", 0, KOE_LANG_ESPEAK, "nl", "nl", "|dutch|" },
    { "en-029", 0, KOE_LANG_ESPEAK, "en-029", "en", "|caribbean english|" },
    { "en-gb-scotland", 0, KOE_LANG_ESPEAK, "en-gb-scotland", "en_GB", "|scottish english|en-sct|" },
    { "en-gb-x-gbclan", 0, KOE_LANG_ESPEAK, "en-gb-x-gbclan", "en_GB", "|lancaster english|" },
    { "en-gb-x-gbcwmd", 0, KOE_LANG_ESPEAK, "en-gb-x-gbcwmd", "en_GB", "|west midlands english|" },
    { "en-gb-x-rp", 0, KOE_LANG_ESPEAK, "en-gb-x-rp", "en_GB", "|received pronunciation|" },
    { "en-us-nyc", 0, KOE_LANG_ESPEAK, "en-us-nyc", "en_US", "|new york english|" },
    { "eo", 0, KOE_LANG_ESPEAK, "eo", "eo", "|esperanto|" },
    { "et", 0, KOE_LANG_ESPEAK, "et", "et", "|estonian|" },
    { "fi", 0, KOE_LANG_ESPEAK, "fi", "fi", "|finnish|" },
    { "fr-be", 0, KOE_LANG_ESPEAK, "fr-be", "fr_BE", "|belgian french|" },
    { "fr-ch", 0, KOE_LANG_ESPEAK, "fr-ch", "fr_CH", "|swiss french|" },
    { "ga", 0, KOE_LANG_ESPEAK, "ga", "ga", "|irish|" },
    { "gd", 0, KOE_LANG_ESPEAK, "gd", "gd", "|scottish gaelic|" },
    { "ka", 0, KOE_LANG_ESPEAK, "ka", "ka", "|georgian|" },
    { "de", 0, KOE_LANG_ESPEAK, "de", "de", "|german|deutsch|de-de|" },
    { "grc", 0, KOE_LANG_ESPEAK, "grc", "grc", "|ancient greek|" },
    { "el", 0, KOE_LANG_ESPEAK, "el", "el", "|greek|" },
    { "kl", 0, KOE_LANG_ESPEAK, "kl", "kl", "|greenlandic|" },
    { "gn", 0, KOE_LANG_ESPEAK, "gn", "gn", "|guarani|" },
    { "gu", 0, KOE_LANG_ESPEAK, "gu", "gu", "|gujarati|" },
    { "ht", 0, KOE_LANG_ESPEAK, "ht", "ht", "|haitian creole|" },
    { "hak", 0, KOE_LANG_ESPEAK, "hak", "hak", "|hakka|" },
    { "haw", 0, KOE_LANG_ESPEAK, "haw", "haw", "|hawaiian|" },
    { "he", 0, KOE_LANG_ESPEAK, "he", "he", "|hebrew|" },
    { "hu", 0, KOE_LANG_ESPEAK, "hu", "hu", "|hungarian|" },
    { "is", 0, KOE_LANG_ESPEAK, "is", "is", "|icelandic|" },
    { "io", 0, KOE_LANG_ESPEAK, "io", "io", "|ido|" },
    { "id", 0, KOE_LANG_ESPEAK, "id", "id", "|indonesian|" },
    { "ia", 0, KOE_LANG_ESPEAK, "ia", "ia", "|interlingua|" },
    { "quc", 0, KOE_LANG_ESPEAK, "quc", "quc", "|k'iche'|" },
    { "kn", 0, KOE_LANG_ESPEAK, "kn", "kn", "|kannada|" },
    { "kk", 0, KOE_LANG_ESPEAK, "kk", "kk", "|kazakh|" },
    { "kok", 0, KOE_LANG_ESPEAK, "kok", "kok", "|konkani|" },
    { "ko", 0, KOE_LANG_ESPEAK, "ko", "ko", "|korean|" },
    { "ku", 0, KOE_LANG_ESPEAK, "ku", "ku", "|kurdish|" },
    { "ky", 0, KOE_LANG_ESPEAK, "ky", "ky", "|kyrgyz|" },
    { "la", 0, KOE_LANG_ESPEAK, "la", "la", "|latin|" },
    { "ltg", 0, KOE_LANG_ESPEAK, "ltg", "ltg", "|latgalian|" },
    { "lv", 0, KOE_LANG_ESPEAK, "lv", "lv", "|latvian|" },
    { "lfn", 0, KOE_LANG_ESPEAK, "lfn", "lfn", "|lingua franca nova|" },
    { "lt", 0, KOE_LANG_ESPEAK, "lt", "lt", "|lithuanian|" },
    { "jbo", 0, KOE_LANG_ESPEAK, "jbo", "jbo", "|lojban|" },
    { "smj", 0, KOE_LANG_ESPEAK, "smj", "smj", "|lule saami|" },
    { "lb", 0, KOE_LANG_ESPEAK, "lb", "lb", "|luxembourgish|" },
    { "mk", 0, KOE_LANG_ESPEAK, "mk", "mk", "|macedonian|" },
    { "ms", 0, KOE_LANG_ESPEAK, "ms", "ms", "|malay|" },
    { "ml", 0, KOE_LANG_ESPEAK, "ml", "ml", "|malayalam|" },
    { "mt", 0, KOE_LANG_ESPEAK, "mt", "mt", "|maltese|" },
    { "mr", 0, KOE_LANG_ESPEAK, "mr", "mr", "|marathi|" },
    { "my", 0, KOE_LANG_ESPEAK, "my", "my", "|burmese|myanmar|" },
    { "mi", 0, KOE_LANG_ESPEAK, "mi", "mi", "|maori|" },
    { "nci", 0, KOE_LANG_ESPEAK, "nci", "nci", "|nahuatl|" },
    { "ne", 0, KOE_LANG_ESPEAK, "ne", "ne", "|nepali|" },
    { "nog", 0, KOE_LANG_ESPEAK, "nog", "nog", "|nogai|" },
    { "nb", 0, KOE_LANG_ESPEAK, "nb", "nb", "|norwegian|no|bokmal|norwegian bokmal|" },
    { "or", 0, KOE_LANG_ESPEAK, "or", "or", "|oriya|odia|" },
    { "om", 0, KOE_LANG_ESPEAK, "om", "om", "|oromo|" },
    { "pap", 0, KOE_LANG_ESPEAK, "pap", "pap", "|papiamento|" },
    { "fa", 0, KOE_LANG_ESPEAK, "fa", "fa", "|persian|farsi|" },
    { "pl", 0, KOE_LANG_ESPEAK, "pl", "pl", "|polish|" },
    { "pt-pt", 0, KOE_LANG_ESPEAK, "pt", "pt_PT", "|european portuguese|" },
    { "pa", 0, KOE_LANG_ESPEAK, "pa", "pa", "|punjabi|" },
    { "qu", 0, KOE_LANG_ESPEAK, "qu", "qu", "|quechua|" },
    { "qya", 0, KOE_LANG_ESPEAK, "qya", "qya", "|quenya|" },
    { "ro", 0, KOE_LANG_ESPEAK, "ro", "ro", "|romanian|" },
    { "ru", 0, KOE_LANG_ESPEAK, "ru", "ru", "|russian|" },
    { "ru-lv", 0, KOE_LANG_ESPEAK, "ru-lv", "ru_LV", "|latvian russian|" },
    { "sr", 0, KOE_LANG_ESPEAK, "sr", "sr", "|serbian|" },
    { "tn", 0, KOE_LANG_ESPEAK, "tn", "tn", "|setswana|tswana|" },
    { "shn", 0, KOE_LANG_ESPEAK, "shn", "shn", "|shan|" },
    { "sjn", 0, KOE_LANG_ESPEAK, "sjn", "sjn", "|sindarin|" },
    { "sd", 0, KOE_LANG_ESPEAK, "sd", "sd", "|sindhi|" },
    { "si", 0, KOE_LANG_ESPEAK, "si", "si", "|sinhala|" },
    { "sk", 0, KOE_LANG_ESPEAK, "sk", "sk", "|slovak|" },
    { "sl", 0, KOE_LANG_ESPEAK, "sl", "sl", "|slovenian|" },
    { "es-419", 0, KOE_LANG_ESPEAK, "es-419", "es_419", "|latin american spanish|es-mx|es-ar|es-co|es-cl|es-pe|es-us|" },
    { "sw", 0, KOE_LANG_ESPEAK, "sw", "sw", "|swahili|" },
    { "sv", 0, KOE_LANG_ESPEAK, "sv", "sv", "|swedish|" },
    { "ta", 0, KOE_LANG_ESPEAK, "ta", "ta", "|tamil|" },
    { "tt", 0, KOE_LANG_ESPEAK, "tt", "tt", "|tatar|" },
    { "te", 0, KOE_LANG_ESPEAK, "te", "te", "|telugu|" },
    { "th", 0, KOE_LANG_ESPEAK, "th", "th", "|thai|" },
    { "tr", 0, KOE_LANG_ESPEAK, "tr", "tr", "|turkish|" },
    { "tk", 0, KOE_LANG_ESPEAK, "tk", "tk", "|turkmen|" },
    { "uk", 0, KOE_LANG_ESPEAK, "uk", "uk", "|ukrainian|" },
    { "ur", 0, KOE_LANG_ESPEAK, "ur", "ur", "|urdu|" },
    { "ug", 0, KOE_LANG_ESPEAK, "ug", "ug", "|uyghur|" },
    { "uz", 0, KOE_LANG_ESPEAK, "uz", "uz", "|uzbek|" },
    { "vi", 0, KOE_LANG_ESPEAK, "vi", "vi", "|vietnamese|" },
    { "vi-vn-x-central", 0, KOE_LANG_ESPEAK, "vi-vn-x-central", "vi_VN", "|central vietnamese|" },
    { "vi-vn-x-south", 0, KOE_LANG_ESPEAK, "vi-vn-x-south", "vi_VN", "|southern vietnamese|" },
    { "cy", 0, KOE_LANG_ESPEAK, "cy", "cy", "|welsh|" },
};

const koe_lang *koe_lang_table(size_t *n)
{
    *n = sizeof table / sizeof *table;
    return table;
}

static const koe_lang *find_exact(const char *name)
{
    char wanted[72];
    size_t n = strlen(name);
    wanted[0] = '|';
    memcpy(wanted + 1, name, n);
    memcpy(wanted + 1 + n, "|", 2);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].tag, name) == 0 || (n == 1 && table[i].letter == name[0]) || strstr(table[i].names, wanted)) return &table[i];
    return NULL;
}

const koe_lang *koe_lang_find(koe_str lang)
{
    char name[64];
    lang = koe_str_trim(lang);
    if (!lang.n || lang.n >= sizeof name || memchr(lang.p, '|', lang.n) || memchr(lang.p, 0, lang.n)) return NULL;
    for (size_t i = 0; i < lang.n; i++) name[i] = lang.p[i] == '_' ? '-' : (char)tolower((unsigned char)lang.p[i]);
    name[lang.n] = 0;
    for (;;) {
        const koe_lang *l = find_exact(name);
        if (l) return l;
        char *dash = strrchr(name, '-');
        if (!dash) return NULL;
        *dash = 0;
        if (strlen(name) < 2) return NULL;
    }
}

koe_str koe_lang_canonical(koe_str lang)
{
    const koe_lang *l = koe_lang_find(lang);
    return l ? koe_str_of(l->tag) : (koe_str){ "", 0 };
}
