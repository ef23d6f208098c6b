/* A program outside koe's tree: with nothing installed, the built-in voice speaks. */
#include <koe.h>
#include <stdio.h>

static bool on_audio(void *n_samples, const koe_audio *a) /* segment by segment, in order */
{
    *(size_t *)n_samples += a->n_samples;
    return true;
}

int main(void)
{
    koe_engine *engine = NULL;
    koe_error err = { 0 };
    koe_request request = { .text = "Hello, world." };
    size_t n = 0;
    koe_status st = koe_engine_open(&engine, NULL, &err);
    if (st == KOE_OK) st = koe_speak(engine, &request, on_audio, &n, &err);
    if (st != KOE_OK) fprintf(stderr, "%s\n", err.message);
    koe_engine_close(engine);
    return st != KOE_OK || n < 10000;
}
