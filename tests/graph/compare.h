/* compare.h - what tests of passes ask of two runs and of a session. */
#ifndef KOE_TESTS_GRAPH_COMPARE_H
#define KOE_TESTS_GRAPH_COMPARE_H
#include <math.h>
#include <string.h>

#include "graph/graph.h"

/* Root mean square of the difference, as a share of that of `want`. */
static inline double distance(const float *got, const float *want, size_t n)
{
    double error = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        error += pow((double)got[i] - (double)want[i], 2);
        all += pow((double)want[i], 2);
    }
    return sqrt(error / all);
}

/* How many patterns a pass has replaced; -2 when the session does not name it. */
static inline int pass_count(const koe_session *s, const char *pass)
{
    const koe_pass_report *report;
    for (size_t i = koe_session_passes(s, &report); i-- > 0;)
        if (strcmp(report[i].name, pass) == 0) return report[i].n;
    return -2;
}
#endif
