/* sniff.c - a file that is no ONNX model is often a well-known something else. */
#include <strings.h>

#include "onnx/reader.h"

/* clang-format off */
static const struct {
    size_t at;
    koe_str bytes;
    const char *says;
} signatures[] = {
#define SIG(at, bytes, says) { at, { bytes, sizeof(bytes) - 1 }, says }
    SIG(0, "version https://git-lfs", "a git-lfs pointer, not the model itself; run `git lfs pull`, or download the file itself"),
    SIG(0, "\x1f\x8b", "compressed with gzip; unpack it first (gunzip)"),
    SIG(0, "BZh", "compressed with bzip2; unpack it first (bunzip2)"),
    SIG(0, "\xfd" "7zXZ", "compressed with xz; unpack it first (unxz)"),
    SIG(0, "\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first (unzstd)"),
    SIG(0, "PK\3\4", "a zip archive (perhaps voices in .npz, or a PyTorch file); the model is the .onnx file itself"),
    SIG(0, "\x93NUMPY", "a NumPy array; the model is the .onnx file"),
    SIG(0, "\x80\x02", "a Python pickle (perhaps an old PyTorch file); the model is the .onnx file"),
    SIG(0, "GGUF", "a GGUF model; koe reads ONNX"),
    SIG(4, "ORTM", "in ONNX Runtime's own .ort format; take the .onnx file it was made from"),
    SIG(4, "TFL3", "a TensorFlow Lite model; koe reads ONNX"),
    SIG(0, "RIFF", "a RIFF file (WAV audio?); the model is the .onnx file"),
    SIG(0, "\x7f" "ELF", "a program or library; the model is the .onnx file"),
#undef SIG
};
/* clang-format on */

static bool starts_no_case(koe_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && strncasecmp(s.p, prefix, n) == 0;
}

/* Printable characters and white space only; above 127, bytes that UTF-8 can have. */
static bool is_text(koe_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == 127 || c > 0xf4 || (c < 32 && c != '\n' && c != '\r' && c != '\t' && c != '\f')) return false;
    }
    return true;
}

static const char *recognise(koe_str s)
{
    if (s.n == 0) return "empty (0 bytes); download the model again";
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (s.n > signatures[i].at && koe_str_starts(koe_str_sub(s, signatures[i].at, s.n), signatures[i].bytes))
            return signatures[i].says;
    koe_str start = koe_str_sub(s, 0, 512);
    if (koe_str_starts(start, KOE_STR("\xef\xbb\xbf"))) start = koe_str_sub(start, 3, start.n); /* byte order mark */
    if (!is_text(start)) return NULL;
    start = koe_str_trim(start);
    if (starts_no_case(start, "<!doctype html") || starts_no_case(start, "<html") || starts_no_case(start, "<head"))
        return "a web page (HTML), perhaps an error page saved in place of the download; download the .onnx file itself";
    if (koe_str_starts(start, KOE_STR("<"))) return "XML or HTML text; the model is the .onnx file";
    if (koe_str_starts(start, KOE_STR("{")) || koe_str_starts(start, KOE_STR("[")))
        return "JSON (perhaps the voice's configuration); the model is the .onnx file";
    return "plain text; the model is a binary .onnx file";
}

koe_status koe_onnx_sniff(const void *bytes, size_t n_bytes, koe_status st, koe_error *err)
{
    if (st != KOE_E_FORMAT && st != KOE_E_LIMIT) return st;
    const char *says = recognise((koe_str){ bytes, n_bytes });
    if (says) return koe_fail(err, KOE_E_FORMAT, "not an ONNX model: it is %s", says);
    return st;
}
