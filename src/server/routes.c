/* routes.c - every path there is. /v1 before a path is left off by the time it is looked up here. */
#include "server/http.h"

const koe_route koe_routes[] = {
    { .method = "POST", .path = "/audio/speech", .run = koe_route_speech },
    { .method = "GET", .path = "/audio/speech/ws", .run = koe_route_socket },
    { .method = "POST", .path = "/dev/captioned_speech", .run = koe_route_captioned },
    { .method = "POST", .path = "/dev/phonemize", .run = koe_route_phonemize },
    { .method = "POST", .path = "/dev/generate_from_phonemes", .run = koe_route_from_phonemes },
    { .method = "GET", .path = "/audio/voices", .run = koe_route_voices, .open = true },
    { .method = "POST", .path = "/audio/voices/combine", .run = koe_route_combine },
    { .method = "GET", .path = "/models", .run = koe_route_models, .open = true },
    { .method = "GET", .path = "/models/*", .run = koe_route_model, .open = true },
    { .method = "GET", .path = "/audio/models", .run = koe_route_audio_models, .open = true },
    { .method = "GET", .path = "/health", .run = koe_route_health, .open = true },
    { .method = "GET", .path = "/health/live", .run = koe_route_live, .open = true },
    { .method = "GET", .path = "/health/ready", .run = koe_route_ready, .open = true },
    { .method = "GET", .path = "/status", .run = koe_route_status, .scope = KOE_SCOPE_STATUS },
    { .method = "GET", .path = "/metrics", .run = koe_route_metrics, .scope = KOE_SCOPE_STATUS },
    { .method = "DELETE", .path = "/cache", .run = koe_route_purge, .scope = KOE_SCOPE_ADMIN },
    { .method = "GET", .path = "/", .run = koe_route_studio, .open = true },
    { .method = "GET", .path = "/dashboard", .run = koe_route_dashboard, .open = true },
    { .method = "GET", .path = "/web/*", .run = koe_route_web, .open = true },
    { 0 },
};
