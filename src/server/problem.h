/* problem.h - what went wrong, as HTTP clients expect it: {"error":{"message","type","param","code"}}, always all four. */
#ifndef KOE_SERVER_PROBLEM_H
#define KOE_SERVER_PROBLEM_H
#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* Zero-initialise; status 0 is no problem. */
typedef struct koe_problem {
    int status; /* of HTTP */
    const char *code, *param; /* static; param may be NULL */
    int retry_after_s; /* 0: none */
    char message[512];
} koe_problem;

/* Fills *p and returns false, so that `return koe_problem_set(...)` reads as one step. */
bool koe_problem_set(koe_problem *p, int status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for a failure of the engine. What is not the client's doing becomes a 500 that tells nothing of the inside; the cause goes
 * to the log. */
void koe_problem_of(koe_problem *p, const koe_error *err);
/* {"error": {...}}; NULL when out of memory. */
json_t *koe_problem_json(const koe_problem *p);
#endif
