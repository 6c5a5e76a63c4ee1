/* Drives the C reader over a stream of tables: each frame on stdin is a u32 length and its bytes.
 *
 * dump                            canonical JSON of each table, by the public calls alone
 * codes DEVICE NETWORK TASK CONTEXT   one byte per table: what dse_lut_open answers ("-": any)
 * damage FLIPS                    of one table: every flipped bit, every cut, FLIPS flips of 2 to 4
 *                                 bits; prints how many were tried and how many were accepted
 * select                          of one table and one frame of requests: row and reason of each
 * time ROUNDS                     as select; prints nanoseconds per decision
 * scan ROUNDS                     as time, with the plain loop over all rows instead
 * predict                         of one table and pairs (entropy, threshold): predicted exit layers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reader.h"

static uint8_t *frame(uint32_t *size)
{
    uint8_t head[4];
    uint8_t *bytes;
    if (fread(head, 1, 4, stdin) != 4) {
        return NULL;
    }
    *size = (uint32_t)head[0] | ((uint32_t)head[1] << 8) | ((uint32_t)head[2] << 16)
            | ((uint32_t)head[3] << 24);
    bytes = (uint8_t *)malloc(*size + 1u);
    if (bytes == NULL || fread(bytes, 1, *size, stdin) != *size) {
        exit(2);
    }
    return bytes;
}

static void quote(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('"');
}

static void key(const char *before, const char *name)
{
    printf("%s\"%s\":", before, name);
}

static void choices(const dse_lut *t, const dse_lut_column *c)
{
    uint32_t i;
    key("{", "choices");
    for (i = 0; i < c->labels; i++) {
        putchar(i == 0 ? '[' : ',');
        quote(dse_lut_label(t, c->first_label + i));
    }
    printf(c->labels == 0 ? "[]" : "]");
}

static void knobs(const dse_lut *t, uint32_t kind)
{
    uint32_t i;
    putchar('[');
    for (i = 0; i < t->count[kind]; i++) {
        const dse_lut_column c = dse_lut_column_at(t, kind, i);
        if (i > 0) {
            putchar(',');
        }
        choices(t, &c);
        printf(",\"decimals\":%u,\"name\":", (unsigned)c.decimals);
        quote(c.name);
        key(",", "unit");
        quote(c.unit);
        if (kind == DSE_LUT_DESIGN) {
            printf(",\"value\":%" PRId64, c.value);
        }
        putchar('}');
    }
    putchar(']');
}

static void predictions(const dse_lut *t)
{
    static const char *const label[5] = {"", "measured", "closed form", "published", "unverified"};
    uint32_t i;
    putchar('[');
    for (i = 0; i < t->count[DSE_LUT_PREDICTION]; i++) {
        const dse_lut_column c = dse_lut_column_at(t, DSE_LUT_PREDICTION, i);
        printf("%s{\"decimals\":%u,\"direction\":\"%s\",\"evidence\":\"%s\",\"margin\":%" PRId64,
               i > 0 ? "," : "", (unsigned)c.decimals, c.sense == DSE_LUT_MIN ? "min" : "max",
               label[c.evidence], c.value);
        key(",", "name");
        quote(c.name);
        key(",", "unit");
        quote(c.unit);
        putchar('}');
    }
    putchar(']');
}

static void kept_limits(const dse_lut *t)
{
    uint32_t i;
    putchar('[');
    for (i = 0; i < t->count[DSE_LUT_KEPT_LIMIT]; i++) {
        const dse_lut_column c = dse_lut_column_at(t, DSE_LUT_KEPT_LIMIT, i);
        printf("%s{\"bound\":%" PRId64 ",\"decimals\":%u,\"name\":", i > 0 ? "," : "", c.value,
               (unsigned)c.decimals);
        quote(c.name);
        printf(",\"side\":\"%s\",\"unit\":", c.sense == DSE_LUT_MIN ? "max" : "min");
        quote(c.unit);
        putchar('}');
    }
    putchar(']');
}

static void rows(const dse_lut *t)
{
    int64_t s[DSE_LUT_MOST_COLUMNS], p[DSE_LUT_MOST_COLUMNS];
    uint32_t i, j;
    for (i = 0; dse_lut_row(t, i, s, p); i++) {
        printf("%s{\"predictions\":", i > 0 ? "," : "[");
        for (j = 0; j < t->count[DSE_LUT_PREDICTION]; j++) {
            printf("%c%" PRId64, j > 0 ? ',' : '[', p[j]);
        }
        printf("],\"settings\":");
        for (j = 0; j < t->count[DSE_LUT_SETTING]; j++) {
            printf("%c%" PRId64, j > 0 ? ',' : '[', s[j]);
        }
        printf("]}");
    }
    putchar(']');
}

static void exits(const dse_lut *t)
{
    uint32_t i, j;
    if (t->exit_rows == 0) {
        printf("null");
        return;
    }
    printf("{\"entropies\":");
    for (i = 0; i < t->exit_rows; i++) {
        putchar(i > 0 ? ',' : '[');
        for (j = 0; j < t->exit_columns; j++) {
            printf("%c%" PRIu32, j > 0 ? ',' : '[', dse_lut_exit_entropy(t, i, j));
        }
        putchar(']');
    }
    printf("],\"layer\":%u,\"step\":%" PRIu32 "}", (unsigned)t->exit_layer, t->exit_step);
}

static void dump(const dse_lut *t)
{
    uint32_t i;
    key("{", "default");
    key("{", "best");
    quote(dse_lut_column_at(t, DSE_LUT_PREDICTION, t->default_best).name);
    printf(",\"row\":%u},\"depends_on\":{", (unsigned)t->default_row);
    for (i = 0; i < t->facts; i++) {
        if (i > 0) {
            putchar(',');
        }
        quote(dse_lut_fact_name(t, i));
        putchar(':');
        quote(dse_lut_fact(t, i));
    }
    key("},", "design");
    knobs(t, DSE_LUT_DESIGN);
    key(",", "exit_predictor");
    exits(t);
    key(",\"format\":\"edge-dse-lut\",", "kept_limits");
    kept_limits(t);
    printf(",\"operating_points\":[");
    for (i = 0; i < t->points; i++) {
        printf("%s{\"hertz\":%" PRId64 ",\"microvolt\":%" PRId64 "}", i > 0 ? "," : "",
               dse_lut_hertz(t, i), dse_lut_microvolt(t, i));
    }
    key("],", "predictions");
    predictions(t);
    key(",", "rows");
    rows(t);
    key(",", "run_identity");
    quote(dse_lut_about(t, 1));
    key(",", "settings");
    knobs(t, DSE_LUT_SETTING);
    printf(",\"sha256\":\"");
    for (i = 0; i < 32u; i++) {
        printf("%02x", (unsigned)t->data[56u + i]);
    }
    key("\",", "sorted_by");
    quote(dse_lut_column_at(t, DSE_LUT_PREDICTION, t->sorted_by).name);
    key(",", "study");
    quote(dse_lut_about(t, 0));
    printf(",\"valid_for\":{\"context\":");
    quote(dse_lut_about(t, 5));
    key(",", "device");
    quote(dse_lut_about(t, 2));
    key(",", "network");
    quote(dse_lut_about(t, 3));
    key(",", "task");
    quote(dse_lut_about(t, 4));
    printf("},\"version\":1}\n");
}

static uint64_t state = 88172645463325252u;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

static void damage(uint8_t *bytes, uint32_t size, long many)
{
    dse_lut t;
    uint32_t bit, cut, accepted[3] = {0, 0, 0};
    long i;
    for (bit = 0; bit < 8u * size; bit++) {
        bytes[bit / 8u] = (uint8_t)(bytes[bit / 8u] ^ (1u << (bit % 8u)));
        accepted[0] += dse_lut_open(&t, bytes, size, NULL) == DSE_LUT_OK;
        bytes[bit / 8u] = (uint8_t)(bytes[bit / 8u] ^ (1u << (bit % 8u)));
    }
    for (cut = 0; cut < size; cut++) {
        uint8_t *const shorter = (uint8_t *)malloc(cut + 1u);
        if (shorter == NULL) {
            exit(2);
        }
        memcpy(shorter, bytes, cut);
        accepted[1] += dse_lut_open(&t, shorter, cut, NULL) == DSE_LUT_OK;
        free(shorter);
    }
    for (i = 0; i < many; i++) {
        uint32_t at[4], k, count = 2u + below(3u);
        for (k = 0; k < count; k++) {
            at[k] = below(8u * size);
            bytes[at[k] / 8u] = (uint8_t)(bytes[at[k] / 8u] ^ (1u << (at[k] % 8u)));
        }
        /* Two flips of one bit undo each other: only what really differs counts. */
        if (!((count == 2u && at[0] == at[1])
              || (count == 4u
                  && ((at[0] == at[1] && at[2] == at[3]) || (at[0] == at[2] && at[1] == at[3])
                      || (at[0] == at[3] && at[1] == at[2]))))) {
            accepted[2] += dse_lut_open(&t, bytes, size, NULL) == DSE_LUT_OK;
        }
        for (k = 0; k < count; k++) {
            bytes[at[k] / 8u] = (uint8_t)(bytes[at[k] / 8u] ^ (1u << (at[k] % 8u)));
        }
    }
    printf("%u %u %u %u %ld %u\n", 8u * size, accepted[0], size, accepted[1], many, accepted[2]);
}

