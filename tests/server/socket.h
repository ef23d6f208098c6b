/* socket.h - the client's side of the WebSocket, for tests. */
#ifndef TESTS_SERVER_SOCKET_H
#define TESTS_SERVER_SOCKET_H
#include "server.h"

/* A client's message: masked, as RFC 6455 wants it. */
static inline void send_frame(int fd, int opcode, const void *data, size_t n)
{
    unsigned char head[14] = { (unsigned char)(0x80 | opcode) };
    size_t k = 2;
    const unsigned char mask[4] = { 1, 2, 3, 4 };
    unsigned char *masked = malloc(n + 1);
    if (n < 126) {
        head[1] = (unsigned char)(0x80 | n);
    } else {
        assert_true(n < 65536);
        head[1] = 0x80 | 126;
        head[k++] = (unsigned char)(n >> 8);
        head[k++] = (unsigned char)n;
    }
    memcpy(head + k, mask, 4);
    for (size_t i = 0; i < n; i++) masked[i] = ((const unsigned char *)data)[i] ^ mask[i % 4];
    assert_true(send_all(fd, head, k + 4) && send_all(fd, masked, n));
    free(masked);
}
static inline void say_json(int fd, const char *json) { send_frame(fd, 1, json, strlen(json)); }

/* A message of the server; its opcode, -1 at the end of the connection. */
static inline int read_frame(int fd, koe_buf *out)
{
    unsigned char head[10];
    koe_buf_clear(out);
    if (recv(fd, head, 2, MSG_WAITALL) != 2) return -1;
    uint64_t n = head[1];
    const size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    if (more) {
        assert_int_equal(recv(fd, head + 2, more, MSG_WAITALL), (ssize_t)more);
        n = 0;
        for (size_t i = 0; i < more; i++) n = n << 8 | head[2 + i];
    }
    assert_true(koe_buf_reserve(out, (size_t)n + 1));
    assert_int_equal(recv(fd, out->data, (size_t)n, MSG_WAITALL), (ssize_t)n);
    out->n = (size_t)n;
    out->data[n] = 0;
    return head[0] & 15;
}

static inline int open_socket(const server *s)
{
    reply r;
    const int fd = dial(s);
    send_request(fd, "GET", "/v1/audio/speech/ws",
                 "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", NULL);
    /* the example of RFC 6455, 1.3; read_reply() would wait for more after 101 */
    size_t n = 0;
    memset(&r, 0, sizeof r);
    while (!strstr(r.head, "\r\n\r\n") && n + 1 < sizeof r.head && recv(fd, r.head + n, 1, 0) == 1) n++;
    assert_int_equal(strncmp(r.head, "HTTP/1.1 101 ", 13), 0);
    assert_string_equal(header(&r, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    return fd;
}
#endif
