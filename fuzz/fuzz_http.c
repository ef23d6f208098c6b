/* Any bytes as the body of a speech request. */
#include <stdlib.h>

#include "server/request.h"
#include "server/models.h"
#include "server/voices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* As much of a server as reading a request needs: nothing is installed. */
static koe_server *server(void)
{
    static const koe_config config = { .home = "/nowhere", .model = "", .piper_model = "", .voices = "", .precision = "auto", .voice = "", .provider = "auto",
                                       .fallback = "missing,language", .lexicon = "", .threads = 1, .max_text = 1000 };
    static koe_server s = { .config = &config };
    if (!s.metrics) s.metrics = koe_metrics_create();
    if (!s.models && (koe_models_open(&s.models, &config, NULL, NULL, NULL) != KOE_OK ||
                      koe_saved_open(&s.saved, "/nowhere", NULL) != KOE_OK))
        abort();
    return &s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const inputs[] = { "input", "phonemes", NULL };
    json_t *body = json_loadb(n ? (const char *)data : "", n, 0, NULL);
    for (size_t i = 0; json_is_object(body) && i < 3; i++) {
        koe_utterance u;
        koe_problem p = { 0 };
        char key[65];
        if (koe_utterance_read(&u, server(), body, inputs[i], &p)) koe_utterance_key(&u, key);
        else if (p.status < 400) abort(); /* a refusal says why */
        koe_utterance_deinit(&u);
    }
    json_decref(body);
    return 0;
}
