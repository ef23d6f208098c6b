/* align.c - which part of one phoneme string answers which part of another: words spoken one by one against words spoken in one breath. */
#include <stdlib.h>

#include "text/front.h"

/* Edit distance over the whole strings, with a table of steps: O(n_a * n_b), both at most a clause. */
bool koe_align(const uint32_t *a, const uint32_t *owner_a, size_t n_a, const uint32_t *b, uint32_t *owner_b, size_t n_b)
{
    enum { BOTH, SKIP_A, SKIP_B };
    size_t width = n_b + 1;
    unsigned char *step = malloc((n_a + 1) * width);
    uint32_t *cost = malloc(2 * width * sizeof *cost);
    if (!step || !cost) {
        free(step), free(cost);
        return false;
    }
    uint32_t *above = cost, *row = cost + width;
    for (size_t j = 0; j <= n_b; j++) above[j] = (uint32_t)j, step[j] = SKIP_B;
    for (size_t i = 1; i <= n_a; i++) {
        row[0] = (uint32_t)i;
        step[i * width] = SKIP_A;
        for (size_t j = 1; j <= n_b; j++) {
            bool same = a[i - 1] == b[j - 1], spaces = a[i - 1] == ' ' || b[j - 1] == ' ';
            uint32_t both = above[j - 1] + (same ? 0 : spaces ? 3 : 1), skip_a = above[j] + 1, skip_b = row[j - 1] + 1;
            unsigned char s = BOTH;
            uint32_t best = both;
            if (skip_a < best) best = skip_a, s = SKIP_A;
            if (skip_b < best) best = skip_b, s = SKIP_B;
            row[j] = best;
            step[i * width + j] = s;
        }
        uint32_t *t = above;
        above = row, row = t;
    }
    size_t i = n_a;
    for (size_t j = n_b; j > 0;) {
        unsigned char s = step[i * width + j];
        if (s == SKIP_A) i--;
        else {
            owner_b[--j] = n_a ? owner_a[i ? i - 1 : 0] : 0;
            if (s == BOTH) i--;
        }
    }
    free(step), free(cost);
    return true;
}