typedef struct {
    int64_t limits[DSE_LUT_MOST_COLUMNS];
    uint32_t objective;
    int32_t current;
} request;

/* The rule without its tricks: every row, every limit, through the public calls. */
static dse_lut_choice scan(const dse_lut *t, const request *asked)
{
    const uint32_t m = t->count[DSE_LUT_PREDICTION];
    uint32_t i, j, current_fits = 0;
    int64_t least = INT64_MAX, held = 0;
    dse_lut_choice c;
    c.row = t->default_row;
    c.why = DSE_LUT_NOTHING_FITS;
    for (i = 0; i < t->rows; i++) {
        int64_t loss;
        for (j = 0; j < m; j++) {
            const int64_t v = dse_lut_prediction(t, i, j);
            const int less = dse_lut__is_min(t, j);
            if (asked->limits[j] != DSE_LUT_NO_LIMIT
                && (less ? v > asked->limits[j] : v < asked->limits[j])) {
                break;
            }
        }
        if (j < m) {
            continue;
        }
        loss = dse_lut__loss(t, i, asked->objective);
        if (loss < least) {
            least = loss;
            c.row = (uint16_t)i;
            c.why = DSE_LUT_FITS;
        }
        if ((int32_t)i == asked->current) {
            current_fits = 1;
            held = loss;
        }
    }
    if (current_fits
        && held - least <= dse_lut_column_at(t, DSE_LUT_PREDICTION, asked->objective).value) {
        c.row = (uint16_t)asked->current;
        c.why = DSE_LUT_KEPT;
    }
    return c;
}

