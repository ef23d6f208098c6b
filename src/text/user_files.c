/* user_files.c - the lexicons of the installation: found, read, and read again when their files change.
 * Looking is one stat() for each folder and file: a few microseconds, so it is done for every text. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/digest.h"
#include "text/user_lexicon.h"

enum { MAX_FILES = 256, MAX_PLACES = 32 };

typedef enum place_kind { GIVEN, PREFIX, FOLDER, NAMED } place_kind; /* PREFIX: only user* of the folder */

/* Where lexicons are looked for. */
typedef struct place {
    char *path; /* of a folder or, given by name, of a file */
    place_kind kind;
    struct timespec changed; /* the folder's last change that was seen; 0: it was not there */
} place;

typedef struct source {
    char *path;
    size_t place;
    struct stat seen;
    koe_user_lexicon *lexicon; /* NULL: wrong since it was first seen */
    char digest[KOE_DIGEST_TEXT];
    bool found; /* by the scan in hand */
} source;

struct koe_user_files {
    pthread_mutex_t lock; /* guards what follows, and the sets' counts */
    place place[MAX_PLACES];
    size_t n_place;
    source source[MAX_FILES];
    size_t n_source;
    koe_user_set *set; /* NULL: nothing is installed */
};

static bool is_lexicon_name(koe_str name)
{
    return name.n > 4 && name.p[0] != '.' && (koe_str_ends(name, KOE_STR(".json")) || koe_str_ends(name, KOE_STR(".pls")) || koe_str_ends(name, KOE_STR(".xml")));
}

/* The name without folder and ending. */
static koe_str stem_of(koe_str path)
{
    const char *slash = memrchr(path.p, '/', path.n);
    if (slash) path = koe_str_sub(path, (size_t)(slash - path.p) + 1, path.n);
    const char *dot = memrchr(path.p ? path.p : "", '.', path.n);
    return is_lexicon_name(path) ? koe_str_sub(path, 0, (size_t)(dot - path.p)) : path;
}

/* ---- sets ---- */

static void set_free(koe_user_set *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_always; i++) koe_user_lexicon_unref(s->always[i]);
    for (size_t i = 0; i < s->n_named; i++) {
        koe_user_lexicon_unref(s->named[i].lexicon);
        free(s->named[i].name);
    }
    free(s->always);
    free(s->named);
    free(s);
}

static bool set_add(koe_user_set *s, const source *src, bool by_name)
{
    if (!by_name) return s->always[s->n_always++] = koe_user_lexicon_ref(src->lexicon), true;
    char *name = koe_str_dup(stem_of(koe_str_of(src->path)));
    if (!name) return false;
    s->named[s->n_named].name = name;
    s->named[s->n_named++].lexicon = koe_user_lexicon_ref(src->lexicon);
    return true;
}

/* A new set of what the sources hold, in their order. False: out of memory, the old one stays. */
static bool publish(koe_user_files *f)
{
    koe_digest d;
    koe_user_set *s = calloc(1, sizeof *s);
    bool ok = s && (s->always = calloc(f->n_source + 1, sizeof *s->always)) && (s->named = calloc(f->n_source + 1, sizeof *s->named));
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    for (size_t i = 0; i < f->n_source && ok; i++) {
        const source *src = &f->source[i];
        if (!src->lexicon) continue;
        const bool by_name = f->place[src->place].kind == NAMED;
        ok = set_add(s, src, by_name);
        if (by_name) koe_digest_add(&d, src->path, strlen(src->path) + 1);
        koe_digest_add(&d, src->digest, sizeof src->digest);
    }
    if (!ok || !s) return set_free(s), false;
    koe_digest_text(&d, s->digest);
    s->refs = 1;
    if (f->set && --f->set->refs == 0) set_free(f->set);
    f->set = s;
    if (!s->n_always && !s->n_named) set_free(s), f->set = NULL;
    return true;
}

/* ---- files ---- */

