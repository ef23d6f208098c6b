/* json.c - see json.h. */
#include "server/json.h"

#include <stdlib.h>

void koe_json_add(koe_buf *out, json_t *j)
{
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text) koe_buf_adds(out, text);
    else out->failed = true;
    free(text);
    json_decref(j);
}
