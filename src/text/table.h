/* table.h - a mapped text file, a record a line, "key<separator>value", with an index in memory: an open hash of the offsets of its lines.
 * Threads: read-only once opened. */
#ifndef KOE_TEXT_TABLE_H
#define KOE_TEXT_TABLE_H
#include "base/file.h"

typedef struct koe_table {
    koe_mapping file; /* or memory of the caller's */
    bool borrowed;
    char separator;
    uint32_t *slot; /* offset + 1 of a line; 0: free */
    size_t n_slots;
} koe_table;

/* separator '\n': lines are keys without values. Of equal keys the first counts. */
koe_status koe_table_open(koe_table *t, const char *dir, const char *name, char separator, koe_error *err);
/* The same from a text in memory, which must outlive the table. */
koe_status koe_table_read(koe_table *t, koe_str text, char separator, koe_error *err);
void koe_table_close(koe_table *t);
/* The value of a key, without white space at its ends; p == NULL when it is not in the table. */
koe_str koe_table_find(const koe_table *t, koe_str key);
/* The key of the line at *at, which moves to the next line. */
koe_str koe_table_line(const koe_table *t, size_t *at);
#endif
