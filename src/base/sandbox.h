/* sandbox.h - what this process may still do, from here on: fewer files (Landlock), fewer system calls (seccomp), no way back to more rights.
 * Called before any thread is started: both bind the thread that calls and all that come from it, helpers included. */
#ifndef KOE_BASE_SANDBOX_H
#define KOE_BASE_SANDBOX_H
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { KOE_SANDBOX_PATHS = 256 };

/* Zero-initialise. Paths that are not there are left out; "" and NULL too. */
typedef struct koe_sandbox {
    const char *read[KOE_SANDBOX_PATHS]; /* files and folders with all below them */
    const char *write[KOE_SANDBOX_PATHS]; /* folders: files are made, written, renamed and removed there */
    const char *run[KOE_SANDBOX_PATHS]; /* programs that may be started */
    size_t n_read, n_write, n_run;
    bool no_network; /* no sockets but those that are open */
} koe_sandbox;

/* What this kernel has of it. */
bool koe_sandbox_has_files(void);
bool koe_sandbox_has_calls(void);

/* Never gains rights again (no_new_privs), no core dumps and no debugger (dumpable 0), then files and system calls. need: KOE_E_UNSUPPORTED
 * where the kernel lacks one of the two; else what there is. Other system calls than those of the list in sandbox.c fail with EPERM. */
koe_status koe_sandbox_enter(const koe_sandbox *s, bool need, koe_error *err);
/* Becomes the user of this name or number, with its groups, for good: no_new_privs and dumpable 0 as above. KOE_E_NOT_FOUND: no such user; KOE_E_IO: not allowed. */
koe_status koe_sandbox_become(const char *user, koe_error *err);
#endif
