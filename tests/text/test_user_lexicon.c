/* The writer's own words: every line of tests/data/text/lexicon_*.txt, then files that change, and lexicons that are meant to harm. */
#include "lines.h"

#include <time.h>
#include <unistd.h>

#include "text/user_lexicon.h"
#include "text/utf8.h"

static void read_text(koe_segments *s, koe_str lexicon, koe_str lang, koe_str text, koe_alphabet alphabet)
{
    koe_error err = { 0 };
    const koe_text_options opt = { .lang = lang, .alphabet = alphabet, .lexicon = lexicon };
    if (koe_text_segments(s, room, text, &opt, &err) != KOE_OK) fail_msg("%.*s: %s", KOE_STR_ARG(lexicon), err.message);
}

static bool check_sound(koe_str line, koe_buf *got, koe_str *want, const void *arg)
{
    (void)arg;
    const koe_str lexicon = take(&line), lang = take(&line), text = take(&line);
    koe_segments s;
    *want = line;
    read_text(&s, lexicon, lang, text, KOE_ALPHABET_MISAKI);
    for (size_t i = 0; i < s.n; i++)
        for (size_t k = 0; k < s.segment[i].n_word; k++) {
            const koe_segment *g = &s.segment[i];
            const koe_word *w = &g->word[k];
            if (!g->word_rule[k] || strcmp(g->word_rule[k], "lexicon") != 0) continue;
            const size_t from = koe_utf8_offset(g->phonemes, w->phoneme_at), to = koe_utf8_offset(g->phonemes, w->phoneme_at + w->phoneme_n);
            koe_str sound = koe_str_sub(g->phonemes, from, to - from);
            /* what else the written word is made of is espeak-ng's */
            if (koe_str_ends(koe_str_sub(text, w->text_at, w->text_n), KOE_STR("-based"))) sound = koe_str_sub(sound, 0, strlen("kˈOA"));
            if (koe_str_starts(koe_str_sub(text, w->text_at, w->text_n), KOE_STR("pre-"))) sound = koe_str_sub(sound, sound.n - strlen("kˈOA"), sound.n);
            koe_buf_printf(got, "%s%.*s=%.*s", got->n ? " " : "", KOE_STR_ARG(koe_str_sub(text, w->text_at, w->text_n)), KOE_STR_ARG(sound));
        }
    koe_segments_free(&s);
    return koe_str_eq(koe_buf_str(got), *want);
}

static bool check_alias(koe_str line, koe_buf *got, koe_str *want, const void *arg)
{
    (void)arg;
    const koe_str lexicon = take(&line), lang = take(&line), text = take(&line);
    koe_segments s;
    *want = line;
    read_text(&s, lexicon, lang, text, KOE_ALPHABET_NONE);
    for (size_t i = 0; i < s.n; i++) koe_buf_add_str(got, s.segment[i].text);
    koe_segments_free(&s);
    return koe_str_eq(koe_buf_str(got), *want);
}

static bool check_wrong(koe_str line, koe_buf *got, koe_str *want, const void *arg)
{
    (void)arg;
    const koe_str field = take(&line);
    koe_buf lexicon = { 0 };
    koe_user_lexicon *l = NULL;
    koe_error err = { 0 };
    for (size_t i = 0; i < field.n; i++)
        if (field.p[i] == '\\' && i + 1 < field.n && field.p[i + 1] == 'n') koe_buf_addc(&lexicon, '\n'), i++;
        else koe_buf_addc(&lexicon, field.p[i]);
    *want = line;
    koe_buf_adds(got, koe_user_lexicon_read(&l, koe_buf_str(&lexicon), "it", &err) == KOE_OK ? "(no error)" : err.message);
    koe_user_lexicon_unref(l);
    koe_buf_free(&lexicon);
    return koe_str_starts(koe_buf_str(got), KOE_STR("it, line ")) && memmem(got->data, got->n, want->p, want->n);
}

static void sounds(void **state) { (void)state, check_file("lexicon_sound.txt", check_sound, NULL); }
static void aliases(void **state) { (void)state, check_file("lexicon_alias.txt", check_alias, NULL); }
static void wrong(void **state) { (void)state, check_file("lexicon_wrong.txt", check_wrong, NULL); }

/* Gold and silver, as misaki has them: the form of its own dictionaries is one of ours. */
static void misaki_files(void **state)
{
    (void)state;
    const char *shared = getenv("KOE_SHARED");
    char *path = shared ? koe_path_join(shared, "lexicon/us_gold.json") : NULL;
    koe_buf text = { 0 };
    koe_user_lexicon *l = NULL;
    koe_error err = { 0 };
    if (!path || !koe_file_exists(path)) {
        free(path);
        skip();
    }
    assert_int_equal(koe_file_read(&text, path, 16 << 20, NULL), KOE_OK);
    if (koe_user_lexicon_read(&l, koe_buf_str(&text), "gold", &err) != KOE_OK) fail_msg("%s", err.message);
    assert_true(koe_user_lexicon_count(l) > 89000);
    koe_user_lexicon_unref(l);
    koe_buf_free(&text);
    free(path);
}

/* ---- files ---- */

static char folder[] = "/tmp/koe-lexicon-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(koe_file_write_atomic(path, text, strlen(text), NULL), KOE_OK);
}

static void drop(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    remove(path);
}

