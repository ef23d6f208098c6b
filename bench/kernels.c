/* kernels.c - speed of the kernels against the machine's own peak, one thread, for every instruction set this processor has.
 *     bench_kernels [filter [variant]]      only lines whose name contains the filter, only this instruction set
 * Each line is the best of several short runs in processor time: others may share the machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/lp_conv.h"

#if defined(__x86_64__)
float bench_peak_avx2(long n);
float bench_peak_avx512(long n);
#endif

enum { RUNS = 7 };

static const char *filter;

/* Time of this thread on a processor: waiting for one does not count. */
static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool wanted(const char *name) { return !filter || strstr(name, filter); }

static float *noise(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    unsigned s = 1;
    if (!p) exit(1);
    for (size_t i = 0; i < n; i++) s = s * 1664525u + 1013904223u, p[i] = (float)(int)s * 0x1p-31f;
    return p;
}

/* G multiply-adds per second; 0 when unknown. */
static double peak(const koe_kernel_set *set)
{
    double best = 0;
#if defined(__x86_64__)
    const long n = 2000000;
    for (int i = 0; i < RUNS * 2; i++) {
        const bool wide = strcmp(set->name, "avx512") == 0;
        if (!wide && strcmp(set->name, "avx2") != 0) return 0;
        const int64_t t = now_ns();
        volatile float sink = wide ? bench_peak_avx512(n) : bench_peak_avx2(n);
        (void)sink;
        const double g = (double)n * 12 * (wide ? 16 : 8) / (double)(now_ns() - t);
        if (g > best) best = g;
    }
#endif
    return best;
}

typedef struct conv_case {
    const char *name;
    size_t co, ci, k, dilation, t;
} conv_case;

/* Kokoro at 2 s of audio, Piper medium at 2 s. */
static const conv_case convs[] = {
    { "kokoro 256x256 k3 T=1600", 256, 256, 3, 1, 1600 },   { "kokoro 256x256 k7 d3 T=1600", 256, 256, 7, 3, 1600 },
    { "kokoro 256x256 k11 d5 T=1600", 256, 256, 11, 5, 1600 }, { "kokoro 128x128 k3 T=9601", 128, 128, 3, 1, 9601 },
    { "kokoro 128x128 k7 d3 T=9601", 128, 128, 7, 3, 9601 },  { "kokoro 128x128 k11 d1 T=9601", 128, 128, 11, 1, 9601 }, { "kokoro 128x128 k11 d5 T=9601", 128, 128, 11, 5, 9601 },
    { "kokoro 1024x1090 k3 T=160", 1024, 1090, 3, 1, 160 }, { "kokoro 512x512 k3 T=80", 512, 512, 3, 1, 80 },
    { "kokoro 512x512 k5 T=30", 512, 512, 5, 1, 30 },
    { "kokoro 22x128 k7 T=9601", 22, 128, 7, 1, 9601 },     { "piper 384x192 k5 T=172", 384, 192, 5, 1, 172 },
    { "piper 128x128 k7 d12 T=1376", 128, 128, 7, 12, 1376 }, { "piper 64x64 k5 d6 T=11008", 64, 64, 5, 6, 11008 },
    { "piper 64x64 k3 d2 T=11008", 64, 64, 3, 2, 11008 },   { "piper 32x32 k3 d2 T=44032", 32, 32, 3, 2, 44032 },
    { "piper 32x32 k5 d2 T=44032", 32, 32, 5, 2, 44032 },   { "piper 32x32 k7 d3 T=44032", 32, 32, 7, 3, 44032 },
    { "piper 32x32 k7 d12 T=44032", 32, 32, 7, 12, 44032 }, { "piper 1x32 k7 T=44032", 1, 32, 7, 1, 44032 },
};

typedef struct source {
    const float *x;
    size_t t;
} source;

static const float *row_of(const void *arg, size_t r)
{
    const source *s = arg;
    return s->x + r * s->t;
}

