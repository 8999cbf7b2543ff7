/* The inner loops of batches: envelopes to columns, tokens to what they hold.

   kernel.py says when this is used and what does the same in Python. Nothing here is believed
   that was not checked: what is not plain is named, and the slow road judges it. No function
   allocates, keeps a pointer, or reads beyond the sizes that it is given. SHA-256 and AES are
   OpenSSL's: the one comes in as a pair of pointers, the other is the caller's. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ABI = 1, MAC = 32, IV_AT = 9, OVERHEAD = 57, BLOCK = 16, CONTEXT = 128 };

/* A row's state: judged by nobody yet, a token that no key has opened yet, opened. */
enum { REST, TOKEN, OPENED };

int32_t kernel_abi(void) { return ABI; }

/* ---------- envelopes */

typedef struct {
    const uint8_t *at, *end;
} Text;

static int literal(Text *text, const char *wanted, size_t size) {
    if ((size_t)(text->end - text->at) < size || memcmp(text->at, wanted, size)) return 0;
    text->at += size;
    return 1;
}
#define LITERAL(text, wanted) literal(text, wanted, sizeof(wanted) - 1)

static void blank(Text *text) {
    if (text->at < text->end && *text->at == ' ') text->at++;
}

/* Returns how many digits there are, at most `most`; another one behind them is not looked at. */
static int digits(Text *text, int most, uint64_t *value) {
    int count = 0;
    while (count < most && text->at < text->end && (uint8_t)(*text->at - '0') < 10) {
        *value = *value * 10 + (uint64_t)(*text->at++ - '0');
        count++;
    }
    return count;
}

static int identifier(Text *text, int64_t *value) {
    const uint8_t *first = text->at;
    uint64_t number = 0;
    int count = digits(text, 18, &number);
    *value = (int64_t)number;
    return count == 1 || (count > 1 && *first != '0');
}

/* Seconds with up to nine decimals, as milliseconds: read as a double, as JSON is; rounded as
   Python does, halves to the even one. Ten digits before the point, so 2001 to 2286. */
static int stamp(Text *text, int64_t *milliseconds) {
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    const uint8_t *first = text->at;
    uint64_t value = 0;
    int decimals = 0;
    if (digits(text, 10, &value) != 10 || *first == '0') return 0;
    if (text->at < text->end && *text->at == '.') {
        text->at++;
        if (!(decimals = digits(text, 9, &value))) return 0;
    }
    /* Up to 2 to the 53rd both are exact as doubles, so that one division rounds once. */
    double seconds = (double)value / powers[decimals];
    if (value > (uint64_t)1 << 53) {
        char spelled[24] = {0};
        memcpy(spelled, first, (size_t)(text->at - first));
        seconds = strtod(spelled, NULL);
    }
    *milliseconds = (int64_t)rint(seconds * 1000.0);
    return 1;
}

/* Moves behind the closing quote of a string without escapes, control characters or non-ASCII. */
static int plain_string(Text *text, int32_t *size) {
    const uint8_t *quote = memchr(text->at, '"', (size_t)(text->end - text->at));
    if (!quote) return 0;
    uint8_t strange = 0;
    for (const uint8_t *sign = text->at; sign < quote; sign++)
        strange |= (uint8_t)((*sign < 0x20) | (*sign >= 0x80) | (*sign == '\\'));
    *size = (int32_t)(quote - text->at);
    text->at = quote + 1;
    return !strange;
}

/* Reads a JSON array of envelopes that are all in the source's own form, and short of 2 GB.

   Returns their number, or -1 if anything in the body is in another form, or they are more than
   `most`. begins and ends are those of the objects; token_at and token_size of their tokens. */
int64_t kernel_scan(const uint8_t *body, int64_t size, int64_t most, int64_t *ids,
                    int64_t *milliseconds, int32_t *begins, int32_t *ends, int32_t *token_at,
                    int32_t *token_size) {
    Text text = {body, body + size};
    int64_t row = 0;
    if (size > INT32_MAX || !LITERAL(&text, "[")) return -1;
    LITERAL(&text, "\n");
    do {
        if (row == most) return -1;
        if (row && !LITERAL(&text, "\n")) blank(&text);
        begins[row] = (int32_t)(text.at - body);
        if (!LITERAL(&text, "{\"recordId\":")) return -1;
        blank(&text);
        if (!identifier(&text, &ids[row]) || !LITERAL(&text, ",")) return -1;
        blank(&text);
        if (!LITERAL(&text, "\"ArrivalTimeStamp\":")) return -1;
        blank(&text);
        if (!stamp(&text, &milliseconds[row]) || !LITERAL(&text, ",")) return -1;
        blank(&text);
        if (!LITERAL(&text, "\"data\":")) return -1;
        blank(&text);
        if (!LITERAL(&text, "\"")) return -1;
        token_at[row] = (int32_t)(text.at - body);
        if (!plain_string(&text, &token_size[row]) || !LITERAL(&text, "}")) return -1;
        ends[row++] = (int32_t)(text.at - body);
    } while (LITERAL(&text, ","));
    LITERAL(&text, "\n");
    return LITERAL(&text, "]") && text.at == text.end ? row : -1;
}

