/* rules_en.c - the table of English rules, and those about signs, addresses and markup. Numbers: rules_number.c; names: rules_name.c. */
#include "text/rules.h"
#include "text/utf8.h"

static const koe_rule rules[] = {
    { "entity", "&", KOE_RULES_MARKUP, koe_rule_entity }, /* &amp; -> and */
    { "html", "<", KOE_RULES_MARKUP, koe_rule_html }, /* <b>bold</b> -> bold */
    { "emphasis", "*_`~#>", KOE_RULES_MARKUP, koe_rule_emphasis }, /* **bold** -> bold */
    { "dash", "-", 0, koe_rule_dash }, /* so--well -> so—well */
    { "email", "a0", KOE_RULES_EMAIL, koe_rule_email }, /* me@example.org -> me at example dot org */
    { "url", "a0", KOE_RULES_URL, koe_rule_url }, /* www.example.com/x -> www dot example dot com slash x */
    { "version", "a", 0, koe_rule_version }, /* v1.2.3 -> version 1 point 2 point 3 */
    { "file", "a", KOE_RULES_URL, koe_rule_file }, /* main.py -> main dot P Y */
    { "hashtag", "#", 0, koe_rule_hashtag }, /* #Hello -> hashtag Hello */
    { "number-sign", "#a8", 0, koe_rule_number_sign }, /* #1, No. 1 -> number 1 */
    { "handle", "@", 0, koe_rule_handle }, /* @koe -> at koe */
    { "phone", "0(+", KOE_RULES_PHONE, koe_rule_phone }, /* 555-0123 -> 5 5 5, 0 1 2 3 */
    { "iso-date", "0", 0, koe_rule_iso_date }, /* 2024-12-25 -> December 25th, 2024 */
    { "slash-date", "0", 0, koe_rule_slash_date }, /* 12/25/2024 -> December 25th, 2024 */
    { "time", "0", 0, koe_rule_time }, /* 9:05 -> 9 oh 5 */
    { "money-range", "$8", 0, koe_rule_money_range }, /* $10-$20 -> 10 to 20 dollars */
    { "money", "$8a", 0, koe_rule_money }, /* $2.5M -> 2.5 million dollars */
    { "money-after", "0", 0, koe_rule_money_after }, /* 20 EUR -> 20 euros */
    { "day-month", "0", 0, koe_rule_day_month }, /* 23 March -> the 23rd of March */
    { "day", "0", 0, koe_rule_day }, /* July 4 -> July 4th */
    { "feet", "0", KOE_RULES_UNIT, koe_rule_feet }, /* 6'2" -> 6 feet 2 inches */
    { "degrees", "0", KOE_RULES_UNIT, koe_rule_degrees }, /* 20°C -> 20 degrees Celsius */
    { "percent", "0", 0, koe_rule_percent }, /* 5 % -> 5 percent */
    { "fraction", "0", 0, koe_rule_fraction }, /* 3/4 -> three quarters */
    { "vulgar-fraction", "08", 0, koe_rule_vulgar }, /* 2½ -> 2 and a half */
    { "slash", "0", 0, koe_rule_slash }, /* 9/10 -> 9 out of 10 */
    { "range", "0", 0, koe_rule_range }, /* 10-12 -> 10 to 12 */
    { "unit", "0", KOE_RULES_UNIT, koe_rule_unit }, /* 5 km -> 5 kilometers */
    { "magnitude", "0", 0, koe_rule_magnitude }, /* 10k -> 10 thousand */
    { "leading-zeros", "0", 0, koe_rule_zeros }, /* 007 -> 0 0 7 */
    { "decade", "'8", 0, koe_rule_decade }, /* '90s -> 90s, '69 -> 69 */
    { "world-war", "a", 0, koe_rule_world_war }, /* WWII -> World War Two */
    { "roman", "a", 0, koe_rule_roman }, /* Henry VIII -> Henry the 8th */
    { "saint-street", "a", 0, koe_rule_saint }, /* St. John, Main St. */
    { "title", "a", 0, koe_rule_title }, /* Lt. Smith -> lieutenant Smith */
    { "month", "a", 0, koe_rule_month }, /* Feb. 3 -> February 3 */
    { "abbreviation", "a", 0, koe_rule_abbreviation }, /* e.g. -> for example */
    { "short", "a'8", 0, koe_rule_short }, /* w/o -> without */
    { "plural", "(", KOE_RULES_PLURAL, koe_rule_plural }, /* file(s) -> files */
    { "ampersand", "&", 0, koe_rule_ampersand }, /* you & me -> you and me */
    { "maths", "=<>+-^/~8", 0, koe_rule_maths }, /* 2 = 2 -> 2 equals 2 */
    { "symbol", "8|", KOE_RULES_SYMBOL, koe_rule_symbol }, /* © -> copyright */
};

