/* test_digest.c - the examples of FIPS 180-4 (NIST's SHA256 sheet) and of RFC 1321, A.5, fed whole and in every two pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"

static const struct {
    koe_digest_kind kind;
    const char *text, *want;
} examples[] = {
    { KOE_DIGEST_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { KOE_DIGEST_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { KOE_DIGEST_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    { KOE_DIGEST_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
    { KOE_DIGEST_SHA1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
    { KOE_DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e" },
    { KOE_DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
    { KOE_DIGEST_MD5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f" },
    { KOE_DIGEST_MD5, "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
      "57edf4a22be3c955ac49da2e2107b67a" },
};

static void published_examples(void **state)
{
    (void)state;
    char got[KOE_DIGEST_TEXT];
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        for (size_t cut = 0; cut <= strlen(examples[i].text); cut++) {
            koe_digest d;
            koe_digest_init(&d, examples[i].kind);
            koe_digest_add(&d, examples[i].text, cut);
            koe_digest_add(&d, examples[i].text + cut, strlen(examples[i].text) - cut);
            koe_digest_text(&d, got);
            assert_string_equal(got, examples[i].want);
        }
}

static void a_million_letters(void **state)
{
    (void)state;
    char *a = malloc(1000000), got[KOE_DIGEST_TEXT];
    assert_non_null(a);
    memset(a, 'a', 1000000);
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    for (size_t at = 0, n = 1; at < 1000000; at += n, n = n * 2 + 1) {
        if (n > 1000000 - at) n = 1000000 - at;
        koe_digest_add(&d, a + at, n);
    }
    koe_digest_text(&d, got);
    assert_string_equal(got, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(published_examples), cmocka_unit_test(a_million_letters) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
