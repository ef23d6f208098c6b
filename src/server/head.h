/* head.h - what is read out of a request's head: path, request id, the client's address, entity tags, kinds of content. Pure functions
 * of hostile text. */
#ifndef KOE_SERVER_HEAD_H
#define KOE_SERVER_HEAD_H
#include <stdbool.h>
#include <stddef.h>

/* Replaces what may stand neither in a line of the log nor in JSON by '?': control characters, bytes that are not UTF-8. */
void koe_head_make_plain(char *text);
/* "/v1/audio/speech/audio/speech/" -> "/audio/speech": without /v1, doubled parts and slashes, a slash at the end, scheme and host of a URL.
 * Plain, as above. A path that does not fit is "". */
void koe_head_path(const char *url, char *out, size_t cap);
/* How a request says where its body ends. Zero-initialise; add every line of the head. */
typedef struct koe_head_framing {
    int n_lengths, n_encodings, n_hosts; /* Content-Length, Transfer-Encoding, Host */
    bool coded, odd; /* a Transfer-Encoding other than chunked; a name that is none */
} koe_head_framing;
void koe_head_add_framing(koe_head_framing *f, const char *name, const char *value);
/* Whether all who read this request find the same end of it. Else proxies before us may take a part of it for another one's request. */
bool koe_head_is_clear(const koe_head_framing *f);
/* An id that may stand in headers and logs: 1 to 64 letters, digits, dots, dashes and underscores. NULL is none. */
bool koe_head_is_id(const char *s);
/* The address of who comes over a Unix socket: a proxy on this machine. */
#define KOE_HEAD_UNIX "unix:"
/* Whether an address (of IPv4 or IPv6) is one of a list with commas: "127.0.0.1, 10.0.0.0/8, fd00::/8, unix:". */
bool koe_head_in_networks(const char *list, const char *address);
/* The first item of such a list that is neither an address nor a network, of *n bytes; NULL: all are. */
const char *koe_head_wrong_network(const char *list, size_t *n);
/* The nearest address that is not a trusted proxy: the peer, or what trusted proxies say in X-Forwarded-For (NULL: nothing). out: 64 bytes. */
void koe_head_client(const char *trusted, const char *peer, const char *forwarded, char *out);
/* Whether the list with commas names the token, in any case. NULL is an empty list. */
bool koe_head_lists(const char *list, const char *token);
enum { KOE_TAG_TEXT = 40 };
/* The ETag of an answer by its key. A weak one: the same speech, but where a stream's first pieces end depends on how quick the machine was. */
void koe_head_tag(char out[KOE_TAG_TEXT], const char *key);
/* Whether If-None-Match names the tag, compared weakly, or is *. NULL is an empty list. */
bool koe_head_matches_tag(const char *list, const char *tag);
/* Whether Accept-Encoding takes gzip: named, and not with q=0. NULL is an empty list. */
bool koe_head_takes_gzip(const char *list);
/* Whether Content-Type is JSON's, or that of one of its kin (application/problem+json); none at all is taken for JSON. */
bool koe_head_is_json(const char *type);
#endif
