/* head.c - see head.h. */
#include "server/head.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "text/utf8.h"

static koe_str trim(const char *p, size_t n) { return koe_str_trim((koe_str){ p, n }); }

/* The next item of a list with commas, *p behind it; false at the end. */
static bool next_item(const char **p, koe_str *item)
{
    if (!*p || !**p) return false;
    const size_t n = strcspn(*p, ",");
    *item = trim(*p, n);
    *p += n + ((*p)[n] == ',');
    return true;
}

void koe_head_make_plain(char *text)
{
    size_t bad;
    const koe_str s = koe_str_of(text);
    while (!koe_utf8_check(s, &bad)) text[bad] = '?';
    for (char *p = text; *p; p++) {
        const unsigned char *c = (const unsigned char *)p;
        if (c[0] < ' ' || c[0] == 0x7f) p[0] = '?';
        else if (c[0] == 0xc2 && c[1] < 0xa0) p[0] = p[1] = '?'; /* U+0080 to U+009F */
    }
}

/* "http://host/path" -> "/path". */
static const char *skip_host(const char *url)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < 2; i++)
        if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0) url += strlen(schemes[i]) + strcspn(url + strlen(schemes[i]), "/");
    return *url ? url : "/";
}

void koe_head_path(const char *url, char *out, size_t cap)
{
    static const char *const doubled[] = { "/audio/speech/audio/speech", "/audio/speech/v1/audio/speech" };
    size_t n = 0;
    out[0] = 0;
    for (const char *p = skip_host(url); *p; p++) {
        if (n && *p == '/' && out[n - 1] == '/') continue;
        if (n + 1 >= cap) n = 0, p += strlen(p) - 1; /* no path of ours */
        else out[n++] = *p;
    }
    while (n > 1 && out[n - 1] == '/') n--;
    out[n] = 0;
    while (strncmp(out, "/v1/", 4) == 0) memmove(out, out + 3, strlen(out + 3) + 1);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(out, doubled[i]) == 0) out[strlen("/audio/speech")] = 0;
    koe_head_make_plain(out);
}

void koe_head_add_framing(koe_head_framing *f, const char *name, const char *value)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const size_t n = strspn(name, token);
    if (!n || name[n]) f->odd = true;
    if (strcasecmp(name, "Content-Length") == 0) f->n_lengths++;
    if (strcasecmp(name, "Host") == 0) f->n_hosts++;
    if (strcasecmp(name, "Transfer-Encoding") != 0) return;
    f->n_encodings++;
    if (!value || strcasecmp(value, "chunked") != 0) f->coded = true;
}

bool koe_head_is_clear(const koe_head_framing *f) { return !f->odd && !f->coded && f->n_lengths + f->n_encodings <= 1 && f->n_hosts <= 1; }

bool koe_head_is_id(const char *s)
{
    const size_t n = s ? strlen(s) : 0;
    return n > 0 && n <= 64 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------ */

typedef struct network {
    unsigned char bytes[16];
    int family, n_bits; /* of the address, or of the network's part of it */
} network;

/* "10.0.0.0/8", "::1". A v4 address inside v6 is the v4 address. */
static bool read_network(koe_str text, network *out)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    char copy[64], *end = NULL;
    snprintf(copy, sizeof copy, "%.*s", KOE_STR_ARG(text));
    if (text.n >= sizeof copy || memchr(text.p, 0, text.n)) return false;
    char *slash = strchr(copy, '/');
    if (slash) *slash++ = 0;
    if (inet_pton(AF_INET, copy, out->bytes) == 1) out->family = AF_INET;
    else if (inet_pton(AF_INET6, copy, out->bytes) == 1) out->family = AF_INET6;
    else return false;
    const int all = out->family == AF_INET ? 32 : 128;
    const long bits = slash ? strtol(slash, &end, 10) : all;
    if (slash && (end == slash || *end || bits < 0 || bits > all || *slash == '+' || *slash == '-' || *slash == ' ')) return false;
    out->n_bits = (int)bits;
    if (out->family == AF_INET6 && memcmp(out->bytes, mapped, sizeof mapped) == 0 && bits >= 96) {
        memmove(out->bytes, out->bytes + 12, 4);
        out->family = AF_INET;
        out->n_bits = (int)bits - 96;
    }
    return true;
}

