/* pull.c - koe pull: published models, voices and dictionaries -> $KOE_HOME. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "onnx/onnx.h"

#define KOKORO "https://github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0/"
#define MISAKI "https://raw.githubusercontent.com/hexgrad/misaki/main/misaki/data/"
#define PIPER "https://huggingface.co/rhasspy/piper-voices/resolve/main/"

/* One published file, and its place in $KOE_HOME. */
typedef struct item {
    const char *set; /* the name that pulls it; a file of several sets has one row for each */
    const char *path;
    koe_remote remote;
} item;

#define KOKORO_VOICES                                                                                                            \
    {                                                                                                                            \
        KOKORO "voices-v1.0.bin", 28214398, "bca610b8308e8d99f32e6fe4197e7ec01679264efed0cac9140fe9c29f1fbf7d", NULL             \
    }

static const item items[] = {
    { "kokoro",
      "kokoro/model.onnx",
      { KOKORO "kokoro-v1.0.onnx", 325532387, "7d5df8ecf7d4b1878015a32686053fd0eebe2bc377234608764cc0ef3636a6c5", NULL } },
    { "kokoro", "kokoro/voices/voices-v1.0.bin", KOKORO_VOICES },
    { "kokoro-int8",
      "kokoro/model.onnx",
      { KOKORO "kokoro-v1.0.int8.onnx", 92361271, "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb", NULL } },
    { "kokoro-int8", "kokoro/voices/voices-v1.0.bin", KOKORO_VOICES },
    { "kokoro-fp16", "kokoro/model.onnx", { KOKORO "kokoro-v1.0.fp16.onnx", 0, NULL, NULL } },
    { "kokoro-fp16", "kokoro/voices/voices-v1.0.bin", KOKORO_VOICES },
    { "lexicon",
      "lexicon/us_gold.json",
      { MISAKI "us_gold.json", 3000469, "dc414872a49a28ae6c141463d502fd945f3b2fde040484fdc47d00cc4612686f", NULL } },
    { "lexicon",
      "lexicon/us_silver.json",
      { MISAKI "us_silver.json", 3099517, "de8f67be911bb6c659187b4a65fd966b6a30e56350e0f790d763210b053ac475", NULL } },
    { "lexicon",
      "lexicon/gb_gold.json",
      { MISAKI "gb_gold.json", 2838552, "29e62f4b60261c88f7f3c2c7811ca3825978948090b72d2b27d565b729282f71", NULL } },
    { "lexicon",
      "lexicon/gb_silver.json",
      { MISAKI "gb_silver.json", 3663898, "48131e2d92ccc41655f4543e87e0f938e71463eb5a54be7f0693bb712ebb6bce", NULL } },
    { "lexicon",
      "lexicon/ja/ja_words.txt",
      { MISAKI "ja_words.txt", 1921140, "a93a8e8aee24db307a32becb8bf01c4c2908ecf37e6c91f7a705fafdfeba67ff", NULL } },
};
enum { N_ITEMS = sizeof items / sizeof *items };

static const char *const sets = "kokoro, kokoro-int8, kokoro-fp16, piper:VOICE (piper:en_US-lessac-medium), lexicon";

typedef struct puller {
    const char *home;
    koe_download_options options;
    bool only_list;
} puller;

/* A model whose checksum nobody publishes must at least be one, and not the page of an error. */
static koe_status check_unknown(const koe_remote *r, const char *path, koe_error *err)
{
    koe_onnx_model *m = NULL;
    if (r->sha256 || r->md5 || !koe_str_ends(koe_str_of(path), KOE_STR(".onnx"))) return KOE_OK;
    const koe_status st = koe_onnx_open(&m, path, err);
    koe_onnx_close(m);
    return st;
}

