/* pages.c - GET / (the studio), GET /dashboard and what they load. They need nothing from elsewhere, and may load nothing. */
#include "server/pages.h"

#include "server/http.h"

static enum MHD_Result reply_page(koe_call *c, koe_str name)
{
    const koe_page *p = koe_pages;
    while (p->name && !koe_str_is(name, p->name)) p++;
    if (!p->name) return koe_reply_error(c, 404, "not_found", NULL, "there is no such page");
    const char *have = koe_call_header(c, "If-None-Match"), *accepted = koe_call_header(c, "Accept-Encoding");
    const bool same = have && strstr(have, p->tag), zipped = accepted && strstr(accepted, "gzip");
    const koe_str body = same ? (koe_str){ "", 0 } : zipped ? p->gzip : p->plain;
    struct MHD_Response *r = MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    c->n_sent = body.n;
    MHD_add_response_header(r, "ETag", p->tag);
    MHD_add_response_header(r, "Cache-Control", "no-cache");
    MHD_add_response_header(r, "Vary", "Accept-Encoding");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(r, "Content-Security-Policy", "default-src 'self'; media-src 'self' blob:; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
    if (zipped && !same) MHD_add_response_header(r, "Content-Encoding", "gzip");
    return koe_reply(c, same ? 304 : 200, p->type, r);
}

enum MHD_Result koe_route_studio(koe_call *c) { return reply_page(c, KOE_STR("studio.html")); }
enum MHD_Result koe_route_dashboard(koe_call *c) { return reply_page(c, KOE_STR("dashboard.html")); }
enum MHD_Result koe_route_web(koe_call *c) { return reply_page(c, c->tail); }
