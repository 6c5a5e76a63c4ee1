/* Fuzzes the C reader: whatever it opens, every call on it stays inside the bytes.
 *
 * With libFuzzer (clang -fsanitize=fuzzer), or with the mutator below:
 *     fuzz SEED_FILE SECONDS RANDOM_SEED
 * Each input lies in a block of exactly its size, so that the sanitizer sees one byte too many. The
 * input is opened as it is and once more with magic, version, size and checksum put right, so that
 * the checks behind the checksum are reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reader.h"

static unsigned long long tried, opened;
static volatile uint64_t sink;

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static uint64_t read_text(const char *text)
{
    uint64_t sum = 0;
    while (*text != '\0') {
        sum = sum * 31u + (unsigned char)*text++;
    }
    return sum;
}

static void use(const dse_lut *t)
{
    int64_t s[DSE_LUT_MOST_COLUMNS], p[DSE_LUT_MOST_COLUMNS], limits[DSE_LUT_MOST_COLUMNS];
    uint32_t i, j, kind;
    uint64_t sum = 0;
    for (i = 0; i < 6u; i++) {
        sum += read_text(dse_lut_about(t, i));
    }
    for (i = 0; i < t->facts; i++) {
        sum += read_text(dse_lut_fact_name(t, i)) + read_text(dse_lut_fact(t, i));
    }
    for (kind = 0; kind < 4u; kind++) {
        for (i = 0; i < t->count[kind]; i++) {
            const dse_lut_column c = dse_lut_column_at(t, kind, i);
            sum += read_text(c.name) + read_text(c.unit) + (uint64_t)c.value;
            sum += (uint64_t)dse_lut_find(t, kind, c.name);
            for (j = 0; j < c.labels; j++) {
                sum += read_text(dse_lut_label(t, c.first_label + j));
            }
        }
    }
    for (i = 0; dse_lut_row(t, i, s, p); i++) {
        sum += (uint64_t)s[0] + (uint64_t)p[0];
        for (j = 0; j < t->count[DSE_LUT_PREDICTION]; j++) {
            limits[j] = j % 3u == 2u ? DSE_LUT_NO_LIMIT : p[j];
        }
        sum += dse_lut_select(t, limits, i % t->count[DSE_LUT_PREDICTION], (int32_t)i).row;
        limits[0] = INT64_MAX;
        sum += dse_lut_select(t, limits, 0, DSE_LUT_NO_ROW).row;
    }
    for (i = 0; i < t->points; i++) {
        sum += (uint64_t)dse_lut_microvolt(t, i)
               + (uint64_t)dse_lut_point_for(t, dse_lut_hertz(t, i) + 1);
    }
    for (i = 0; i < t->exit_rows; i++) {
        sum += dse_lut_exit_layer(t, i * t->exit_step, dse_lut_exit_entropy(t, i, 0));
        sum += dse_lut_exit_layer(t, UINT32_MAX, i);
    }
    sink += sum;
}

static void try_one(const uint8_t *bytes, size_t size)
{
    dse_lut t;
    tried++;
    if (dse_lut_open(&t, bytes, size, NULL) == DSE_LUT_OK) {
        opened++;
        use(&t);
    } else if (dse_lut_select(&t, NULL, 0, DSE_LUT_NO_ROW).why != DSE_LUT_BAD_REQUEST) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t magic[8] = {0x89u, 0x45u, 0x4cu, 0x55u, 0x54u, 0x0du, 0x0au, 0x1au};
    uint8_t *const bytes = (uint8_t *)calloc(size, 1);
    if (size > 0 && bytes == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    try_one(bytes, size);
    if (size >= 116u) {
        memcpy(bytes, magic, 8);
        put32(bytes + 8, 1u);
        put32(bytes + 12, (uint32_t)size);
        put32(bytes + size - 4, dse_lut__crc32(bytes, (uint32_t)size - 4u));
        try_one(bytes, size);
    }
    free(bytes);
    return 0;
}

#ifndef WITH_LIBFUZZER
static uint64_t state;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

/* A few edits of a sound table: bits, bytes and small numbers, most of them in the header. */
static size_t mutated(const uint8_t *seed, size_t size, uint8_t *out, size_t room)
{
    uint32_t edits = 1u + below(6u), k;
    size_t length = size;
    memcpy(out, seed, size);
    for (k = 0; k < edits; k++) {
        const uint32_t place = below(3u) == 0u ? below((uint32_t)length)
                                               : below(length < 400u ? (uint32_t)length : 400u);
        switch (below(6u)) {
        case 0: out[place] = (uint8_t)(out[place] ^ (1u << below(8u))); break;
        case 1: out[place] = (uint8_t)below(256u); break;
        case 2: out[place] = (uint8_t)(out[place] + below(5u) - 2u); break;
        case 3: out[place] = below(2u) ? 0u : 255u; break;
        case 4: {
            const uint32_t other = below((uint32_t)length);
            const uint32_t many = below(16u);
            if (place + many <= length && other + many <= length) {
                memmove(out + place, out + other, many);
            }
            break;
        }
        default:
            length = below(2u) ? 1u + below((uint32_t)length) : length;
            if (length + 8u < room && below(2u)) {
                memset(out + length, (int)below(256u), 8);
                length += below(9u);
            }
        }
    }
    return length;
}

int main(int argc, char **argv)
{
    static uint8_t seed[1 << 16], input[(1 << 16) + 64];
    FILE *const file = argc == 4 ? fopen(argv[1], "rb") : NULL;
    const size_t size = file != NULL ? fread(seed, 1, sizeof seed, file) : 0;
    const double seconds = argc == 4 ? atof(argv[2]) : 0;
    if (size == 0) {
        return 2;
    }
    fclose(file);
    state = 88172645463325252u + (uint64_t)atol(argv[3]);
    LLVMFuzzerTestOneInput(seed, size);
    if (opened != 2u) {
        return 3;
    }
    while ((double)clock() < seconds * (double)CLOCKS_PER_SEC) {
        int i;
        for (i = 0; i < 64; i++) {
            LLVMFuzzerTestOneInput(input, mutated(seed, size, input, sizeof input));
        }
    }
    printf("%llu %llu\n", tried, opened);
    return 0;
}
#endif