/* Downloads one file, or lists it. */
static koe_status pull_file(const puller *p, const koe_remote *r, const char *path_in_home, koe_error *err)
{
    char size[32];
    char *path = koe_path_join(p->home, path_in_home);
    if (!path) return koe_fail(err, KOE_E_NOMEM, "%s", path_in_home);
    koe_status st = KOE_OK;
    if (p->only_list) {
        printf("%s\n  -> %s\n", r->url, path);
        if (r->n_bytes) printf("  %" PRIu64 " bytes\n", r->n_bytes);
        if (r->sha256) printf("  sha256 %s\n", r->sha256);
        if (r->md5) printf("  md5 %s\n", r->md5);
    } else {
        koe_download_result result;
        fprintf(stderr, "koe: %s <- %s%s%s\n", path, r->url, r->n_bytes ? ", " : "",
                r->n_bytes ? koe_bytes_text(r->n_bytes, size) : "");
        st = koe_download(&result, r, path, &p->options, err);
        if (st == KOE_OK && result == KOE_DOWNLOAD_WAS_HERE) fprintf(stderr, "koe: it is here already\n");
        if (st == KOE_OK && result == KOE_DOWNLOADED && (st = check_unknown(r, path, err)) != KOE_OK) remove(path);
    }
    free(path);
    return st;
}

/* ---- Piper ------------------------------------------------------------------------------------------------------- */

/* Voices of the list that are like `name`: of the same language, or with it as a part. */
static koe_status no_such_voice(json_t *list, const char *name, koe_error *err)
{
    const char *key;
    json_t *voice;
    koe_buf near = { 0 };
    size_t n = 0;
    json_object_foreach(list, key, voice)
    {
        const bool like = strncmp(key, name, 5) == 0 || strcasestr(key, name) || strcasestr(name, key);
        if (like && n++ < 8) koe_buf_printf(&near, "%s%s", near.n ? ", " : "", key);
    }
    koe_fail(err, KOE_E_NOT_FOUND, "Piper has no voice '%s'; %s%s", name,
             near.n ? "it has " : "names are like en_US-lessac-medium", near.n ? near.data : "");
    koe_buf_free(&near);
    return KOE_E_NOT_FOUND;
}

/* Pulls NAME + ending, which `files` of voices.json knows by its path in the repository. */
static koe_status pull_piper_file(const puller *p, json_t *files, const char *name, const char *ending, koe_error *err)
{
    koe_buf file = { 0 }, url = { 0 }, path = { 0 };
    const char *key;
    json_t *value, *found = NULL;
    koe_buf_printf(&file, "/%s%s", name, ending);
    koe_buf_printf(&path, "piper/%s%s", name, ending);
    json_object_foreach(files, key, value)
    {
        if (file.failed || !koe_str_ends(koe_str_of(key), koe_buf_str(&file))) continue;
        found = value;
        koe_buf_clear(&url);
        koe_buf_printf(&url, PIPER "%s", key);
    }
    const json_int_t bytes = json_integer_value(json_object_get(found, "size_bytes"));
    const char *md5 = json_string_value(json_object_get(found, "md5_digest"));
    koe_status st;
    if (file.failed || url.failed || path.failed) st = koe_fail(err, KOE_E_NOMEM, "%s", name);
    else if (!found || bytes <= 0 || !md5 || strlen(md5) != 32)
        st = koe_fail(err, KOE_E_FORMAT, "Piper's voices.json has no size and md5 for %s%s", name, ending);
    else st = pull_file(p, &(koe_remote){ url.data, (uint64_t)bytes, NULL, md5 }, path.data, err);
    koe_buf_free(&file);
    koe_buf_free(&url);
    koe_buf_free(&path);
    return st;
}

/* A name becomes a file name: letters of Piper's own names only. */
static bool is_voice_name(const char *name)
{
    if (!*name || *name == '.' || strlen(name) > 100) return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c <= ' ') return false;
    return true;
}