const koe_rule *koe_rules_english(size_t *n)
{
    *n = sizeof rules / sizeof *rules;
    return rules;
}

/* ---- markup ---- */

size_t koe_rule_entity(const koe_scan *c, koe_buf *out)
{
    static const char *const names[][2] = { { "&amp;", "&" }, { "&lt;", "<" }, { "&gt;", ">" }, { "&quot;", "\"" }, { "&apos;", "'" }, { "&nbsp;", " " },
        { "&#39;", "'" }, { "&#34;", "\"" }, { "&mdash;", "—" }, { "&ndash;", "–" }, { "&hellip;", "…" }, { "&rsquo;", "’" }, { "&lsquo;", "‘" },
        { "&ldquo;", "“" }, { "&rdquo;", "”" }, { "&copy;", "copyright" }, { "&euro;", "€" }, { "&pound;", "£" } };
    koe_str here = koe_str_sub(c->s, c->at, 12);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (koe_str_starts(here, koe_str_of(names[i][0]))) {
            koe_buf_adds(out, strcmp(names[i][1], "&") == 0 && !c->reading ? "and" : names[i][1]);
            return strlen(names[i][0]);
        }
    return 0;
}

size_t koe_rule_html(const koe_scan *c, koe_buf *out)
{
    char next = koe_byte(c->s, c->at + 1);
    if (!koe_is_letter(next) && next != '/' && next != '!') return 0;
    koe_str ahead = koe_str_sub(c->s, c->at, 300);
    const char *close = memchr(ahead.p, '>', ahead.n);
    if (!close || memchr(ahead.p + 1, '<', (size_t)(close - ahead.p) - 1)) return 0;
    size_t n = (size_t)(close - ahead.p) + 1;
    static const char breaks[] = " p br div li h1 h2 h3 h4 h5 h6 tr td ";
    size_t name_at = next == '/' ? 2 : 1, n_name = koe_letters(ahead, name_at);
    if (koe_is_digit(koe_byte(ahead, name_at + n_name))) n_name++;
    if (koe_in_words(koe_str_sub(ahead, name_at, n_name), breaks)) koe_buf_addc(out, ' ');
    return n;
}

/* Runs of * _ ` ~~ at a word's edge; # and > at the start of the text. */
size_t koe_rule_emphasis(const koe_scan *c, koe_buf *out)
{
    (void)out; /* it goes without a word */
    char sign = c->s.p[c->at], before = koe_before(c);
    size_t n = 1;
    while (koe_byte(c->s, c->at + n) == sign) n++;
    char after = koe_byte(c->s, c->at + n);
    if (sign == '#' || sign == '>') {
        if (before || after != ' ') return 0;
        return n;
    }
    if (sign == '~' && n != 2) return 0;
    if (sign == '_' && n > 3) return n; /* a line to write on */
    if (sign == '*' && (koe_is_digit(before) || (before == ' ' && after == ' '))) return 0;
    if (sign != '`' && koe_is_alnum(before) && koe_is_alnum(after)) return 0; /* snake_case */
    return n;
}

size_t koe_rule_dash(const koe_scan *c, koe_buf *out)
{
    size_t n = 1;
    while (koe_byte(c->s, c->at + n) == '-') n++;
    if (n < 2 || n > 3) return 0;
    char before = koe_before(c), after = koe_byte(c->s, c->at + n);
    if (!before || (before == ' ' && koe_is_alnum(after))) return 0; /* --option */
    koe_buf_adds(out, "—");
    return n;
}

/* ---- addresses ---- */

/* The run of non-spaces at `at`, without closing punctuation; at most 2,000 bytes. */
static koe_str chunk(koe_str s, size_t at)
{
    size_t n = 0;
    while (at + n < s.n && s.p[at + n] != ' ' && s.p[at + n] != '<' && s.p[at + n] != '>' && s.p[at + n] != '"' && n < 2000) n++;
    while (n && strchr(".,;:!?)]}'*", s.p[at + n - 1])) n--;
    return koe_str_sub(s, at, n);
}

