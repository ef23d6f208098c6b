/* Any bytes as what a client sends through a WebSocket: input that begins with 0xff is the bytes of the connection, other input is messages,
 * one on each line. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "server/models.h"
#include "server/request.h"
#include "server/voices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* As much of a server as a socket needs: nothing is installed. */
static koe_server *server(void)
{
    static const koe_config config = { .home = "/nowhere", .model = "", .piper_model = "", .voices = "", .precision = "auto", .voice = "", .provider = "auto",
                                       .fallback = "missing,language,overloaded", .lexicon = "", .threads = 1, .max_text = 1000, .keys = "", .api_key = "", .max_sockets = 1 };
    static koe_server s = { .config = &config };
    if (s.metrics) return &s;
    setenv("KOE_LOG_LEVEL", "error", 1);
    setenv("KOE_BIN", "/bin/false", 0); /* no helper: speech fails, and the socket must bear it */
    s.metrics = koe_metrics_create();
    if (!s.metrics || koe_models_open(&s.models, &config, NULL, NULL, NULL) != KOE_OK || koe_saved_open(&s.saved, "/nowhere", NULL) != KOE_OK ||
        koe_keys_open(&s.keys, &config, NULL) != KOE_OK || koe_sched_create(&s.sched, 1, 1, 10, NULL) != KOE_OK)
        abort();
    return &s;
}

/* A text frame with a mask of zeros. */
static void add_frame(koe_buf *out, koe_str text)
{
    const unsigned char head[] = { 0x81, 0xfe, (unsigned char)(text.n >> 8), (unsigned char)text.n, 0, 0, 0, 0 };
    koe_buf_add(out, head, sizeof head);
    koe_buf_add(out, text.p, text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { MOST = 60000 };
    koe_buf bytes = { 0 };
    if (n > MOST) return 0;
    if (n && data[0] == 0xff) koe_buf_add(&bytes, data + 1, n - 1);
    for (koe_str rest = { (const char *)data, n && data[0] != 0xff ? n : 0 }; rest.n;) {
        const char *end = memchr(rest.p, '\n', rest.n);
        const size_t line = end ? (size_t)(end - rest.p) : rest.n;
        add_frame(&bytes, koe_str_sub(rest, 0, line));
        rest = koe_str_sub(rest, line + (end != NULL), rest.n);
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) abort();
    shutdown(pair[0], SHUT_WR);
    koe_socket_talk(server(), pair[1], koe_buf_str(&bytes));
    close(pair[0]);
    close(pair[1]);
    koe_buf_free(&bytes);
    return 0;
}
