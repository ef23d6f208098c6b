/* guard.h - what the server may do once its socket is open: as whom it runs (`user`), and which files and system calls are left (`sandbox`). */
#ifndef KOE_SERVER_GUARD_H
#define KOE_SERVER_GUARD_H
#include "server/config.h"

/* Before any thread is started. Makes the folders that are written, which the sandbox must find. */
koe_status koe_guard_enter(const koe_config *c, koe_error *err);
#endif