static void bench_conv(const conv_case *c, double top)
{
    koe_toom toom = { 0 };
    koe_f32_conv_choose(&toom, c->co, c->ci, c->k, 1, c->dilation);
    float *w = noise(c->co * c->ci * c->k), *x = noise(c->ci * c->t), *y = noise(c->co * c->t);
    float *packed = noise(koe_f32_conv_count(&toom, c->co, c->ci, c->k));
    size_t tap[16], pos[16], off[16];
    for (size_t i = 0; i < c->k; i++) tap[i] = i, pos[i] = i * c->dilation;
    koe_f32_conv_pack(&toom, packed, &(koe_conv_weights){ .w = w, .s_co = c->ci * c->k, .s_outer = c->k, .s_tap = 1, .n_inner = 1 }, c->co, c->ci,
                      tap, c->k);
    koe_f32_conv v = { .co = c->co, .rows = c->ci, .taps = c->k, .toom = &toom, .stride = 1, .dilation = c->dilation, .pad = (int64_t)((c->k - 1) * c->dilation / 2), .pos = pos,
        .n_in = c->t, .n_out = c->t, .y_step = 1 };
    koe_f32_conv_plan(&v, off, 1);
    float *scratch = noise(v.scratch);
    const source s = { x, c->t };
    const koe_f32_epilogue ep = { .bias_row = w, .scale = 1 };
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        const int64_t t = now_ns();
        for (size_t i = 0; i < v.n_tile * v.n_co; i++) koe_f32_conv_task(&v, i, y, c->t, packed, row_of, &s, NULL, &ep, scratch);
        const double g = (double)(c->co * c->ci * c->k) * (double)c->t / (double)(now_ns() - t);
        if (g > best) best = g;
    }
    printf("  %-32s %7.1f GMAC/s %5.1f %%  tasks %zu x %zu, tile %zu, chunk %zu\n", c->name, best, top > 0 ? 100 * best / top : 0, v.n_tile,
           v.n_co, v.tile, v.chunk);
    free(w), free(x), free(y), free(packed), free(scratch);
}

/* cold: every run has another b, as the layers of a network have, so that none is in cache. */
typedef enum right { PLAIN, PACKED, PACKED_BF16 } right;
static void bench_gemm(size_t m, size_t n, size_t k, right b_is, bool cold, double top)
{
    char name[64];
    snprintf(name, sizeof name, "gemm %s %zux%zux%zu%s", (const char *const[]){ "plain", "packed", "packed bf16" }[b_is], m, n, k, cold ? " cold" : "");
    if (!wanted(name)) return;
    const size_t each = koe_f32_packed_count(k, n), copies = cold ? ((size_t)64 << 20) / sizeof(float) / each + 1 : 1;
    float *a = noise(m * k), *b = noise(k * n), *c = noise(m * n), *p = noise(each * copies);
    for (size_t i = 0; i < copies; i++) koe_f32_pack(p + i * each, b_is == PACKED_BF16, (koe_f32_view){ b, n, 1 }, k, n);
    double best = 0;
    for (size_t run = 0; run < RUNS; run++) {
        const int64_t t = now_ns();
        if (b_is != PLAIN) koe_f32_gemm_packed(c, n, (koe_f32_view){ a, k, 1 }, (koe_f32_packed){ p + run % copies * each, b_is == PACKED_BF16 }, m, n, k, 0, SIZE_MAX, NULL);
        else koe_f32_gemm(c, n, a, k, b, n, m, n, k, 0);
        const double g = (double)(m * n) * (double)k / (double)(now_ns() - t);
        if (g > best) best = g;
    }
    printf("  %-32s %7.1f GMAC/s %5.1f %%\n", name, best, top > 0 ? 100 * best / top : 0);
    free(a), free(b), free(c), free(p);
}

static void bench_map(const char *name, koe_f32_map_fn *fn)
{
    enum { N = 4096, REPEAT = 50 };
    if (!wanted(name)) return;
    float *x = noise(N), *y = noise(N);
    double best = 0;
    for (size_t i = 0; i < N; i++) x[i] = fabsf(x[i]) * 8 + 0.1f;
    for (int run = 0; run < RUNS; run++) {
        const int64_t t = now_ns();
        for (int i = 0; i < REPEAT; i++) fn(y, x, N);
        const double g = (double)N * REPEAT / (double)(now_ns() - t);
        if (g > best) best = g;
    }
    printf("  %-32s %7.2f G elements/s\n", name, best);
    free(x), free(y);
}

