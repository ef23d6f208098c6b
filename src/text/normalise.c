/* normalise.c - written text to speakable text: first stage of the front end. */
#include "text/clean.h"

koe_status koe_normalise_block(koe_block *b, koe_error *err)
{
    const koe_clean_options opt = {
        .as_written = b->opt->no_normalize || b->opt->phonemes,
        .emoji_names = b->lang->way == KOE_LANG_ENGLISH,
        .plain_letters = !b->opt->phonemes && (b->lang->way == KOE_LANG_ENGLISH || b->lang->way == KOE_LANG_ESPEAK),
        .joiners = b->lang->way == KOE_LANG_ESPEAK,
    };
    koe_normal_clear(&b->normal);
    koe_clean(&b->normal, b->input, b->text_at, b->text_n, &opt);
    return b->normal.failed ? koe_fail(err, KOE_E_NOMEM, "normalising text") : KOE_OK;
}
