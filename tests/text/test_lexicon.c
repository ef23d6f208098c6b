/* The compiled dictionary: built, found, rebuilt when its sources change, refused when damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text/lexicon.h"

static char dir[] = "/tmp/koe-lexicon-XXXXXX";

static void put(const char *name, const char *text)
{
    char *path = koe_path_join(dir, name);
    assert_int_equal(koe_file_write_atomic(path, text, strlen(text), NULL), KOE_OK);
    free(path);
}

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return 1;
    setenv("XDG_CACHE_HOME", dir, 1);
    put("us_gold.json", "{\"house\": {\"DEFAULT\": \"hˈWs\", \"VERB\": \"hˈWz\", \"NOUN\": null}, \"cat\": \"kˈæt\", \"Paris\": \"pˈɛɹəs\"}");
    put("us_silver.json", "{\"Cat\": \"silver\", \"zyzzyva\": \"zˈɪzɪvə\"}");
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[80];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void finds(void **state)
{
    (void)state;
    koe_lexicon *l;
    koe_entry e;
    for (int round = 0; round < 2; round++) { /* compiled, then mapped */
        assert_int_equal(koe_lexicon_open(&l, dir, "us", NULL), KOE_OK);
        assert_true(koe_lexicon_find(l, KOE_STR("house"), &e) && e.gold && e.by_pos && !e.silver);
        assert_true(koe_str_is(e.pos_value[KOE_POS_VERB], "hˈWz"));
        assert_true(e.pos_value[KOE_POS_NOUN].p && e.pos_value[KOE_POS_NOUN].n == 0); /* spell it */
        assert_null(e.pos_value[KOE_POS_ADJ].p);
        assert_true(koe_lexicon_find(l, KOE_STR("House"), &e) && e.by_pos); /* grown */
        assert_true(koe_lexicon_find(l, KOE_STR("paris"), &e) && koe_str_is(e.gold_value, "pˈɛɹəs"));
        assert_true(koe_lexicon_find(l, KOE_STR("Cat"), &e) && koe_str_is(e.gold_value, "kˈæt") && koe_str_is(e.silver_value, "silver"));
        assert_true(koe_lexicon_find(l, KOE_STR("zyzzyva"), &e) && !e.gold && e.silver);
        assert_false(koe_lexicon_find(l, KOE_STR("HOUSE"), &e));
        assert_false(koe_lexicon_find(l, KOE_STR("dog"), &e));
        assert_true(koe_str_is(koe_lexicon_pieces(l, KOE_STR("don't")), "do n't"));
        koe_lexicon_close(l);
    }
}

static void follows_sources(void **state)
{
    (void)state;
    koe_lexicon *l;
    koe_entry e;
    put("us_silver.json", "{\"dog\": \"dˈɔɡ\"}");
    assert_int_equal(koe_lexicon_open(&l, dir, "us", NULL), KOE_OK);
    assert_true(koe_lexicon_find(l, KOE_STR("dog"), &e));
    koe_lexicon_close(l);
}

/* Any byte of the compiled file may be wrong: nothing crashes, at worst a word is not found. */
static void damaged(void **state)
{
    (void)state;
    koe_lexicon *l;
    koe_entry e;
    koe_buf image = { 0 };
    char *path = koe_path_join(dir, "en-us.klex");
    assert_int_equal(koe_file_read(&image, path, 1 << 22, NULL), KOE_OK);
    for (size_t i = 0; i < image.n; i += i < 96 ? 1 : 211) {
        char keep = image.data[i];
        image.data[i] = (char)(keep ^ 0xff);
        assert_int_equal(koe_file_write_atomic(path, image.data, image.n, NULL), KOE_OK);
        assert_int_equal(koe_lexicon_open(&l, dir, "us", NULL), KOE_OK);
        koe_lexicon_find(l, KOE_STR("house"), &e);
        koe_lexicon_find(l, KOE_STR("dog"), &e);
        koe_lexicon_pieces(l, KOE_STR("don't"));
        koe_lexicon_close(l);
        image.data[i] = keep;
    }
    koe_buf_free(&image);
    free(path);
}

static void refuses(void **state)
{
    (void)state;
    koe_lexicon *l;
    koe_error err = { 0 };
    assert_int_equal(koe_lexicon_open(&l, "/nonexistent", "us", &err), KOE_E_NOT_FOUND);
    put("gb_gold.json", "{\"house\": ");
    assert_int_equal(koe_lexicon_open(&l, dir, "gb", &err), KOE_E_FORMAT);
    put("gb_gold.json", "[]");
    assert_int_equal(koe_lexicon_open(&l, dir, "gb", &err), KOE_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds), cmocka_unit_test(follows_sources), cmocka_unit_test(damaged), cmocka_unit_test(refuses) };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
