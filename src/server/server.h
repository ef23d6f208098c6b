/* server.h - koe over HTTP: the speech API of OpenAI, Kokoro-FastAPI's additions, and what running a service needs.
 *
 *     client --> http.c (libmicrohttpd: connections, routes, limits) --> keys.c (who, how much)
 *            --> request.c (JSON -> speech request) --> cache.c (made before?) --> speech.c (a job) --> sched.c (whose turn)
 *            --> koe_speaking_next, encoder --> answer.c (bytes, readers) --> http.c --> client
 *     voices.c, captioned.c, ops.c, ws.c + live.c  more routes   watch.c    clients that leave or dawdle
 *     recall.c  sentences made before       redis.c    the cache that machines share
 *     warm.c    phrases made beforehand     wrap.c     what the sound is wrapped in
 *     choose.c  whose voice                 models.c   the engine and its successors     head.c     what a request's head says
 *     guard.c   sandbox, user               tls.c      certificates                      systemd.c  what a supervisor hears
 *     config.c  all settings                metrics.c  counters            problem.c  errors as clients expect them
 *     refuse.c  the same for what libmicrohttpd does not take
 *
 * Threads: libmicrohttpd's few own the connections and never wait for speech; the scheduler's workers make speech and never wait for a
 * client; an answer is all they share. A slow client parks its job, a client that leaves cancels it. No thread holds two locks. */
#ifndef KOE_SERVER_SERVER_H
#define KOE_SERVER_SERVER_H
#include "server/config.h"

/* Serves until SIGTERM or SIGINT, then lets running streams finish (config->drain_s at most). Prints one line on stdout,
 * "koe: listening on http://HOST:PORT" or "... on unix:PATH", once clients may come. `config` is borrowed. */
koe_status koe_serve(const koe_config *config, koe_error *err);
#endif
