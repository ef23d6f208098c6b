/* sink.h - where speech goes: a WAV file, raw samples, or a player on this machine. */
#ifndef KOE_CLI_SINK_H
#define KOE_CLI_SINK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct koe_sink koe_sink;

typedef enum koe_sink_kind { KOE_SINK_WAV, KOE_SINK_PCM, KOE_SINK_PLAYER } koe_sink_kind;

/* path: a file, or "-" for stdout; not used by a player. An existing file is replaced. On an error later on, what was written
 * before it stays and is valid. Samples are 16-bit little endian, mono; PCM has no header. */
koe_status koe_sink_open(koe_sink **out, koe_sink_kind kind, const char *path, int rate_hz, koe_error *err);
koe_status koe_sink_write(koe_sink *s, const float *samples, size_t n, koe_error *err);
/* Waits until a player has finished. Frees in every case. */
koe_status koe_sink_close(koe_sink *s, koe_error *err);

/* The player that KOE_SINK_PLAYER would use, NULL when there is none, or nothing to play on. Static memory. */
const char *koe_sink_player(void);
/* Finds out, before any work is done, that `path` cannot become a file: a folder, or in a folder that does not exist. */
koe_status koe_sink_check_path(const char *path, koe_error *err);
#endif
