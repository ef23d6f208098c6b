/* refuse.h - what libmicrohttpd refuses by itself - a head that it cannot read or hold, chunks that are none - said as we say it.
 * It has HTML for that and no option to change it. But it queues its pages by its own public MHD_queue_response(), which the dynamic
 * linker finds here first; we send a page of ours and shut the connection. What we queue goes by koe_refuse_not().
 * One thing it leaves without an answer: a first line that has no space in it. The connection is closed.
 * A libmicrohttpd that is linked otherwise (statically, or with -Bsymbolic) keeps its pages; tests/server/test_broken.c tells. */
#ifndef KOE_SERVER_REFUSE_H
#define KOE_SERVER_REFUSE_H
#include <microhttpd.h>

/* libmicrohttpd's own MHD_queue_response(). */
enum MHD_Result koe_refuse_not(struct MHD_Connection *conn, unsigned status, struct MHD_Response *r);
#endif