/* The same in 8 bits, with Snake in front and a residual behind; `pairs`: with fewer products. */
static void bench_bytes(const conv_case *c, bool pairs)
{
    const koe_lp_set *set = koe_lp_kernels(KOE_LP_INT8);
    if (!set || c->ci < 32 || c->co < 32 || (pairs && !koe_lp_pairs_suit(set, c->co, c->ci, c->k, 1, c->dilation))) return;
    const koe_toom none = { 0 };
    const size_t n_sum = c->co * KOE_LP_PAIR_PARTS;
    float *w = noise(c->co * c->ci * c->k), *x = noise(c->ci * c->t), *y = noise(c->co * c->t), *residual = noise(c->co * c->t), *scale = noise(n_sum);
    uint32_t *words = (uint32_t *)(void *)noise(koe_lp_pairs_words(c->co, c->ci, c->k) + c->co * c->ci * c->k);
    int32_t *sum = (int32_t *)(void *)noise(n_sum);
    size_t tap[16], pos[16], off[16];
    for (size_t i = 0; i < c->k; i++) tap[i] = i, pos[i] = i * c->dilation;
    const koe_conv_weights from = { .w = w, .s_co = c->ci * c->k, .s_outer = c->k, .s_tap = 1, .n_inner = 1 };
    if (pairs) koe_lp_pairs_pack(set, words, sum, scale, &from, c->co, c->ci, c->k);
    else koe_lp_conv_pack(set, words, sum, scale, &from, c->co, c->ci, tap, c->k);
    koe_f32_conv v = { .co = c->co, .rows = c->ci, .taps = c->k, .toom = &none, .in_pairs = pairs, .stride = 1, .dilation = c->dilation,
        .pad = (int64_t)((c->k - 1) * c->dilation / 2), .pos = pos, .n_in = c->t, .n_out = c->t, .y_step = 1 };
    koe_f32_conv_plan(&v, off, 1);
    if (!koe_lp_conv_plan(set, &v)) return;
    float *scratch = noise(v.scratch);
    const source s = { x, c->t };
    const koe_f32_epilogue ep = { .bias_row = w, .scale = 1, .residual = residual, .ld_residual = c->t };
    const koe_f32_prologue pre = { .kind = KOE_PRE_SNAKE, .scale = w, .shift = w, .alpha = w, .r = w };
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        const int64_t t = now_ns();
        for (size_t i = 0; i < v.n_tile * v.n_co; i++) koe_lp_conv_task(set, &v, i, y, c->t, words, sum, scale, row_of, &s, &pre, &ep, scratch);
        const double g = (double)(c->co * c->ci * c->k) * (double)c->t / (double)(now_ns() - t);
        if (g > best) best = g;
    }
    printf("  %-32s %7.1f GMAC/s  %s%s, tasks %zu x %zu, tile %zu\n", c->name, best, set->name, pairs ? " in pairs" : "", v.n_tile, v.n_co, v.tile);
    free(w), free(x), free(y), free(residual), free(scale), free(words), free(sum), free(scratch);
}

static void bench_set(const koe_kernel_set *set)
{
    const double top = peak(set);
    printf("%s: peak %.1f GMAC/s\n", set->name, top);
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++)
        if (wanted(convs[i].name)) {
            bench_conv(&convs[i], top);
            bench_bytes(&convs[i], false);
            bench_bytes(&convs[i], true);
        }
    bench_gemm(100, 768, 768, PACKED, false, top);
    bench_gemm(100, 2048, 768, PACKED, false, top);
    bench_gemm(400, 2048, 768, PACKED, false, top);
    bench_gemm(100, 768, 768, PACKED, true, top);
    bench_gemm(100, 2048, 768, PACKED, true, top);
    bench_gemm(100, 768, 2048, PACKED, true, top);
    bench_gemm(30, 2048, 768, PACKED, true, top);
    bench_gemm(70, 2048, 768, PACKED, true, top);
    bench_gemm(1, 1024, 256, PACKED, false, top);
    bench_gemm(1, 1024, 640, PACKED, false, top);
    bench_gemm(100, 768, 768, PACKED_BF16, true, top);
    bench_gemm(1, 1024, 256, PACKED_BF16, false, top);
    bench_gemm(1, 1024, 640, PACKED_BF16, false, top);
    bench_gemm(100, 100, 64, PLAIN, false, top);
    bench_gemm(400, 64, 400, PLAIN, false, top);
    bench_map("exp", set->exp);
    bench_map("tanh", set->tanh);
    bench_map("sigmoid", set->sigmoid);
    bench_map("sin", set->sin);
    bench_map("erf", set->erf);
    bench_map("log", set->log);
}

int main(int argc, char **argv)
{
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    filter = argc > 1 ? argv[1] : NULL;
    for (size_t i = 0; i < n; i++)
        if ((argc > 2 ? strcmp(argv[2], table[i].name) == 0 : table[i].needs != 0) && koe_cpu_restrict(table[i].name, NULL) == KOE_OK)
            bench_set(&table[i]);
    return 0;
}
