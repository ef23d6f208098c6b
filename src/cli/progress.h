/* progress.h - one line on a terminal that says how far a long job is. */
#ifndef KOE_CLI_PROGRESS_H
#define KOE_CLI_PROGRESS_H
#include <stdbool.h>

/* Zero-initialise. */
typedef struct koe_progress {
    bool is_on, is_visible;
    double start_ms, shown_ms;
} koe_progress;

/* Shows only when stderr is a terminal, and not before the job has taken half a second. */
void koe_progress_start(koe_progress *p);
/* done: 0 to 1 of this job; `note` follows the bar: "12 MB/s". The time left is told from the time taken. */
void koe_progress_show(koe_progress *p, double done, const char *note);
/* Takes the line away. */
void koe_progress_end(koe_progress *p);

/* "1:02:03" or "4:05" for seconds, into text. */
const char *koe_duration_text(double seconds, char text[32]);
#endif