/* ---------- tokens */

#define STRAY (1u << 31)
static uint32_t sextets[256];

static void __attribute__((constructor)) fill(void) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int sign = 0; sign < 256; sign++) sextets[sign] = STRAY;
    for (uint32_t value = 0; value < 64; value++) sextets[(uint8_t)letters[value]] = value;
    sextets['+'] = 62;
    sextets['/'] = 63;
}

/* Returns the three bytes of four signs; STRAY is set if one of these is none of base64. */
static uint32_t triple(const uint8_t *signs) {
    uint32_t a = sextets[signs[0]], b = sextets[signs[1]], c = sextets[signs[2]],
             d = sextets[signs[3]];
    return ((a | b | c | d) & STRAY) | a << 18 | b << 12 | c << 6 | d;
}

/* Returns how many bytes a token's text holds, 0 if it has not the shape of a token. */
static int32_t decoded(const uint8_t *text, int32_t size, int32_t most, uint8_t *out) {
    int32_t whole = size / 4 * 3, padding = (whole - OVERHEAD) % BLOCK;
    if (size > most || size % 4 || whole <= OVERHEAD || padding > 2 || whole - padding <= OVERHEAD)
        return 0;
    uint32_t strange = 0, value;
    for (const uint8_t *last = text + size - 4; text < last; text += 4, out += 3) {
        strange |= value = triple(text);
        out[0] = (uint8_t)(value >> 16);
        out[1] = (uint8_t)(value >> 8);
        out[2] = (uint8_t)value;
    }
    uint8_t tail[4];
    memcpy(tail, text, 4);
    for (int32_t place = 4 - padding; place < 4; place++) {
        if (tail[place] != '=') return 0;
        tail[place] = 'A';
    }
    strange |= value = triple(tail);
    for (int32_t place = 0; place < 3 - padding; place++)
        out[place] = (uint8_t)(value >> (16 - 8 * place));
    return strange & STRAY ? 0 : whole - padding;
}

/* Decodes the base64 of tokens: row i lies in `out` from offsets[i] to offsets[i + 1].

   `out` has room for 3/4 of all characters. Sets states and stamps; returns the number of rows
   that are tokens in shape. */
int64_t kernel_decode(const uint8_t *text, const int32_t *at, const int32_t *sizes, int64_t count,
                      int32_t most, uint8_t *out, int32_t *offsets, uint8_t *states,
                      uint64_t *stamps) {
    int64_t tokens = 0;
    offsets[0] = 0;
    for (int64_t row = 0; row < count; row++) {
        uint8_t *begin = out + offsets[row];
        int32_t size = decoded(text + at[row], sizes[row], most, begin);
        uint64_t stamp = 0;
        for (int place = 1; size && place < IV_AT; place++) stamp = stamp << 8 | begin[place];
        stamps[row] = stamp;
        if (size && *begin != 0x80) size = 0;
        states[row] = size ? TOKEN : REST;
        offsets[row + 1] = offsets[row] + size;
        tokens += size > 0;
    }
    return tokens;
}

typedef int (*Update)(void *context, const void *data, size_t size);
typedef int (*Final)(uint8_t *digest, void *context);

/* Finds the tokens that a key has signed, among those that no key has opened yet.

   `inner` and `outer` are OpenSSL's SHA-256 contexts after the key's two pads. Appends IV and
   ciphertext of these rows to `out`, where the last one ended at `end`, their ends to `ends` and
   their numbers to `opened`, counted from `first_row`. A row whose stamp is after its latest is
   left to the slow road. Returns how many were opened. */
int64_t kernel_verify(Update update, Final final, const uint8_t *inner, const uint8_t *outer,
                      const uint8_t *raw, const int32_t *offsets, int64_t count,
                      const uint64_t *stamps, const uint64_t *latest, uint8_t *states,
                      int32_t first_row, uint8_t *out, int32_t end, int32_t *ends,
                      int32_t *opened) {
    int64_t found = 0;
    for (int64_t row = 0; row < count; row++) {
        if (states[row] != TOKEN) continue;
        const uint8_t *token = raw + offsets[row];
        int32_t signed_size = offsets[row + 1] - offsets[row] - MAC;
        _Alignas(16) uint8_t context[CONTEXT];
        uint8_t digest[MAC], differs = 0;
        memcpy(context, inner, CONTEXT);
        update(context, token, (size_t)signed_size);
        final(digest, context);
        memcpy(context, outer, CONTEXT);
        update(context, digest, MAC);
        final(digest, context);
        /* To the end, however early they differ: time must not tell how much of it was right. */
        for (int place = 0; place < MAC; place++)
            differs |= digest[place] ^ token[signed_size + place];
        if (differs) continue;
        states[row] = REST;
        if (stamps[row] > latest[row]) continue;
        states[row] = OPENED;
        int32_t size = signed_size - IV_AT;
        memcpy(out, token + IV_AT, (size_t)size);
        out += size;
        ends[found] = end += size;
        opened[found++] = first_row + (int32_t)row;
    }
    return found;
}
