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

/* write(2) until all is written; false with errno. */
bool koe_write_all(int fd, const void *data, size_t n_bytes);

/* A file on its way to `path`, beside it under another name: readers see the old or the new, whole, also after a power cut. */
typedef struct koe_file_draft {
    int fd; /* for reading and writing */
    const char *path; /* borrowed */
    char *temp;
    bool unsynced; /* set before the end: without waiting for the disk; after a power cut the file may be torn */
} koe_file_draft;

/* Creates it with the permissions that any new file gets. After a failure there is nothing to end. */
koe_status koe_file_begin(koe_file_draft *d, const char *path, koe_error *err);
/* written: syncs it and renames it over `path`; false: removes it, and fails with errno's message. A failure leaves what `path` was. */
koe_status koe_file_end(koe_file_draft *d, bool written, koe_error *err);
/* Both around these bytes. */
koe_status koe_file_write_atomic(const char *path, const void *data, size_t n_bytes, koe_error *err);

bool koe_file_exists(const char *path);
bool koe_file_is_dir(const char *path);
/* mkdir -p. */
koe_status koe_file_make_dirs(const char *path, koe_error *err);
/* The same for the folder in which `path` lies. */
koe_status koe_file_make_parent(const char *path, koe_error *err);
/* malloc()ed "a/b"; NULL when out of memory. */
char *koe_path_join(const char *a, const char *b);
/* malloc()ed folder of models: $KOE_HOME, else $XDG_DATA_HOME/koe, else ~/.local/share/koe. NULL when out of memory. */
char *koe_path_home(void);
/* malloc()ed folder for what can be made again: $XDG_CACHE_HOME/koe, else ~/.cache/koe. NULL without a home or memory. */
char *koe_path_cache(void);
#endif
