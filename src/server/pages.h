/* pages.h - the studio and the dashboard (web/), embedded in the program by scripts/embed.py. */
#ifndef KOE_SERVER_PAGES_H
#define KOE_SERVER_PAGES_H
#include "base/str.h"

typedef struct koe_page {
    const char *name, *type, *tag; /* file name, Content-Type, ETag; name NULL: the end */
    koe_str plain, gzip;
} koe_page;

extern const koe_page koe_pages[];
#endif
