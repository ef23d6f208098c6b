/* model.h - what the model commands share: opening a model with the options all of them have, and files of tensors. */
#ifndef KOE_CLI_MODEL_H
#define KOE_CLI_MODEL_H
#include "cli/args.h"
#include "graph/graph.h"

/* The common options; the rows of KOE_MODEL_OPTIONS(m) fill the first line. */
typedef struct koe_model_options {
    const char *threads, *precision, *precision_only, *noise, *cpu, *passes, *memory_limit; /* as given */
    bool pack; /* use the model's packed file, written when it is missing */
    int n_threads; /* 0: all */
    int precision_id;
    koe_run_options run;
} koe_model_options;

#define KOE_MODEL_OPTIONS(m)                                                                                                     \
    { .name = "threads", .value = "N", .help = "worker threads (default: all cores)", .text = &(m).threads },                    \
        { .name = "precision", .value = "P", .help = "f32, bf16, int8 or auto (default: f32)", .text = &(m).precision },         \
        { .name = "precision-only", .value = "REGEX", .help = "low precision only in nodes with such a name",                    \
          .text = &(m).precision_only },                                                                                         \
        { .name = "noise", .value = "zero|SEED", .help = "random nodes: no noise, or this seed", .text = &(m).noise },           \
        { .name = "memory-limit", .value = "MB", .help = "of the whole program (default: what the cgroup allows)", .text = &(m).memory_limit }, \
        { .name = "cpu", .value = "SET", .help = "ref, avx2, avxvnni, avx512, neon, dotprod, i8mm (default: the best here)", .text = &(m).cpu }, \
    {                                                                                                                            \
        .name = "passes", .value = "-NAME,...", .help = "graph passes to leave out", .text = &(m).passes                         \
    }

/* Reads the common options' texts; KOE_E_ARGUMENT. Restricts the processor when asked to. */
koe_status koe_model_options_read(koe_model_options *o, koe_error *err);

/* A model ready to run. */
typedef struct koe_loaded {
    koe_pool *pool;
    koe_session *session;
    koe_run *run;
} koe_loaded;

/* Zero-initialise; on failure nothing is left open. */
koe_status koe_loaded_open(koe_loaded *l, const char *path, const koe_model_options *o, koe_error *err);
void koe_loaded_close(koe_loaded *l);

/* Runs once more; prints to stderr where the time went - by operator, by group of layers that are alike, and the nodes that took longest - and
 * to stdout `, "profile": {...}`, a member of the object that is being printed. */
koe_status koe_model_profile(const koe_loaded *l, const koe_run_options *o, koe_error *err);
/* A tenth of a second or so of nothing but multiply-adds, on operands that stay in the first-level cache. */
void koe_model_multiply_add(void);

/* A .npy file, or a .pb file of ONNX's test cases (TensorProto, or SequenceProto when `as_sequence`). Memory of the arena. */
koe_status koe_value_read(koe_value *out, bool as_sequence, koe_arena *arena, const char *path, koe_error *err);

/* "name float32[1,n]" of a declared input into `text`. */
const char *koe_declared(const koe_onnx_value *v, char *text, size_t cap);
/* True when `file_name` (without folder, prefix and ending) stands for `name`: equal, with '/' written as '_'. */
bool koe_is_file_name_of(const char *file_name, size_t n, koe_str name);
#endif