/* An address in words: signs by name, the rest as it is. */
static void put_address(const koe_scan *c, koe_buf *out, koe_str s)
{
    static const koe_word_pair english[] = { { ".", "dot" }, { "/", "slash" }, { "-", "dash" }, { "_", "underscore" }, { "?", "question mark" }, { "=", "equals" },
        { "&", "and" }, { "#", "hash" }, { "%", "percent" }, { ":", "colon" }, { "@", "at" }, { "+", "plus" }, { "~", "tilde" }, { "\\", "backslash" },
        { ",", "comma" }, { 0 } };
    bool space = false;
    for (size_t i = 0; i < s.n; i++) {
        const koe_word_pair *sign = c->reading ? c->reading->address : english;
        while (sign->from && sign->from[0] != s.p[i]) sign++;
        if (!sign->from) {
            if (space) koe_buf_addc(out, ' ');
            koe_buf_addc(out, s.p[i]);
            space = false;
            continue;
        }
        if (s.p[i] == '/' && i + 1 == s.n) break; /* a closing slash says nothing */
        if (out->n) koe_buf_addc(out, ' ');
        koe_buf_adds(out, sign->to);
        space = true;
    }
}

static const char top_domains[] = " com org net edu gov io ai dev app co uk de fr jp cn in info biz me tv us ca au nz eu ru br it es nl se no fi ch at be pl cz ";

/* Length of a host name at s[0]: labels with dots between, the last one a known top domain; 0 when it is none. */
static size_t host_length(koe_str s)
{
    size_t n = 0, dot = 0;
    while (n < s.n && (koe_is_alnum(s.p[n]) || s.p[n] == '-' || (s.p[n] == '.' && n && koe_is_alnum(s.p[n - 1])))) {
        if (s.p[n] == '.') dot = n;
        n++;
    }
    if (n && s.p[n - 1] == '.') n--;
    if (!dot || dot >= n) return 0;
    return koe_in_words(koe_str_sub(s, dot + 1, n - dot - 1), top_domains) ? n : 0;
}

size_t koe_rule_url(const koe_scan *c, koe_buf *out)
{
    koe_str s = chunk(c->s, c->at);
    size_t scheme = koe_letters(s, 0);
    bool has_scheme = scheme && koe_str_starts(koe_str_sub(s, scheme, s.n), KOE_STR("://"));
    if (has_scheme) {
        koe_str rest = koe_str_sub(s, scheme + 3, s.n);
        if (!rest.n) return 0;
        put_address(c, out, rest);
        return s.n;
    }
    bool www = koe_str_starts(s, KOE_STR("www."));
    size_t host = host_length(s);
    if (!www && !host) return 0;
    if (!www && host < s.n && !strchr("/:?#", s.p[host])) return 0;
    put_address(c, out, s);
    return s.n;
}

size_t koe_rule_email(const koe_scan *c, koe_buf *out)
{
    koe_str s = chunk(c->s, c->at);
    const char *at = s.n ? memchr(s.p, '@', s.n) : NULL;
    if (!at || at == s.p) return 0;
    size_t n_user = (size_t)(at - s.p);
    for (size_t i = 0; i < n_user; i++)
        if (!koe_is_alnum(s.p[i]) && !strchr("._+-", s.p[i])) return 0;
    koe_str host = koe_str_sub(s, n_user + 1, s.n);
    size_t n_host = 0;
    bool dot = false;
    while (n_host < host.n && (koe_is_alnum(host.p[n_host]) || host.p[n_host] == '-' || host.p[n_host] == '.')) dot |= host.p[n_host++] == '.';
    while (n_host && host.p[n_host - 1] == '.') n_host--;
    if (!dot || !n_host) return 0;
    put_address(c, out, koe_str_sub(s, 0, n_user + 1 + n_host));
    return n_user + 1 + n_host;
}

/* A file's ending is spelled, except where it is said as a word. */
size_t koe_rule_file(const koe_scan *c, koe_buf *out)
{
    static const char spelled[] = " txt pdf py js ts c h cpp hpp cc rs go rb md csv xml html htm css php sql sh xls xlsx ppt pptx docx png mp3 mp4 mkv avi "
                                  "svg wmv wav ogg tgz gz rar cfg ini jsx tsx vue npz onnx ";
    static const char said[] = " exe zip doc bat bin log json toml yaml yml jpeg jpg gif tar dat bak iso deb lock conf ";
    koe_str s = chunk(c->s, c->at);
    size_t dot = s.n;
    while (dot && s.p[dot - 1] != '.') dot--;
    if (dot < 2 || s.n - dot > 5) return 0;
    for (size_t i = 0; i + 1 < dot; i++)
        if (!koe_is_alnum(s.p[i]) && !strchr("._-/\\:", s.p[i])) return 0;
    koe_str ext = koe_str_sub(s, dot, s.n - dot);
    bool spell = koe_in_words(ext, spelled);
    if (!spell && !koe_in_words(ext, said)) return 0;
    koe_str stem = koe_str_sub(s, 0, dot - 1);
    if (koe_str_is(stem, "README")) koe_buf_adds(out, "read me");
    else put_address(c, out, stem);
    koe_buf_adds(out, " dot");
    for (size_t i = 0; i < ext.n; i++) {
        if (spell || i == 0) koe_buf_addc(out, ' ');
        koe_buf_addc(out, spell && koe_is_letter(ext.p[i]) ? (char)(ext.p[i] & ~32) : ext.p[i]);
    }
    return s.n;
}

