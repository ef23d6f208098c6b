/* log.h - one line to stderr per event. Whoever handles an error logs it, once. Threads: any. */
#ifndef KOE_BASE_LOG_H
#define KOE_BASE_LOG_H
#include <stdbool.h>

typedef enum koe_log_level { KOE_LOG_ERROR, KOE_LOG_WARN, KOE_LOG_INFO, KOE_LOG_DEBUG } koe_log_level;

/* Lines above the level are not formatted. Default: KOE_LOG_WARN, or what $KOE_LOG_LEVEL names. */
void koe_log_set_level(koe_log_level level);
koe_log_level koe_log_get_level(void);
/* Lines as JSON objects {"time","level","message"} from now on, or as text again. */
void koe_log_set_json(bool on);
/* Now, as "2026-01-31T12:00:00.123Z"; out: 32 bytes. */
void koe_log_time(char *out);
void koe_log(koe_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
