#include "server/slack.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool koe_slack_holds(double *free_s, size_t n_workers, double *due_s, size_t n_due, double turn_s)
{
    if (n_due > 1) qsort(due_s, n_due, sizeof *due_s, compare);
    for (size_t i = 0; i < n_due; i++) {
        double *first = free_s;
        for (size_t w = 1; w < n_workers; w++)
            if (free_s[w] < *first) first = &free_s[w];
        *first += turn_s;
        if (*first > due_s[i]) return false;
    }
    return true;
}