size_t koe_rule_version(const koe_scan *c, koe_buf *out)
{
    if ((c->s.p[c->at] | 32) != 'v' || !koe_digits(c->s, c->at + 1)) return 0;
    size_t n = 1;
    koe_buf_adds(out, "version ");
    for (;;) {
        size_t d = koe_digits(c->s, c->at + n);
        koe_buf_add(out, c->s.p + c->at + n, d);
        n += d;
        if (koe_byte(c->s, c->at + n) != '.' || !koe_digits(c->s, c->at + n + 1)) break;
        koe_buf_adds(out, " point ");
        n++;
    }
    if (koe_is_letter(koe_byte(c->s, c->at + n))) return koe_buf_clear(out), 0;
    return n;
}

size_t koe_rule_hashtag(const koe_scan *c, koe_buf *out)
{
    if (koe_is_alnum(koe_before(c)) || !koe_is_letter(koe_byte(c->s, c->at + 1))) return 0;
    koe_buf_adds(out, "hashtag ");
    return 1;
}

size_t koe_rule_handle(const koe_scan *c, koe_buf *out)
{
    char next = koe_byte(c->s, c->at + 1);
    bool alone = koe_before(c) == ' ' && next == ' '; /* 2 @ $5 */
    if (koe_is_alnum(koe_before(c)) || (!alone && !koe_is_letter(next))) return 0;
    koe_buf_adds(out, alone ? "at" : "at ");
    return 1;
}

/* ---- signs ---- */

size_t koe_rule_plural(const koe_scan *c, koe_buf *out)
{
    koe_str here = koe_str_sub(c->s, c->at, 4);
    bool es = koe_str_is(here, "(es)");
    if (!koe_is_letter(koe_before(c)) || !(es || koe_str_starts(here, KOE_STR("(s)")))) return 0;
    if (koe_is_letter(koe_byte(c->s, c->at + (es ? 4 : 3)))) return 0;
    koe_buf_adds(out, es ? "es" : "s");
    return es ? 4 : 3;
}

/* Whether digits, letters or closing brackets stand on both sides, spaces apart. */
static bool between_terms(const koe_scan *c, size_t n)
{
    size_t left = c->at, right = c->at + n;
    if (left && c->s.p[left - 1] == ' ') left--;
    if (koe_byte(c->s, right) == ' ') right++;
    char a = left ? c->s.p[left - 1] : 0, b = koe_byte(c->s, right);
    return (koe_is_alnum(a) || a == ')' || (unsigned char)a >= 0x80 || n > 1) && (koe_is_alnum(b) || b == '(' || b == '-' || b == '.' || (unsigned char)b >= 0x80);
}

static size_t say(koe_buf *out, const char *words, size_t n)
{
    koe_buf_addc(out, ' ');
    koe_buf_adds(out, words);
    koe_buf_addc(out, ' ');
    return n;
}

