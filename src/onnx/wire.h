/* wire.h - the protobuf wire format, read in place.
 *     message = field*          field = tag, content          tag = varint(field number << 3 | wire type)
 *     wire type  0 varint   1 eight bytes   2 varint length, then so many bytes   3, 4 start and end of a group (obsolete)   5 four bytes
 * A varint has seven bits a byte, lowest first; the top bit says that more follow. Numbers are little endian.
 * Nothing is allocated: a submessage is a koe_wire over the same bytes. Threads: reentrant. */
#ifndef KOE_ONNX_WIRE_H
#define KOE_ONNX_WIRE_H
#include "base/str.h"

typedef enum koe_wire_type {
    KOE_WIRE_VARINT = 0,
    KOE_WIRE_64 = 1,
    KOE_WIRE_BYTES = 2,
    KOE_WIRE_GROUP = 3,
    KOE_WIRE_GROUP_END = 4,
    KOE_WIRE_32 = 5,
} koe_wire_type;

/* What is left of a message. */
typedef struct koe_wire {
    const unsigned char *p, *end;
    const unsigned char *base; /* start of the file: messages give offsets from here */
} koe_wire;

typedef struct koe_wire_field {
    uint32_t number; /* 0: the message has ended */
    koe_wire_type type; /* never a group: those are skipped */
    uint64_t value; /* of a varint, 64 or 32 bits */
    koe_wire bytes;
} koe_wire_field;

static inline koe_wire koe_wire_of(const void *p, size_t n) { return (koe_wire){ p, (const unsigned char *)p + n, p }; }
static inline size_t koe_wire_left(koe_wire w) { return (size_t)(w.end - w.p); }
static inline size_t koe_wire_at(koe_wire w) { return (size_t)(w.p - w.base); }

/* The next field, or number 0 at the end. KOE_E_FORMAT, naming the offset, when the bytes are not protobuf. */
koe_status koe_wire_next(koe_wire *w, koe_wire_field *f, koe_error *err);
koe_status koe_wire_varint(koe_wire *w, uint64_t *out, koe_error *err);
/* How often each field below KOE_WIRE_COUNTED occurs in the whole of `w`; KOE_E_LIMIT above KOE_WIRE_MAX_ITEMS. */
enum { KOE_WIRE_COUNTED = 32, KOE_WIRE_MAX_ITEMS = 1 << 20 };
koe_status koe_wire_count(koe_wire w, size_t count[KOE_WIRE_COUNTED], koe_error *err);

/* A field as the type its message declares; KOE_E_FORMAT when it was written as another. */
koe_status koe_wire_as_message(const koe_wire_field *f, koe_wire *out, koe_error *err);
koe_status koe_wire_as_str(const koe_wire_field *f, koe_str *out, koe_error *err);
koe_status koe_wire_as_int(const koe_wire_field *f, int64_t *out, koe_error *err);
koe_status koe_wire_as_float(const koe_wire_field *f, float *out, koe_error *err);

/* Elements that one occurrence of a repeated number holds: 1, or more when packed. `type` is the number's own wire type. */
koe_status koe_wire_repeated(const koe_wire_field *f, koe_wire_type type, size_t *n, koe_error *err);
#endif