static void choose(const dse_lut *t, const uint8_t *bytes, uint32_t size, long rounds, int plainly)
{
    const uint32_t m = t->count[DSE_LUT_PREDICTION], stride = 8u * m + 8u, count = size / stride;
    request *const asked = (request *)malloc((count + 1u) * sizeof(request));
    uint32_t i, sum = 0;
    long k;
    struct timespec start, end;
    if (asked == NULL) {
        exit(2);
    }
    for (i = 0; i < count; i++) {
        memcpy(asked[i].limits, bytes + i * stride, 8u * m);
        memcpy(&asked[i].objective, bytes + i * stride + 8u * m, 4);
        memcpy(&asked[i].current, bytes + i * stride + 8u * m + 4u, 4);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (k = 0; k < rounds; k++) {
        for (i = 0; i < count; i++) {
            sum += plainly ? scan(t, &asked[i]).row
                           : dse_lut_select(t, asked[i].limits, asked[i].objective,
                                            asked[i].current)
                                 .row;
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    for (i = 0; i < count && rounds == 0; i++) {
        const dse_lut_choice c =
            dse_lut_select(t, asked[i].limits, asked[i].objective, asked[i].current);
        putchar(c.row & 255);
        putchar(c.row >> 8);
        putchar(c.why);
    }
    if (rounds > 0) {
        const double ns = 1e9 * (double)(end.tv_sec - start.tv_sec)
                          + (double)(end.tv_nsec - start.tv_nsec);
        printf("%.2f %u\n", ns / ((double)rounds * (double)count), sum);
    }
    free(asked);
}

int main(int argc, char **argv)
{
    dse_lut t;
    dse_lut_identity expected = {NULL, NULL, NULL, NULL};
    const char *const mode = argc > 1 ? argv[1] : "dump";
    uint32_t size = 0, more = 0, i;
    uint8_t *bytes;
    if (argc == 6) {
        expected.device = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
        expected.network = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
        expected.task = strcmp(argv[4], "-") == 0 ? NULL : argv[4];
        expected.context = strcmp(argv[5], "-") == 0 ? NULL : argv[5];
    }
    while ((bytes = frame(&size)) != NULL) {
        const int fault = dse_lut_open(&t, bytes, size, &expected);
        if (strcmp(mode, "codes") == 0) {
            putchar(fault);
        } else if (fault != DSE_LUT_OK) {
            printf("fault %d\n", fault);
        } else if (strcmp(mode, "dump") == 0) {
            dump(&t);
        } else if (strcmp(mode, "damage") == 0) {
            damage(bytes, size, atol(argv[2]));
        } else {
            uint8_t *const asked = frame(&more);
            if (asked == NULL) {
                return 2;
            }
            if (strcmp(mode, "predict") == 0) {
                for (i = 0; i + 8u <= more; i += 8u) {
                    putchar((int)dse_lut_exit_layer(&t, dse_lut__u32(asked + i),
                                                    dse_lut__u32(asked + i + 4u)));
                }
            } else {
                choose(&t, asked, more, argc == 3 ? atol(argv[2]) : 0, strcmp(mode, "scan") == 0);
            }
            free(asked);
        }
        free(bytes);
    }
    return 0;
}
