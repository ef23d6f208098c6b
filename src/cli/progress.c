/* progress.c - the progress line. */
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { WIDTH = 30, FIRST_MS = 500, EVERY_MS = 100 };

const char *koe_duration_text(double seconds, char text[32])
{
    const double most = 359999; /* 99:59:59 */
    const int s = (int)(seconds > most ? most : seconds < 0 ? 0 : seconds + 0.5);
    if (s >= 3600) snprintf(text, 32, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, 32, "%d:%02d", s / 60, s % 60);
    return text;
}

void koe_progress_start(koe_progress *p)
{
    *p = (koe_progress){ .is_on = isatty(STDERR_FILENO) == 1, .start_ms = koe_clock_ms() };
}

void koe_progress_show(koe_progress *p, double done, const char *note)
{
    const double now = koe_clock_ms(), taken = now - p->start_ms;
    if (!p->is_on || taken < FIRST_MS || now - p->shown_ms < EVERY_MS) return;
    done = done < 0 ? 0 : done > 1 ? 1 : done;
    char bar[WIDTH + 1], left[32] = "?";
    for (int i = 0; i < WIDTH; i++) bar[i] = i < (int)(done * WIDTH) ? '#' : '.';
    bar[WIDTH] = 0;
    if (done > 0) koe_duration_text(taken / done * (1 - done) / 1000, left);
    fprintf(stderr, "\r[%s] %3d %%  %s  %s left\033[K", bar, (int)(done * 100), note, left);
    p->shown_ms = now;
    p->is_visible = true;
}

void koe_progress_end(koe_progress *p)
{
    if (p->is_visible) fprintf(stderr, "\r\033[K");
    p->is_visible = false;
}
