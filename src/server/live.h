/* live.h - speech of a text that is still being written: sentences are spoken as soon as they are complete, through one encoder, so that
 * all of the sound is one stream.
 *     koe_live_text ... koe_live_flush ... koe_live_end --> a job of the scheduler --> messages in an outbox
 * Threads: an outbox and a koe_live are shared by one client's thread and the workers. */
#ifndef KOE_SERVER_LIVE_H
#define KOE_SERVER_LIVE_H
#include "server/request.h"

/* A message to the client: JSON, or sound when `binary`. */
typedef struct koe_message {
    struct koe_message *next;
    bool binary;
    koe_buf bytes;
} koe_message;

typedef struct koe_outbox koe_outbox;
/* One reference, the caller's; NULL when out of memory or descriptors. */
koe_outbox *koe_outbox_create(void);
void koe_outbox_unref(koe_outbox *o);
/* An eventfd that is readable when something has happened: a message, or the end. */
int koe_outbox_fd(const koe_outbox *o);
/* Takes the JSON; NULL is out of memory. A message that finds no memory is lost, and the outbox says so by koe_outbox_failed(). */
void koe_outbox_put_json(koe_outbox *o, json_t *j);
/* The oldest message, NULL when there is none; the caller frees it. */
koe_message *koe_outbox_take(koe_outbox *o);
void koe_message_free(koe_message *m);
bool koe_outbox_is_empty(koe_outbox *o);
bool koe_outbox_failed(koe_outbox *o);

typedef struct koe_live koe_live;

/* owner: as koe_job's. Takes *u in every case; borrows nothing. NULL: *p says why not. */
koe_live *koe_live_start(koe_server *s, koe_utterance *u, uint64_t owner, koe_outbox *o, koe_problem *p);
/* False when out of memory. Text after the end is ignored. */
bool koe_live_text(koe_live *l, koe_str text);
/* Speaks what there is, though the sentence may go on. */
void koe_live_flush(koe_live *l);
/* There will be no more text: "done" follows the last sound. */
void koe_live_end(koe_live *l);
/* Stops at once: "done" with "cancelled": true follows. */
void koe_live_cancel(koe_live *l);
/* The outbox has room again. */
void koe_live_drained(koe_live *l);
/* It has come to its end, and another one may start; "done" or "error" is on its way to the outbox, */
bool koe_live_is_over(koe_live *l);
/* and has been put there. */
bool koe_live_is_told(koe_live *l);
/* Cancels what is not over and lets go. NULL is fine. */
void koe_live_close(koe_live *l);
#endif
