/* file.h - whole files: mapped for reading, replaced atomically for writing, and koe's folders. */
#ifndef KOE_BASE_FILE_H
#define KOE_BASE_FILE_H
#include <stdbool.h>

#include "base/str.h"

/* A file mapped read-only. An empty file has p == "" and n == 0. */
typedef struct koe_mapping {
    const unsigned char *p;
    size_t n;
} koe_mapping;

/* KOE_E_NOT_FOUND, KOE_E_FORMAT for a folder or device, KOE_E_IO; the message names the path. */
koe_status koe_file_map(koe_mapping *out, const char *path, koe_error *err);
void koe_file_unmap(koe_mapping *m);
/* Reads a whole file into a malloc()ed buffer, NUL-terminated. KOE_E_LIMIT beyond max_bytes. path "-" is stdin. */
koe_status koe_file_read(koe_buf *out, const char *path, size_t max_bytes, koe_error *err);
/* Writes to a temporary file in the same folder, syncs, renames over `path`: readers see the old or the new, whole. */
koe_status koe_file_write_atomic(const char *path, const void *data, size_t n_bytes, koe_error *err);
bool koe_file_exists(const char *path);
bool koe_file_is_dir(const char *path);
/* mkdir -p. */
koe_status koe_file_make_dirs(const char *path, koe_error *err);
/* malloc()ed "a/b"; NULL when out of memory. */
char *koe_path_join(const char *a, const char *b);
/* malloc()ed folder of models: $KOE_HOME, else $XDG_DATA_HOME/koe, else ~/.local/share/koe. NULL when out of memory. */
char *koe_path_home(void);
/* malloc()ed folder for what can be made again: $XDG_CACHE_HOME/koe, else ~/.cache/koe. NULL without a home or memory. */
char *koe_path_cache(void);
#endif
