/* json.h - JSON on its way out. */
#ifndef KOE_SERVER_JSON_H
#define KOE_SERVER_JSON_H
#include <jansson.h>

#include "base/str.h"

/* Appends j as compact text and takes it. NULL, or no memory for the text, fails the buffer. */
void koe_json_add(koe_buf *out, json_t *j);
#endif
