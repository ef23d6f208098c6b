/* metrics.c - see metrics.h. */
#include "server/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/head.h"

enum { N_BUCKETS = 18, MAX_VALUES = 100, VALUE_BYTES = 64 };

typedef struct histogram {
    double end[N_BUCKETS];
    _Atomic uint64_t count[N_BUCKETS + 1];
    _Atomic uint64_t sum_us;
} histogram;

typedef struct labelled {
    char value[VALUE_BYTES];
    uint64_t count;
} labelled;

struct koe_metrics {
    histogram histogram[KOE_N_HISTOGRAM];
    _Atomic uint64_t audio_us;
    pthread_mutex_t lock; /* guards the counters */
    labelled counter[KOE_N_COUNTER][MAX_VALUES + 1];
    size_t n_values[KOE_N_COUNTER];
};

#define HISTOGRAM_ROW(id, name, help, first, factor) { name, help, first, factor },
static const struct {
    const char *name, *help;
    double first, factor;
} histograms[] = { KOE_HISTOGRAM_LIST(HISTOGRAM_ROW) };
#define COUNTER_ROW(id, name, label, help) { name, label, help },
static const struct {
    const char *name, *label, *help;
} counters[] = { KOE_COUNTER_LIST(COUNTER_ROW) };

koe_metrics *koe_metrics_create(void)
{
    koe_metrics *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    pthread_mutex_init(&m->lock, NULL);
    for (size_t i = 0; i < KOE_N_HISTOGRAM; i++) {
        double end = histograms[i].first;
        for (size_t k = 0; k < N_BUCKETS; k++, end *= histograms[i].factor) m->histogram[i].end[k] = end;
    }
    return m;
}

void koe_metrics_destroy(koe_metrics *m)
{
    if (!m) return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void koe_metrics_observe(koe_metrics *m, koe_histogram h, double value)
{
    histogram *at = &m->histogram[h];
    size_t k = 0;
    while (k < N_BUCKETS && value > at->end[k]) k++;
    atomic_fetch_add_explicit(&at->count[k], 1, memory_order_relaxed);
    if (value > 0) atomic_fetch_add_explicit(&at->sum_us, (uint64_t)(value * 1e6), memory_order_relaxed);
}

void koe_metrics_count(koe_metrics *m, koe_counter c, const char *value)
{
    char cut[VALUE_BYTES];
    snprintf(cut, sizeof cut, "%s", value);
    koe_head_make_plain(cut); /* it may end within a character */
    pthread_mutex_lock(&m->lock);
    size_t i = 0;
    while (i < m->n_values[c] && strcmp(m->counter[c][i].value, cut) != 0) i++;
    if (i >= MAX_VALUES) {
        i = MAX_VALUES;
        snprintf(cut, sizeof cut, "other");
    }
    if (i >= m->n_values[c]) {
        memcpy(m->counter[c][i].value, cut, sizeof cut);
        m->n_values[c] = i + 1;
    }
    m->counter[c][i].count++;
    pthread_mutex_unlock(&m->lock);
}

void koe_metrics_spoke(koe_metrics *m, double audio_s)
{
    if (audio_s > 0) atomic_fetch_add_explicit(&m->audio_us, (uint64_t)(audio_s * 1e6), memory_order_relaxed);
}

double koe_metrics_audio_s(koe_metrics *m) { return (double)atomic_load(&m->audio_us) / 1e6; }

static void write_histogram(const histogram *h, size_t i, koe_buf *out)
{
    const char *name = histograms[i].name;
    uint64_t total = 0;
    koe_buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, histograms[i].help, name);
    for (size_t k = 0; k < N_BUCKETS; k++) {
        total += atomic_load_explicit(&h->count[k], memory_order_relaxed);
        koe_buf_printf(out, "%s_bucket{le=\"%.6g\"} %llu\n", name, h->end[k], (unsigned long long)total);
    }
    total += atomic_load_explicit(&h->count[N_BUCKETS], memory_order_relaxed);
    koe_buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n", name, (unsigned long long)total, name,
                   (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6, name, (unsigned long long)total);
}

/* With \, " and newline escaped, as the format wants. */
static void write_value(const char *value, koe_buf *out)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"') koe_buf_addc(out, '\\');
        if (*value == '\n') koe_buf_adds(out, "\\n");
        else koe_buf_addc(out, *value);
    }
}

void koe_metrics_write(koe_metrics *m, koe_buf *out)
{
    for (size_t i = 0; i < KOE_N_HISTOGRAM; i++) write_histogram(&m->histogram[i], i, out);
    koe_buf_printf(out, "# HELP koe_audio_seconds_total speech made\n# TYPE koe_audio_seconds_total counter\nkoe_audio_seconds_total %.3f\n",
                   koe_metrics_audio_s(m));
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < KOE_N_COUNTER; i++) {
        koe_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", counters[i].name, counters[i].help, counters[i].name);
        for (size_t k = 0; k < m->n_values[i]; k++) {
            koe_buf_printf(out, "%s{%s=\"", counters[i].name, counters[i].label);
            write_value(m->counter[i][k].value, out);
            koe_buf_printf(out, "\"} %llu\n", (unsigned long long)m->counter[i][k].count);
        }
    }
    pthread_mutex_unlock(&m->lock);
}
