/* isa.h - for test programs that use one instruction set, named by their first argument. */
#ifndef KOE_TESTS_GRAPH_ISA_H
#define KOE_TESTS_GRAPH_ISA_H
#include <stdbool.h>
#include <stdio.h>

#include "base/cpu.h"

enum { SKIPPED = 77 }; /* what Meson takes for a test that was skipped */

/* To be called first. False, with a line that says why, when this machine has not got it: main() then returns SKIPPED. */
static bool use_isa(int argc, char **argv)
{
    koe_error err = { 0 };
    if (argc < 2 || koe_cpu_restrict(argv[1], &err) == KOE_OK) return true;
    printf("%s: skipped\n", err.message);
    return false;
}
#endif