static koe_status read_source(source *s, koe_error *err)
{
    koe_buf text = { 0 };
    koe_user_lexicon *l = NULL;
    koe_status st = koe_file_read(&text, s->path, KOE_USER_LEXICON_BYTES, err);
    if (st == KOE_OK) st = koe_user_lexicon_read(&l, koe_buf_str(&text), s->path, err);
    if (st == KOE_OK) {
        koe_digest d;
        koe_digest_init(&d, KOE_DIGEST_SHA256);
        koe_digest_add(&d, text.data, text.n);
        koe_digest_text(&d, s->digest);
        koe_user_lexicon_unref(s->lexicon);
        s->lexicon = l;
        koe_log(KOE_LOG_INFO, "%s: %zu words", s->path, koe_user_lexicon_count(l));
    }
    koe_buf_free(&text);
    return st;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_size == b->st_size && a->st_ino == b->st_ino;
}

/* A file of a place: read when it is new or has changed. *changed: it has. */
static koe_status look_at(koe_user_files *f, size_t place_index, const char *path, bool *changed, koe_error *err)
{
    struct stat now;
    source *s = NULL;
    if (stat(path, &now) != 0) return koe_fail(err, KOE_E_NOT_FOUND, "no lexicon %s: %s", path, strerror(errno));
    for (size_t i = 0; i < f->n_source && !s; i++)
        if (f->source[i].place == place_index && strcmp(f->source[i].path, path) == 0) s = &f->source[i];
    const bool is_new = !s;
    if (is_new) {
        if (f->n_source == MAX_FILES) return koe_fail(err, KOE_E_LIMIT, "%s: more than %d lexicons", path, MAX_FILES);
        s = &f->source[f->n_source];
        *s = (source){ .path = koe_str_dup(koe_str_of(path)), .place = place_index };
        if (!s->path) return koe_fail(err, KOE_E_NOMEM, "%s", path);
        f->n_source++;
    }
    s->found = true;
    if (!is_new && is_same(&s->seen, &now)) return KOE_OK;
    s->seen = now;
    *changed = true;
    return read_source(s, err);
}

static koe_status look_into(koe_user_files *f, size_t place_index, bool *changed, koe_error *err)
{
    place *p = &f->place[place_index];
    struct dirent **list = NULL;
    const int n = scandir(p->path, &list, NULL, alphasort);
    koe_status first = KOE_OK;
    for (int i = 0; i < n; i++) {
        const koe_str name = koe_str_of(list[i]->d_name);
        const bool wanted = is_lexicon_name(name) && (p->kind != PREFIX || koe_str_starts(name, KOE_STR("user")));
        char *path = wanted ? koe_path_join(p->path, list[i]->d_name) : NULL;
        koe_error why = { 0 };
        const koe_status st = path ? look_at(f, place_index, path, changed, &why) : KOE_OK;
        if (st != KOE_OK && p->kind != GIVEN) koe_log(KOE_LOG_ERROR, "lexicon left as it was: %s", why.message);
        if (st != KOE_OK && p->kind == GIVEN && first == KOE_OK) {
            first = st;
            if (err) *err = why;
        }
        free(path);
        free(list[i]);
    }
    free(list);
    return first;
}

static void drop_missing(koe_user_files *f, bool *changed)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_source; i++) {
        source *s = &f->source[i];
        if (s->found) {
            f->source[n++] = *s;
            continue;
        }
        koe_user_lexicon_unref(s->lexicon);
        free(s->path);
        *changed = true;
    }
    f->n_source = n;
}

static struct timespec change_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

/* Whether anything has changed since the last look; remembers what it sees of folders. */
static bool is_stale(koe_user_files *f)
{
    bool stale = false;
    struct stat now;
    for (size_t i = 0; i < f->n_place; i++) {
        const struct timespec t = change_of(f->place[i].path);
        stale |= t.tv_sec != f->place[i].changed.tv_sec || t.tv_nsec != f->place[i].changed.tv_nsec;
        f->place[i].changed = t;
    }
    for (size_t i = 0; i < f->n_source && !stale; i++) stale = stat(f->source[i].path, &now) != 0 || !is_same(&now, &f->source[i].seen);
    return stale;
}

static int by_place(const void *a, const void *b)
{
    const source *x = a, *y = b;
    return x->place != y->place ? (x->place > y->place) - (x->place < y->place) : strcmp(x->path, y->path);
}

