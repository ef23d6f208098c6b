/* GET /metrics by the rules of Prometheus' text format, and what must be in it; the log; the trace of a request. */
#include <ctype.h>
#include <math.h>

#include "server.h"

enum { MAX_FAMILIES = 100 };

typedef struct family {
    char name[80], type[20];
    size_t n; /* samples */
    double last_end, last_count; /* of a histogram's buckets */
    double inf, count;
    bool closed;
} family;

static family families[MAX_FAMILIES];
static size_t n_families;

static family *find(const char *name)
{
    for (size_t i = 0; i < n_families; i++)
        if (strcmp(families[i].name, name) == 0) return &families[i];
    return NULL;
}

static size_t name_length(const char *p, bool colons)
{
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_' || (colons && p[n] == ':')) n++;
    return isdigit((unsigned char)p[0]) ? 0 : n;
}

/* # HELP name text, # TYPE name kind */
static void read_comment(const char *line)
{
    char word[8], name[80], rest[20] = "";
    if (sscanf(line, "# %7s %79s %19s", word, name, rest) < 2) return; /* a remark */
    if (strcmp(word, "TYPE") != 0) {
        if (strcmp(word, "HELP") != 0) fail_msg("%s", line);
        return;
    }
    if (find(name)) fail_msg("two types of %s", name);
    if (!strstr("|counter|gauge|histogram|summary|untyped|", rest)) fail_msg("%s", line);
    for (size_t i = 0; i < n_families; i++) families[i].closed = true;
    assert_true(n_families < MAX_FAMILIES);
    snprintf(families[n_families].name, sizeof families[0].name, "%s", name);
    snprintf(families[n_families++].type, sizeof families[0].type, "%s", rest);
}

/* Behind the labels; le: the bucket's end as text. */
static const char *read_labels(const char *p, const char *line, char *le)
{
    *le = 0;
    for (p++; *p != '}';) {
        const size_t n = name_length(p, false);
        if (n == 0 || p[n] != '=' || p[n + 1] != '"') fail_msg("label: %s", line);
        const bool is_le = n == 2 && memcmp(p, "le", 2) == 0;
        for (p += n + 2; *p != '"'; p++) {
            if (!*p) fail_msg("no end of a label: %s", line);
            if (*p == '\\' && !strchr("\\\"n", *++p)) fail_msg("escape: %s", line);
            if (is_le) *le++ = *p, *le = 0;
        }
        p++;
        if (*p == ',') p++;
        else if (*p != '}') fail_msg("labels: %s", line);
    }
    return p + 1;
}

static void read_bucket(family *f, const char *le, double value, const char *line)
{
    const double end = strcmp(le, "+Inf") == 0 ? INFINITY : atof(le);
    if (end <= f->last_end && f->n) fail_msg("buckets out of order: %s", line);
    if (value < f->last_count) fail_msg("buckets do not add up: %s", line);
    f->last_end = end;
    f->last_count = value;
    if (isinf(end)) f->inf = value;
}

static void read_sample(const char *line)
{
    static const char *const endings[] = { "_bucket", "_sum", "_count" };
    char name[80], base[80], le[40] = "", *rest = NULL;
    const size_t n = name_length(line, true);
    if (n == 0 || n >= sizeof name) fail_msg("no name: %s", line);
    snprintf(name, sizeof name, "%.*s", (int)n, line);
    snprintf(base, sizeof base, "%s", name);
    for (size_t i = 0; i < 3 && !find(base); i++)
        if (n > strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0) base[n - strlen(endings[i])] = 0;
    family *f = find(base);
    if (!f) fail_msg("a sample without a type: %s", line);
    if (f->closed) fail_msg("a family in two places: %s", line);
    const char *p = line[n] == '{' ? read_labels(line + n, line, le) : line + n;
    if (*p++ != ' ') fail_msg("no value: %s", line);
    const double value = strtod(p, &rest);
    if (rest == p || *rest) fail_msg("value: %s", line);
    if (strcmp(f->type, "histogram") == 0) {
        if (strcmp(name + strlen(base), "_bucket") == 0) read_bucket(f, le, value, line);
        else if (strcmp(name + strlen(base), "_count") == 0) f->count = value;
        else if (strcmp(name + strlen(base), "_sum") != 0) fail_msg("part of a histogram: %s", line);
    }
    if (strcmp(f->type, "counter") == 0 && (value < 0 || !strstr(base, "_total"))) fail_msg("counter: %s", line);
    f->n++;
}