static bool contains(const network *net, const network *address)
{
    if (net->family != address->family) return false;
    const size_t whole = (size_t)net->n_bits / 8;
    const int rest = net->n_bits % 8;
    if (memcmp(net->bytes, address->bytes, whole) != 0) return false;
    return rest == 0 || (net->bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

const char *koe_head_wrong_network(const char *list, size_t *n)
{
    network net;
    koe_str item;
    while (next_item(&list, &item)) {
        if (read_network(item, &net) || !item.n || koe_str_is(item, KOE_HEAD_UNIX)) continue;
        *n = item.n;
        return item.p;
    }
    return NULL;
}

bool koe_head_in_networks(const char *list, const char *address)
{
    network a, net;
    koe_str item;
    if (strcmp(address, KOE_HEAD_UNIX) == 0) return koe_head_lists(list, address);
    if (!read_network(koe_str_of(address), &a) || strchr(address, '/')) return false;
    while (next_item(&list, &item))
        if (read_network(item, &net) && contains(&net, &a)) return true;
    return false;
}

void koe_head_client(const char *trusted, const char *peer, const char *forwarded, char *out)
{
    enum { CAP = 64 };
    snprintf(out, CAP, "%s", peer);
    if (!*trusted || !forwarded) return;
    size_t end = strlen(forwarded);
    while (end && koe_head_in_networks(trusted, out)) {
        network a;
        size_t from = end;
        while (from && forwarded[from - 1] != ',') from--;
        const koe_str one = trim(forwarded + from, end - from);
        if (!read_network(one, &a) || memchr(one.p, '/', one.n)) return; /* who says so is all that is known */
        inet_ntop(a.family, a.bytes, out, CAP); /* one spelling for one client */
        end = from ? from - 1 : 0;
    }
}

/* ---- lists ------------------------------------------------------------------------------------------------------------------------ */

bool koe_head_lists(const char *list, const char *token)
{
    koe_str item;
    while (next_item(&list, &item))
        if (item.n == strlen(token) && strncasecmp(item.p, token, item.n) == 0) return true;
    return false;
}

void koe_head_tag(char out[KOE_TAG_TEXT], const char *key) { snprintf(out, KOE_TAG_TEXT, "W/\"%.32s\"", key); }

static koe_str without_w(koe_str tag) { return koe_str_starts(tag, KOE_STR("W/")) ? koe_str_sub(tag, 2, tag.n) : tag; }

bool koe_head_matches_tag(const char *list, const char *tag)
{
    koe_str item;
    while (next_item(&list, &item)) {
        if (koe_str_is(item, "*") || koe_str_eq(without_w(item), without_w(koe_str_of(tag)))) return true;
    }
    return false;
}

bool koe_head_takes_gzip(const char *list)
{
    koe_str item;
    while (next_item(&list, &item)) {
        const char *semicolon = memchr(item.p, ';', item.n);
        const koe_str name = trim(item.p, semicolon ? (size_t)(semicolon - item.p) : item.n);
        const koe_str q = semicolon ? trim(semicolon + 1, item.n - (size_t)(semicolon + 1 - item.p)) : KOE_STR("q=1");
        if (name.n != 4 || strncasecmp(name.p, "gzip", 4) != 0) continue;
        size_t i = koe_str_starts(q, KOE_STR("q=")) ? 2 : q.n;
        while (i < q.n && (q.p[i] == '0' || q.p[i] == '.')) i++;
        return i < q.n || !koe_str_starts(q, KOE_STR("q="));
    }
    return false;
}

bool koe_head_is_json(const char *type)
{
    if (!type || !*type) return true;
    const koe_str kind = trim(type, strcspn(type, ";"));
    return (kind.n == 16 && strncasecmp(kind.p, "application/json", 16) == 0) || (kind.n > 5 && strncasecmp(kind.p + kind.n - 5, "+json", 5) == 0);
}