size_t koe_rule_maths(const koe_scan *c, koe_buf *out)
{
    static const struct {
        const char *sign, *words;
    } signs[] = { { "==", "equals" }, { "=", "equals" }, { "<=", "is at most" }, { ">=", "is at least" }, { "<", "is less than" }, { ">", "is greater than" },
        { "×", "times" }, { "÷", "divided by" }, { "±", "plus or minus" }, { "≈", "is about" }, { "≤", "is at most" }, { "≥", "is at least" },
        { "≠", "is not" }, { "−", "minus" }, { "+", "plus" } };
    koe_str here = koe_str_sub(c->s, c->at, 4);
    char before = koe_before(c);
    if (koe_str_starts(here, KOE_STR("^2")) && koe_is_alnum(before)) return say(out, "squared", 2);
    if (koe_str_starts(here, KOE_STR("^3")) && koe_is_alnum(before)) return say(out, "cubed", 2);
    if (here.p[0] == '^' && koe_is_alnum(before) && koe_is_alnum(koe_byte(here, 1))) return say(out, "to the power of", 1);
    if (here.p[0] == '~' && koe_is_digit(koe_byte(here, 1))) return say(out, "about", 1);
    if (here.p[0] == '-' && before == ' ' && koe_byte(here, 1) == ' ' && koe_is_digit(koe_byte(here, 2)) && c->at > 1 && koe_is_digit(c->s.p[c->at - 2]))
        return say(out, "minus", 1);
    if (here.p[0] == '/' && before == ' ' && koe_byte(here, 1) == ' ' && koe_is_digit(koe_byte(here, 2)) && c->at > 1 && koe_is_digit(c->s.p[c->at - 2]))
        return say(out, "divided by", 1);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        koe_str sign = koe_str_of(signs[i].sign);
        bool angle = sign.p[0] == '<' || sign.p[0] == '>';
        if (angle && !(before == ' ' && koe_byte(here, sign.n) == ' ') && !(koe_is_digit(before) && koe_is_digit(koe_byte(here, sign.n)))) continue;
        if (koe_str_starts(here, sign)) return between_terms(c, sign.n) ? say(out, signs[i].words, sign.n) : 0;
    }
    if (koe_str_starts(here, KOE_STR("±"))) return say(out, "plus or minus", 2);
    if (koe_str_starts(here, KOE_STR("−")) && koe_is_digit(koe_byte(c->s, c->at + 3))) return koe_buf_addc(out, '-'), 3;
    return 0;
}

size_t koe_rule_ampersand(const koe_scan *c, koe_buf *out)
{
    if (koe_before(c) != ' ' || koe_byte(c->s, c->at + 1) != ' ') return 0;
    koe_buf_adds(out, "and");
    return 1;
}

size_t koe_rule_symbol(const koe_scan *c, koe_buf *out)
{
    static const struct {
        const char *sign, *words;
    } signs[] = { { "©", "copyright" }, { "®", "" }, { "™", "" }, { "℠", "" }, { "§", "section" }, { "¶", "paragraph" }, { "•", "" }, { "·", "" }, { "▪", "" },
        { "●", "" }, { "■", "" }, { "◦", "" }, { "‣", "" }, { "→", "" }, { "←", "" }, { "⇒", "" }, { "✓", "" }, { "✔", "" }, { "★", "star" }, { "☆", "" },
        { "°", "degrees" }, { "∞", "infinity" }, { "√", "the square root of" }, { "π", "pi" }, { "∑", "the sum of" }, { "∆", "delta" }, { "Δ", "delta" },
        { "µ", "micro" }, { "μ", "mu" }, { "Ω", "ohms" }, { "α", "alpha" }, { "β", "beta" }, { "γ", "gamma" }, { "λ", "lambda" }, { "σ", "sigma" },
        { "θ", "theta" }, { "²", "squared" }, { "³", "cubed" }, { "†", "" }, { "‡", "" }, { "|", "" }, { "¬", "not" }, { "∈", "in" } };
    koe_str here = koe_str_sub(c->s, c->at, 4);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        koe_str sign = koe_str_of(signs[i].sign);
        if (!koe_str_starts(here, sign)) continue;
        uint32_t next = koe_utf8_first(koe_str_sub(c->s, c->at + sign.n, 4)), before = koe_utf8_last((koe_str){ c->s.p, c->at });
        bool greek = (koe_utf8_first(sign) & ~0x7fu) == 0x380;
        if (greek && ((next >= 0x370 && next < 0x400) || (before >= 0x370 && before < 0x400))) return 0; /* a Greek word */
        return *signs[i].words ? say(out, signs[i].words, sign.n) : (koe_buf_addc(out, ' '), sign.n);
    }
    return 0;
}

size_t koe_rule_short(const koe_scan *c, koe_buf *out)
{
    static const char *const forms[][2] = { { "w/o", "without" }, { "w/", "with" }, { "b/c", "because" }, { "'n'", "and" }, { "’n’", "and" },
        { "‘n’", "and" } };
    koe_str here = koe_str_sub(c->s, c->at, 8);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = strlen(forms[i][0]);
        if (!koe_str_starts(here, koe_str_of(forms[i][0])) || (n > 2 && koe_is_alnum(koe_byte(here, n))) || (i > 2 && koe_before(c) != ' ')) continue;
        koe_buf_adds(out, forms[i][1]);
        if (koe_byte(c->s, c->at + n) != ' ') koe_buf_addc(out, ' ');
        return n;
    }
    return 0;
}