static void read_all(char *text)
{
    n_families = 0;
    memset(families, 0, sizeof families);
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = 0;
        if (*line == '#') read_comment(line);
        else if (*line) read_sample(line);
    }
    for (size_t i = 0; i < n_families; i++)
        if (strcmp(families[i].type, "histogram") == 0 && (families[i].inf != families[i].count || !isinf(families[i].last_end)))
            fail_msg("%s: %g in all buckets, %g counted", families[i].name, families[i].inf, families[i].count);
}

/* What the server has used of the processors. */
static double processor_ms(const server *s)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)s->pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    fclose(f);
    return 1000 * (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void test_metrics(void **state)
{
    (void)state;
    static const char *const observed[] = { "koe_time_to_first_byte_seconds", "koe_queue_wait_seconds", "koe_phonemise_seconds", "koe_synthesis_seconds",
                                            "koe_encode_seconds", "koe_real_time_factor" };
    static const char *const counted[] = { "koe_speech_requests_total", "koe_speech_formats_total", "koe_requests_total", "koe_cache_requests_total",
                                           "koe_audio_seconds_total" };
    server s;
    start_server(&s, NULL);
    for (int i = 0; i < 3; i++) expect_reply(speak(&s, "{\"input\": \"Count this.\", \"response_format\": \"mp3\"}"), 200, NULL);
    expect_problem(speak(&s, "{\"input\": \"Hello.\", \"voice\": \"no \\\"such\\\\\\nvoice\"}"), 400, "voice_not_found", "voice");
    WAIT_UNTIL(says(&s, "/metrics", "format=\"mp3\"} 3\n") && says(&s, "/metrics", "status=\"400\"} 1\n")) {} /* counted after the client has its reply */
    reply r = get(&s, "/metrics");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(header(&r, "Content-Type"), "text/plain; version=0.0.4"));
    assert_non_null(strstr(r.body.data, "koe_speech_formats_total{format=\"mp3\"} 3\n"));
    assert_non_null(strstr(r.body.data, "koe_requests_total{status=\"400\"} 1\n"));
    read_all(r.body.data);
    for (size_t i = 0; i < sizeof observed / sizeof *observed; i++) {
        const family *f = find(observed[i]);
        if (!f || strcmp(f->type, "histogram") != 0 || f->count < 1) fail_msg("%s: nothing observed", observed[i]);
    }
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        if (!find(counted[i]) || !find(counted[i])->n) fail_msg("%s: nothing counted", counted[i]);
    reply_free(&r);
    const double start_ms = processor_ms(&s);
    for (int i = 0; i < 100; i++) expect_reply(get(&s, "/metrics"), 200, NULL);
    const double each_ms = (processor_ms(&s) - start_ms) / 100;
    if (each_ms > 20) fail_msg("a scrape takes %.1f ms", each_ms);
    stop_server(&s);
}

/* Every line of the log is a JSON object with a time. */
static void test_json_log(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), log[16384];
    start_server_in(&s, home, (const char *const[]){ "--log-format", "json", "--log-level", "info", NULL });
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Request-Id: abc-1\r\n", "{\"input\": \"Hello.\"}"), 200, NULL);
    expect_reply(ask(&s, "GET", "/health", "X-Request-Id: a\"b\r\n", NULL), 200, NULL);
    size_t n = 0;
    log[0] = 0;
    WAIT_UNTIL(strstr(log, "\"/health\"") && strstr(log, "abc-1")) {
        const ssize_t got = read(s.fd[2], log + n, sizeof log - 1 - n);
        if (got > 0) n += (size_t)got;
        log[n] = 0;
    }
    bool found = false;
    for (char *line = log, *end; *line && (end = strchr(line, '\n')); line = end + 1) {
        json_t *j = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (!j || !json_is_string(json_object_get(j, "time"))) fail_msg("%.*s", (int)(end - line), line);
        const char *id = json_string_value(json_object_get(j, "id"));
        found |= id && strcmp(id, "abc-1") == 0 && json_integer_value(json_object_get(j, "status")) == 200;
        json_decref(j);
    }
    assert_true(found);
    stop_server(&s);
}

