/* slack.h - whether listeners go on hearing: turns cannot be interrupted, and whoever hears a stream needs its next turn done before what is in
 * hand has been heard.
 *     worker 1   running..|  due 1  |  due 3  |      each turn is taken to last equally long, rather too long than too short;
 *     worker 2   running......|  due 2  |  due 4     a round that is in time stays in time, as admission leaves a tenth of the machine over */
#ifndef KOE_SERVER_SLACK_H
#define KOE_SERVER_SLACK_H
#include <stdbool.h>
#include <stddef.h>

/* Whether turns of turn_s, begun in the order of their deadlines by whichever worker is free first, are all done in time. free_s: when each of the
 * n_workers is free; due_s: deadlines; all in seconds from now, both changed. O(n_due (log n_due + n_workers)). */
bool koe_slack_holds(double *free_s, size_t n_workers, double *due_s, size_t n_due, double turn_s);
#endif
