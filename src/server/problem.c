/* problem.c - see problem.h. */
#include "server/problem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "server/head.h"

bool koe_problem_set(koe_problem *p, int status, const char *code, const char *param, const char *format, ...)
{
    *p = (koe_problem){ .status = status, .code = code, .param = param };
    va_list args;
    va_start(args, format);
    vsnprintf(p->message, sizeof p->message, format, args);
    va_end(args);
    return false;
}

/* Whether a path of this machine begins here: none of the client's business. */
static bool is_path(const char *text, const char *p)
{
    if (*p != '/' || !(isalnum((unsigned char)p[1]) || p[1] == '.' || p[1] == '_' || p[1] == '-')) return false;
    return p == text || strchr(" \"'(:,=", p[-1]);
}

/* The message of an error for a client: advice to who runs the server (after ": put", ": run") and paths are left out. */
static const char *public_message(const koe_error *err, char *out, size_t cap)
{
    static const char *const advice[] = { ": put ", ": run `", ", which is not installed in ", " is in /" };
    const char *text = err->message;
    size_t n = 0, end = strlen(text);
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++) {
        const char *at = strstr(text, advice[i]);
        if (at && (size_t)(at - text) < end) end = (size_t)(at - text);
    }
    for (const char *p = text; p < text + end && n + 4 < cap; p++) {
        if (!is_path(text, p)) {
            out[n++] = *p;
            continue;
        }
        p += strcspn(p, " \"'),:;\n") - 1;
        n += (size_t)snprintf(out + n, cap - n, "...");
        if (p + 1 >= text + end) break;
    }
    out[n] = 0;
    return out;
}

void koe_problem_of(koe_problem *p, const koe_error *err)
{
    char text[sizeof p->message];
    public_message(err, text, sizeof text);
    switch (err->status) {
    case KOE_E_NOT_FOUND: koe_problem_set(p, 400, "voice_not_found", "voice", "%s; see GET /v1/audio/voices", text); return;
    case KOE_E_ARGUMENT:
    case KOE_E_ENCODING: koe_problem_set(p, 400, "invalid_value", "input", "%s", text); return;
    case KOE_E_UNSUPPORTED: koe_problem_set(p, 400, "unsupported", NULL, "%s", text); return;
    case KOE_E_LIMIT: koe_problem_set(p, 413, "too_large", "input", "%s", text); return;
    case KOE_E_CANCELLED: koe_problem_set(p, 503, "cancelled", NULL, "the request was cancelled"); return;
    case KOE_E_UNAVAILABLE:
        koe_problem_set(p, 503, "unavailable", NULL, "what reads the text was stopped; try again");
        p->retry_after_s = 1;
        break;
    case KOE_E_NOMEM:
    case KOE_E_FULL:
        koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
        p->retry_after_s = 5;
        break;
    default: koe_problem_set(p, 500, "synthesis_failed", NULL, "the speech could not be made; the server's log says why"); break;
    }
    koe_log(KOE_LOG_ERROR, "speech failed: %s", err->message[0] ? err->message : koe_status_text(err->status));
}

static const char *type_of(int status)
{
    if (status == 401) return "authentication_error";
    if (status == 403) return "permission_error";
    if (status == 429) return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

json_t *koe_problem_json(const koe_problem *p)
{
    char message[sizeof p->message]; /* what it quotes may have been cut within a character, or never have been text */
    memcpy(message, p->message, sizeof message);
    koe_head_make_plain(message);
    return json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", message, "type", type_of(p->status), "param", p->param, "code",
                     p->code);
}