static void test_trace(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    const char *body = "{\"input\": \"Where did the time go?\", \"response_format\": \"mp3\"}";
    reply r = ask(&s, "POST", "/v1/audio/speech", "X-Koe-Trace: 1\r\n", body);
    double queue, text, synthesis, encode;
    const char *said = header(&r, "Server-Timing");
    assert_non_null(said);
    assert_int_equal(sscanf(said, "queue;dur=%lf, text;dur=%lf, synthesis;dur=%lf, encode;dur=%lf", &queue, &text, &synthesis, &encode), 4);
    assert_true(synthesis > 0 && queue + text + synthesis + encode <= r.first_ms + 5);
    reply_free(&r);
    r = ask(&s, "POST", "/v1/audio/speech", "X-Koe-Trace: 1\r\n", body); /* from the cache: no time at all */
    assert_string_equal(header(&r, "Server-Timing"), "queue;dur=0.0, text;dur=0.0, synthesis;dur=0.0, encode;dur=0.0");
    reply_free(&r);
    r = speak(&s, body);
    assert_null(header(&r, "Server-Timing"));
    reply_free(&r);
    stop_server(&s);
}

/* Nothing of this machine is in any answer. */
static void test_no_paths(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"input\": \"Hi.\", \"voice\": \"af_sky\"}", "{\"input\": \"Hi.\", \"voice\": \"af_sky+af_bella\"}", "{\"input\": \"Hi.\", \"voice\": \"nobody\"}",
        "{\"input\": \"Hi.\", \"voice\": \"builtin:xx\"}", "{\"input\": \"Hi.\", \"voice\": \"en_US-lessac-medium#1\"}", "{\"input\": \"Hi.\", \"voice\": \"../../etc/passwd\"}",
        "{\"input\": \"Hi.\", \"model\": \"kokoro\", \"voice\": {\"id\": \"bf_emma\"}}", "{\"input\": \"<speak\", \"ssml\": true}", "{\"input\": \"\\u0000\"}",
        "{\"input\": \"Hi.\", \"voice\": \"half\"}", "{\"input\": \"Hi.\", \"voice\": \"af_heart\"}", "{\"input\": \"h\", \"response_format\": \"x\"}", "[", "{}", "1",
    };
    static const char *const paths[] = { "/v1/audio/speech", "/dev/captioned_speech", "/dev/generate_from_phonemes", "/v1/audio/voices/combine", "/dev/phonemize", "/nowhere" };
    server s;
    char *home = new_folder(), cwd[4096];
    char *folder = koe_path_join(home, "kokoro/voices");
    assert_int_equal(koe_file_make_dirs(folder, NULL), KOE_OK);
    free(folder);
    folder = koe_path_join(home, "piper");
    assert_int_equal(koe_file_make_dirs(folder, NULL), KOE_OK);
    free(folder);
    static const float rows[510 * 256];
    write_file(home, "kokoro/voices/af_heart.bin", rows, sizeof rows);
    write_file(home, "piper/half.onnx", "x", 1);
    assert_non_null(getcwd(cwd, sizeof cwd));
    start_server_at(&s, home, NULL);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
        for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
            reply r = post(&s, paths[p], bodies[b]);
            assert_true(r.status >= 200);
            if (r.status >= 400 && (strstr(r.body.data, home) || strstr(r.body.data, cwd) || strstr(r.body.data, "/home") || strstr(r.body.data, "../src") ||
                                    strstr(r.body.data, ".onnx") || strstr(r.body.data, "koe pull")))
                fail_msg("%s %s -> %s", paths[p], bodies[b], r.body.data);
            reply_free(&r);
        }
    stop_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_metrics), cmocka_unit_test(test_json_log), cmocka_unit_test(test_trace), cmocka_unit_test(test_no_paths) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
