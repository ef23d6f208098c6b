/* sink.h - where speech goes: a file or stdout in some format, or a player on this machine. */
#ifndef KOE_CLI_SINK_H
#define KOE_CLI_SINK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct koe_sink koe_sink;

/* format: a name of audio/encode.h; NULL: a player. path: a file, or "-" for stdout; not used by a player. An existing file is
 * replaced. On an error later on, what was written before it stays and is valid. What a pipe gets is a stream, a file gets exact
 * headers: those of mp3 and flac, with all that follows them, when it is closed. */
koe_status koe_sink_open(koe_sink **out, const char *format, const char *path, int rate_hz, koe_error *err);
koe_status koe_sink_write(koe_sink *s, const float *samples, size_t n, koe_error *err);
/* Waits until a player has finished. Frees in every case. */
koe_status koe_sink_close(koe_sink *s, koe_error *err);

/* Finds out, before any work is done, that the format is unknown or that this machine cannot make it. */
koe_status koe_sink_check_format(const char *format, koe_error *err);
/* The player that would be used, NULL when there is none, or nothing to play on. Static memory. */
const char *koe_sink_player(void);
/* Finds out, before any work is done, that `path` cannot become a file: a folder, or in a folder that does not exist. */
koe_status koe_sink_check_path(const char *path, koe_error *err);
#endif
