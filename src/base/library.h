/* library.h - shared libraries that are loaded when they are first needed, because few processes need them and each brings others:
 * FFmpeg 60 (25 MB, 50 ms of a start), libespeak-ng and libcurl 30 each. The caller keeps a table of the functions that it calls, with the
 * types of the header: `__typeof__(name) *name`. */
#ifndef KOE_BASE_LIBRARY_H
#define KOE_BASE_LIBRARY_H

/* What was the first thing that was not there; empty: nothing. */
typedef struct koe_library_failure {
    char message[256];
} koe_library_failure;

/* The library of this name ("libcurl.so.4"), which stays loaded for the life of the process. NULL: not here. */
void *koe_library_open(const char *soname, koe_library_failure *failure);

/* The address of a function into the pointer to a function at `function`; NULL where the library, or it in it, is missing. */
void koe_library_find(void *function, void *library, const char *name, koe_library_failure *failure);
#endif
