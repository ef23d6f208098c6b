/* metrics.h - what is counted, for GET /metrics in Prometheus' text format. Histograms are lock-free; the few counters with labels share
 * a lock that is held for a look-up. Threads: any. */
#ifndef KOE_SERVER_METRICS_H
#define KOE_SERVER_METRICS_H
#include <stdint.h>

#include "base/str.h"

typedef struct koe_metrics koe_metrics;

#define KOE_HISTOGRAM_LIST(X) /* name, help, first bucket's end, factor */                                                        \
    X(FIRST_BYTE, "koe_time_to_first_byte_seconds", "from the request's arrival to the first byte of its answer", 0.0005, 2)        \
    X(REQUEST, "koe_request_seconds", "from the request's arrival to the end of its answer", 0.0005, 2)                             \
    X(QUEUE, "koe_queue_wait_seconds", "from admission to the first turn", 0.0005, 2)                                               \
    X(PHONEMISE, "koe_phonemise_seconds", "reading a request's text", 0.0005, 2)                                                    \
    X(SYNTHESIS, "koe_synthesis_seconds", "making one segment", 0.002, 2)                                                           \
    X(ENCODE, "koe_encode_seconds", "encoding one segment", 0.0001, 2)                                                              \
    X(REALTIME, "koe_real_time_factor", "seconds of work for a second of sound, by segment", 0.005, 1.6)
#define KOE_HISTOGRAM_ENUM(id, name, help, first, factor) KOE_HISTOGRAM_##id,
typedef enum koe_histogram { KOE_HISTOGRAM_LIST(KOE_HISTOGRAM_ENUM) KOE_N_HISTOGRAM } koe_histogram;
#undef KOE_HISTOGRAM_ENUM

#define KOE_COUNTER_LIST(X) /* name, label, help */                                                                                \
    X(REQUESTS, "koe_requests_total", "status", "requests by status")                                                               \
    X(VOICES, "koe_speech_requests_total", "voice", "speech requests by voice")                                                     \
    X(FORMATS, "koe_speech_formats_total", "format", "speech requests by format")                                                   \
    X(CACHE, "koe_cache_requests_total", "result", "speech requests by what the cache had")                                         \
    X(REFUSED, "koe_refused_total", "reason", "requests refused at the door")                                                       \
    X(FALLBACKS, "koe_fallbacks_total", "reason", "requests for which another voice spoke than asked for")                          \
    X(CANCELLED, "koe_cancelled_total", "stage", "requests whose client left")
#define KOE_COUNTER_ENUM(id, name, label, help) KOE_COUNTER_##id,
typedef enum koe_counter { KOE_COUNTER_LIST(KOE_COUNTER_ENUM) KOE_N_COUNTER } koe_counter;
#undef KOE_COUNTER_ENUM

/* NULL when out of memory. */
koe_metrics *koe_metrics_create(void);
void koe_metrics_destroy(koe_metrics *m);
void koe_metrics_observe(koe_metrics *m, koe_histogram h, double value);
/* A label value beyond the first 100 of its counter counts as "other". */
void koe_metrics_count(koe_metrics *m, koe_counter c, const char *label_value);
void koe_metrics_spoke(koe_metrics *m, double audio_s);
double koe_metrics_audio_s(koe_metrics *m);
/* Appends all of it. */
void koe_metrics_write(koe_metrics *m, koe_buf *out);
#endif
