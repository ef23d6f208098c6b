/* Any bytes as what stands in a request's head: the first line is a list or a header's value, the second a token, an address or a path. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static void check(const char *list, const char *item)
{
    char client[64], path[64];
    koe_head_client(list, "127.0.0.1", item, client);
    if (!is_address(client)) abort();
    koe_head_client("127.0.0.0/8, ::/0", "127.0.0.1", list, client);
    if (!is_address(client)) abort();
    if (koe_head_in_networks(list, item) && !is_address(item)) abort();
    koe_head_path(item, path, sizeof path);
    const size_t length = strlen(path);
    if (length > 1 && path[length - 1] == '/') abort();
    if (koe_head_is_id(item) && strpbrk(item, " \r\n\"")) abort(); /* it is sent back in a header */
    if (koe_head_matches_tag(item, "\"0123\"") && !strstr(item, "\"0123\"") && !strchr(item, '*')) abort();
    if (koe_head_takes_gzip(list) && !strcasestr(list, "gzip")) abort();
    koe_head_lists(list, item);
    koe_head_framing framing = { 0 };
    koe_head_add_framing(&framing, list, item);
    if (koe_head_is_clear(&framing) && (!*list || strpbrk(list, " \t:"))) abort();
    koe_head_is_json(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    if (!text) return 0;
    if (n) memcpy(text, data, n);
    text[n] = 0;
    char *item = strchr(text, '\n');
    if (item) *item++ = 0;
    check(text, item ? item : "");
    free(text);
    return 0;
}
