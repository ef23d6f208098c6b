/* encode_none.c - encode_av.h in a build without the FFmpeg libraries: nothing can be opened. */
#include "audio/encode_av.h"

koe_status koe_av_load(koe_error *err)
{
    return koe_fail(
        err, KOE_E_UNSUPPORTED,
        "this koe was built without FFmpeg, it makes wav, pcm, ulaw and alaw only; for the others install libavcodec-dev, "
        "libavformat-dev and libavutil-dev and build it again");
}

koe_status koe_av_open(koe_av_encoder **out, const koe_av_format *format, koe_error *err)
{
    (void)out;
    return koe_error_wrap(err, koe_av_load(err), "%s", format->name);
}

/* There is no encoder that these could be called with. */
koe_status koe_av_write(koe_av_encoder *e, const float *x, size_t n, koe_buf *out, koe_error *err)
{
    (void)e, (void)x, (void)n, (void)out;
    return koe_av_load(err);
}
koe_status koe_av_finish(koe_av_encoder *e, koe_buf *out, koe_error *err)
{
    (void)e, (void)out;
    return koe_av_load(err);
}
void koe_av_close(koe_av_encoder *e) { (void)e; }