static void expect(koe_text *t, const char *named, const char *want)
{
    koe_segments s;
    koe_error err = { 0 };
    const koe_text_options opt = { .alphabet = KOE_ALPHABET_NONE, .lexicon = koe_str_of(named) };
    if (koe_text_segments(&s, t, KOE_STR("koe"), &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    assert_int_equal(s.n, 1);
    if (!koe_str_is(s.segment[0].text, want)) fail_msg("got %.*s, want %s", KOE_STR_ARG(s.segment[0].text), want);
    koe_segments_free(&s);
}

static void files_change(void **state)
{
    (void)state;
    koe_text *t = NULL;
    koe_error err = { 0 };
    char keys[3][65], path[4096];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(koe_text_open(&t, &(koe_text_setup){ .lexicon_dir = folder }, &err), KOE_OK);
    expect(t, "", "koe");
    koe_text_user_key(t, keys[0]);
    assert_string_equal(keys[0], "");
    put("user.json", "{\"koe\": {\"alias\": \"one\"}}");
    expect(t, "", "one");
    koe_text_user_key(t, keys[1]);
    put("user.json", "{\"koe\": {\"alias\": \"two\"}}");
    expect(t, "", "two");
    koe_text_user_key(t, keys[2]);
    assert_string_not_equal(keys[1], keys[2]);
    put("user.json", "{\"koe\": ");
    expect(t, "", "two"); /* what was right before goes on */
    put("user-a.pls", "<lexicon><lexeme><grapheme>koe</grapheme><alias>three</alias></lexeme></lexicon>");
    expect(t, "", "three"); /* user-a comes before user. */
    drop("user-a.pls");
    drop("user.json");
    expect(t, "", "koe");
    put("other.json", "{\"koe\": {\"alias\": \"four\"}}");
    expect(t, "", "koe");
    snprintf(path, sizeof path, "%s/named", folder);
    assert_int_equal(koe_file_make_dirs(path, NULL), KOE_OK);
    put("named/medical.json", "{\"koe\": {\"alias\": \"five\"}}");
    expect(t, "", "koe");
    expect(t, "medical", "five");
    expect(t, "medical.json", "five");
    koe_segments s;
    assert_int_equal(koe_text_segments(&s, t, KOE_STR("koe"), &(koe_text_options){ .lexicon = KOE_STR("legal") }, &err), KOE_E_ARGUMENT);
    assert_non_null(strstr(err.message, "legal"));
    const koe_text_options ssml = { .alphabet = KOE_ALPHABET_NONE, .markup = KOE_MARKUP_SSML };
    assert_int_equal(koe_text_segments(&s, t, KOE_STR("<speak><lexicon uri=\"medical.pls\"/>koe</speak>"), &ssml, &err), KOE_OK);
    assert_true(koe_str_is(s.segment[0].text, "five"));
    koe_segments_free(&s);
    koe_text_close(t);
    snprintf(path, sizeof path, "%s/other.json", folder);
    assert_int_equal(koe_text_open(&t, &(koe_text_setup){ .user_lexicon = path }, &err), KOE_OK);
    expect(t, "", "four");
    expect(t, "{\"koe\": {\"alias\": \"own\"}}", "own"); /* the request's comes first */
    koe_text_close(t);
    assert_int_equal(koe_text_open(&t, &(koe_text_setup){ .user_lexicon = "/nowhere.json" }, &err), KOE_E_NOT_FOUND);
    drop("named/medical.json"), drop("named"), drop("other.json");
    rmdir(folder);
}

/* ---- harm ---- */

/* Long lexicons and long texts: no more than a little time, whatever is in them. */
static void harm(void **state)
{
    (void)state;
    koe_buf lexicon = { 0 }, text = { 0 };
    koe_error err = { 0 };
    koe_user_lexicon *l = NULL;
    koe_buf_addc(&lexicon, '{');
    for (int i = 0; i < 20000; i++) koe_buf_printf(&lexicon, "%s\"a a a a a %d a a\": \"a\"", i ? "," : "", i);
    koe_buf_adds(&lexicon, "}");
    while (text.n < 200000) koe_buf_adds(&text, "a ");
    const clock_t start = clock(); /* of this process */
    if (koe_user_lexicon_read(&l, koe_buf_str(&lexicon), "long", &err) != KOE_OK) fail_msg("%s", err.message);
    koe_user_match m;
    for (size_t at = 0; at < text.n; at++) assert_false(koe_user_lexicon_match(l, koe_buf_str(&text), at, koe_lang_find(KOE_STR("en")), &m));
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    koe_user_lexicon_unref(l);
    koe_buf_clear(&lexicon);
    koe_buf_adds(&lexicon, "{\"");
    for (int i = 0; i < 300; i++) koe_buf_addc(&lexicon, 'a');
    koe_buf_adds(&lexicon, "\": \"a\"}");
    assert_int_equal(koe_user_lexicon_read(&l, koe_buf_str(&lexicon), "long", &err), KOE_E_LIMIT);
    koe_buf_clear(&lexicon);
    koe_buf_adds(&lexicon, "<!DOCTYPE l [<!ENTITY a0 \"ha ha ha ha ha ha ha ha\">");
    for (int i = 1; i < 12; i++) koe_buf_printf(&lexicon, "<!ENTITY a%d \"&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;\">", i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    koe_buf_adds(&lexicon, "]><lexicon><lexeme><grapheme>&a11;</grapheme></lexeme></lexicon>");
    assert_int_equal(koe_user_lexicon_read(&l, koe_buf_str(&lexicon), "laughs", &err), KOE_E_LIMIT);
    koe_buf_clear(&lexicon);
    for (int i = 0; i < 100000; i++) koe_buf_adds(&lexicon, "<lexicon>");
    assert_true(koe_user_lexicon_read(&l, koe_buf_str(&lexicon), "deep", &err) != KOE_OK);
    koe_buf_free(&lexicon);
    koe_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sounds), cmocka_unit_test(aliases), cmocka_unit_test(wrong), cmocka_unit_test(misaki_files),
                                        cmocka_unit_test(files_change), cmocka_unit_test(harm) };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