static koe_status pull_piper(const puller *p, const char *name, koe_error *err)
{
    if (!is_voice_name(name))
        return koe_fail(err, KOE_E_ARGUMENT, "'%s' is not the name of a voice; try piper:en_US-lessac-medium", name);
    const koe_remote index = { PIPER "voices.json", 0, NULL, NULL };
    char *path = koe_path_join(p->home, "piper-voices.json");
    if (!path) return koe_fail(err, KOE_E_NOMEM, "%s", name);
    fprintf(stderr, "koe: reading the list of Piper voices\n");
    koe_status st = koe_download_fresh(&index, path, &p->options, err);
    json_error_t why;
    json_t *list = st == KOE_OK ? json_load_file(path, JSON_REJECT_DUPLICATES, &why) : NULL;
    if (st == KOE_OK && !json_is_object(list))
        st = koe_fail(err, KOE_E_FORMAT, "%s is not a list of voices: %s", index.url, why.text);
    json_t *voice = json_object_get(list, name), *files = json_object_get(voice, "files");
    if (st == KOE_OK && !voice) st = no_such_voice(list, name, err);
    if (st == KOE_OK) st = pull_piper_file(p, files, name, ".onnx.json", err);
    if (st == KOE_OK) st = pull_piper_file(p, files, name, ".onnx", err);
    json_decref(list);
    free(path);
    return st;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static koe_status pull_set(const puller *p, const char *name, koe_error *err)
{
    if (strncmp(name, "piper:", 6) == 0) return pull_piper(p, name + 6, err);
    koe_status st = KOE_OK;
    for (size_t i = 0; i < N_ITEMS && st == KOE_OK; i++)
        if (strcmp(items[i].set, name) == 0) st = pull_file(p, &items[i].remote, items[i].path, err);
    return st;
}

static bool is_set(const char *name)
{
    if (strncmp(name, "piper:", 6) == 0) return true;
    for (size_t i = 0; i < N_ITEMS; i++)
        if (strcmp(items[i].set, name) == 0) return true;
    return false;
}

static int pull(const koe_command_line *line, puller *p, const koe_arg_list *words)
{
    for (size_t i = 0; i < words->n; i++)
        if (!is_set(words->item[i])) return koe_args_wrong(line, "there is no '%s' to pull; there are %s", words->item[i], sets);
    koe_error err = { 0 };
    char *home = p->home ? strdup(p->home) : koe_path_home();
    p->home = home;
    koe_status st = home ? KOE_OK : koe_fail(&err, KOE_E_NOMEM, "KOE_HOME");
    for (size_t i = 0; i < words->n && st == KOE_OK; i++) st = pull_set(p, words->item[i], &err);
    free(home);
    return st == KOE_OK ? 0 : koe_args_failed(line, &err);
}

int koe_cmd_pull(int argc, char **argv)
{
    puller p = { .options = { .retries = 3 } };
    const char *timeout = NULL, *retries = NULL;
    koe_arg_list words = { 0 };
    const koe_option options[] = {
        { .name = "list", .help = "show addresses, sizes, checksums and places, download nothing", .on = &p.only_list },
        { .name = "home", .value = "DIR", .help = "folder of models (default: ~/.local/share/koe)", .text = &p.home },
        { .name = "pull-base",
          .value = "URL",
          .help = "a mirror: https://HOST/PATH is fetched from URL/HOST/PATH",
          .text = &p.options.base },
        { .name = "connect-timeout", .value = "S", .help = "seconds (default: 20)", .text = &timeout },
        { .name = "retries", .value = "N", .help = "tries after a failure that may pass (default: 3)", .text = &retries },
    };
    const koe_command_line line = {
        "koe pull", "[options] NAME...",
        "Downloads published files: kokoro (325 MB), kokoro-int8 (92 MB), kokoro-fp16 (169 MB), piper:VOICE\n"
        "(piper:en_US-lessac-medium, 63 MB), lexicon (15 MB). An interrupted download goes on where it was.",
        options, sizeof options / sizeof *options
    };
    koe_error err = { 0 };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    int64_t seconds = 20, n_retries = 3;
    if (r == KOE_ARGS_OK && words.n == 0) {
        status = koe_args_wrong(&line, "say what: %s", sets);
    } else if (r == KOE_ARGS_OK && (koe_args_int(&seconds, timeout, "--connect-timeout", 1, 3600, &err) != KOE_OK ||
                                    koe_args_int(&n_retries, retries, "--retries", 0, 1000, &err) != KOE_OK)) {
        status = koe_args_wrong(&line, "%s", err.message);
    } else if (r == KOE_ARGS_OK) {
        p.options.connect_timeout_s = (int)seconds;
        p.options.retries = (int)n_retries;
        status = pull(&line, &p, &words);
    }
    koe_args_free(&line, &words);
    return status;
}
