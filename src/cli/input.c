/* input.c - finding the text to speak. */
#include "cli/input.h"

#include <unistd.h>

#include "base/file.h"

enum { MAX_TEXT_BYTES = 256 << 20 };

static bool is_meant_as_file(const char *word)
{
    static const char *const endings[] = { ".txt", ".text", ".md", ".ssml", ".xml" };
    static const char *const beginnings[] = { "/", "./", "../", "~/" };
    const koe_str s = koe_str_of(word);
    if (s.n < 2 || strpbrk(word, " \t\n")) return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (koe_str_ends(s, koe_str_of(endings[i]))) return true;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (koe_str_starts(s, koe_str_of(beginnings[i]))) return true;
    return false;
}

static koe_status read_one(koe_buf *out, const char **source, const char *word, koe_error *err)
{
    const bool is_stdin = strcmp(word, "-") == 0;
    if (!is_stdin && koe_file_is_dir(word))
        return koe_fail(err, KOE_E_ARGUMENT, "%s is a folder; name a text file in it, or pipe the text: echo %s | koe say -",
                        word, word);
    if (is_stdin || koe_file_exists(word) || is_meant_as_file(word)) {
        *source = is_stdin ? "stdin" : word;
        return koe_file_read(out, word, MAX_TEXT_BYTES, err);
    }
    koe_buf_adds(out, word);
    return out->failed ? koe_fail(err, KOE_E_NOMEM, "text") : KOE_OK;
}

koe_status koe_input_read(koe_buf *out, const char **source, const koe_arg_list *words, koe_error *err)
{
    *source = "";
    if (words->n == 0) {
        if (isatty(STDIN_FILENO)) return koe_fail(err, KOE_E_ARGUMENT, "say what: a text, a file, or - for stdin");
        return read_one(out, source, "-", err);
    }
    if (words->n == 1) return read_one(out, source, words->item[0], err);
    for (size_t i = 0; i < words->n; i++) {
        if (i) koe_buf_addc(out, ' ');
        koe_buf_adds(out, words->item[i]);
    }
    return out->failed ? koe_fail(err, KOE_E_NOMEM, "text") : KOE_OK;
}