/* Looks at everything again. The first error in what was given by name is the call's. */
static koe_status scan(koe_user_files *f, koe_error *err)
{
    bool changed = false;
    koe_status first = KOE_OK;
    for (size_t i = 0; i < f->n_source; i++) f->source[i].found = false;
    for (size_t i = 0; i < f->n_place; i++) {
        place *p = &f->place[i];
        koe_error why = { 0 };
        koe_status st = KOE_OK;
        if (koe_file_is_dir(p->path)) st = look_into(f, i, &changed, &why);
        else if (p->kind == GIVEN) st = look_at(f, i, p->path, &changed, &why);
        if (st != KOE_OK && first == KOE_OK) {
            first = st;
            if (err) *err = why;
        }
    }
    drop_missing(f, &changed);
    if (f->n_source) qsort(f->source, f->n_source, sizeof *f->source, by_place);
    if (changed && !publish(f) && first == KOE_OK) first = koe_fail(err, KOE_E_NOMEM, "lexicons");
    return first;
}

static koe_status add_place(koe_user_files *f, char *path, place_kind kind, koe_error *err)
{
    if (!path) return koe_fail(err, KOE_E_NOMEM, "lexicons");
    if (f->n_place == MAX_PLACES) {
        free(path);
        return koe_fail(err, KOE_E_LIMIT, "more than %d places for lexicons", MAX_PLACES);
    }
    f->place[f->n_place++] = (place){ .path = path, .kind = kind };
    return KOE_OK;
}

koe_status koe_user_files_open(koe_user_files **out, const char *dir, const char *more, koe_error *err)
{
    koe_user_files *f = calloc(1, sizeof *f);
    if (!f) return koe_fail(err, KOE_E_NOMEM, "lexicons");
    pthread_mutex_init(&f->lock, NULL);
    koe_status st = KOE_OK;
    for (koe_str rest = koe_str_of(more ? more : ""); rest.n && st == KOE_OK;) {
        const char *colon = memchr(rest.p, ':', rest.n);
        const koe_str one = koe_str_sub(rest, 0, colon ? (size_t)(colon - rest.p) : rest.n);
        if (one.n) st = add_place(f, koe_str_dup(one), GIVEN, err);
        rest = koe_str_sub(rest, one.n + 1, rest.n);
    }
    if (dir && st == KOE_OK) st = add_place(f, koe_str_dup(koe_str_of(dir)), PREFIX, err);
    if (dir && st == KOE_OK) st = add_place(f, koe_path_join(dir, "user"), FOLDER, err);
    if (dir && st == KOE_OK) st = add_place(f, koe_path_join(dir, "named"), NAMED, err);
    (void)is_stale(f);
    if (st == KOE_OK) st = scan(f, err);
    if (st == KOE_OK) *out = f;
    else koe_user_files_close(f);
    return st;
}

void koe_user_files_close(koe_user_files *f)
{
    if (!f) return;
    set_free(f->set);
    for (size_t i = 0; i < f->n_source; i++) {
        koe_user_lexicon_unref(f->source[i].lexicon);
        free(f->source[i].path);
    }
    for (size_t i = 0; i < f->n_place; i++) free(f->place[i].path);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

koe_user_set *koe_user_files_take(koe_user_files *f)
{
    koe_error why = { 0 };
    pthread_mutex_lock(&f->lock);
    if (is_stale(f) && scan(f, &why) != KOE_OK) koe_log(KOE_LOG_ERROR, "lexicon left as it was: %s", why.message);
    koe_user_set *s = f->set;
    if (s) s->refs++;
    pthread_mutex_unlock(&f->lock);
    return s;
}

void koe_user_files_give_back(koe_user_files *f, koe_user_set *s)
{
    if (!s) return;
    pthread_mutex_lock(&f->lock);
    if (--s->refs == 0) set_free(s);
    pthread_mutex_unlock(&f->lock);
}

koe_user_lexicon *koe_user_set_find(const koe_user_set *s, koe_str name)
{
    name = stem_of(name.n ? name : KOE_STR(" "));
    for (size_t i = 0; s && i < s->n_named; i++)
        if (koe_str_is(name, s->named[i].name)) return s->named[i].lexicon;
    return NULL;
}
