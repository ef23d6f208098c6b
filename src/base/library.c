/* library.c - see library.h. */
#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void *koe_library_open(const char *soname, koe_library_failure *failure)
{
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!library && !*failure->message) snprintf(failure->message, sizeof failure->message, "%s", dlerror());
    return library;
}

/* POSIX lets an object pointer of dlsym() hold a function; ISO C has no cast for it. */
void koe_library_find(void *function, void *library, const char *name, koe_library_failure *failure)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    if (!symbol && !*failure->message) snprintf(failure->message, sizeof failure->message, "%s is missing", name);
    memcpy(function, &symbol, sizeof symbol);
}
