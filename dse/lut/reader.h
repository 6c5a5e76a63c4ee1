/* Reader of Edge DSE lookup tables, version 1. C99 and C++11; needs <stdint.h> and <stddef.h> only.
 *
 * No heap, no floating point, no recursion, less than 1 KiB of stack. dse_lut_open checks every
 * byte once; after that nothing is checked again, so the bytes must stay as they are.
 * Layout and rules: docs/lut.md of Edge DSE. Numbers are integers: value * 10^-decimals [unit].
 */
#ifndef DSE_LUT_READER_1
#define DSE_LUT_READER_1

#include <stddef.h>
#include <stdint.h>

/* What dse_lut_open answers. */
enum {
    DSE_LUT_OK = 0,
    DSE_LUT_TOO_SHORT = 1,
    DSE_LUT_MAGIC = 2,
    DSE_LUT_BYTE_ORDER = 3,
    DSE_LUT_VERSION = 4,
    DSE_LUT_SIZE = 5,
    DSE_LUT_CRC = 6,
    DSE_LUT_EMPTY = 7,
    DSE_LUT_LAYOUT = 8,
    DSE_LUT_STRING = 9,
    DSE_LUT_COLUMN = 10,
    DSE_LUT_NAMES = 11,
    DSE_LUT_VALUE = 12,
    DSE_LUT_ORDER = 13,
    DSE_LUT_DEFAULT = 14,
    DSE_LUT_POINTS = 16,
    DSE_LUT_INDEX = 17,
    DSE_LUT_DEVICE = 18,
    DSE_LUT_NETWORK = 19,
    DSE_LUT_TASK = 20,
    DSE_LUT_CONTEXT = 21
};

/* Kinds of columns. */
enum { DSE_LUT_DESIGN = 0, DSE_LUT_SETTING = 1, DSE_LUT_PREDICTION = 2, DSE_LUT_KEPT_LIMIT = 3 };

/* Senses: of a prediction, less or more is better; of a limit, at most or at least. */
enum { DSE_LUT_MIN = 1, DSE_LUT_MAX = 2 };

/* Why a row was selected. */
enum { DSE_LUT_FITS = 0, DSE_LUT_KEPT = 1, DSE_LUT_NOTHING_FITS = 2, DSE_LUT_BAD_REQUEST = 3 };

#define DSE_LUT_MOST_COLUMNS 32
#define DSE_LUT_LARGEST INT64_C(9007199254740991)
#define DSE_LUT_NO_LIMIT INT64_MIN
#define DSE_LUT_NO_ROW (-1)

/* An open table; the fields are the reader's own. */
typedef struct {
    const uint8_t *data;
    uint32_t settings_at, predictions_at, points_at, exits_at, labels_at, facts_at, orders_at;
    uint32_t ranks_at, strings_at, exit_step;
    uint16_t rows, labels, facts, points, exit_rows, exit_columns, exit_layer;
    uint16_t count[4], first[4];
    uint16_t sorted_by, default_row, default_best;
} dse_lut;

/* What the caller expects a table to be valid for; NULL asks nothing. */
typedef struct {
    const char *device, *network, *task, *context;
} dse_lut_identity;

typedef struct {
    const char *name, *unit;
    int64_t value; /* of a fixed knob; margin of a prediction; bound of a kept limit */
    uint16_t first_label, labels;
    uint8_t decimals, sense, evidence; /* 1 measured, 2 closed form, 3 published, 4 unverified */
} dse_lut_column;

typedef struct {
    uint16_t row;
    uint8_t why;
} dse_lut_choice;

/* ---- little-endian loads, from any address ---- */

static inline uint32_t dse_lut__u16(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8);
}

static inline uint32_t dse_lut__u32(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline int64_t dse_lut__i64(const uint8_t *p)
{
    return (int64_t)((uint64_t)p[0] | ((uint64_t)p[1] << 8) | ((uint64_t)p[2] << 16)
                     | ((uint64_t)p[3] << 24) | ((uint64_t)p[4] << 32) | ((uint64_t)p[5] << 40)
                     | ((uint64_t)p[6] << 48) | ((uint64_t)p[7] << 56));
}

/* ---- access; every index must be below its count ---- */

static inline int64_t dse_lut_setting(const dse_lut *t, uint32_t row, uint32_t column)
{
    return dse_lut__i64(t->data + t->settings_at
                        + 8u * (row * t->count[DSE_LUT_SETTING] + column));
}

static inline int64_t dse_lut_prediction(const dse_lut *t, uint32_t row, uint32_t column)
{
    return dse_lut__i64(t->data + t->predictions_at
                        + 8u * (row * t->count[DSE_LUT_PREDICTION] + column));
}

/* Copies a row; either pointer may be NULL. Answers 0 if there is no such row. */
static inline int dse_lut_row(const dse_lut *t, uint32_t row, int64_t *settings,
                              int64_t *predictions)
{
    uint32_t j;
    if (row >= t->rows) {
        return 0;
    }
    for (j = 0; settings != NULL && j < t->count[DSE_LUT_SETTING]; j++) {
        settings[j] = dse_lut_setting(t, row, j);
    }
    for (j = 0; predictions != NULL && j < t->count[DSE_LUT_PREDICTION]; j++) {
        predictions[j] = dse_lut_prediction(t, row, j);
    }
    return 1;
}

static inline const uint8_t *dse_lut__descriptor(const dse_lut *t, uint32_t index)
{
    return t->data + 112u + 24u * index;
}

static inline const char *dse_lut__text(const dse_lut *t, uint32_t at)
{
    return (const char *)(t->data + t->strings_at + at);
}

static inline dse_lut_column dse_lut_column_at(const dse_lut *t, uint32_t kind, uint32_t index)
{
    const uint8_t *d = dse_lut__descriptor(t, (uint32_t)t->first[kind] + index);
    dse_lut_column c;
    c.name = dse_lut__text(t, dse_lut__u32(d));
    c.unit = dse_lut__text(t, dse_lut__u32(d + 4));
    c.decimals = d[8];
    c.sense = d[9];
    c.evidence = d[10];
    c.first_label = (uint16_t)dse_lut__u16(d + 12);
    c.labels = (uint16_t)dse_lut__u16(d + 14);
    c.value = dse_lut__i64(d + 16);
    return c;
}

/* Label of a choice: dse_lut_label(t, column.first_label + value). */
static inline const char *dse_lut_label(const dse_lut *t, uint32_t index)
{
    return dse_lut__text(t, dse_lut__u32(t->data + t->labels_at + 4u * index));
}

/* Study, run identity, device, network, task, context. */
static inline const char *dse_lut_about(const dse_lut *t, uint32_t index)
{
    return dse_lut__text(t, dse_lut__u32(t->data + 88u + 4u * index));
}

static inline const char *dse_lut_fact_name(const dse_lut *t, uint32_t index)
{
    return dse_lut__text(t, dse_lut__u32(t->data + t->facts_at + 8u * index));
}

static inline const char *dse_lut_fact(const dse_lut *t, uint32_t index)
{
    return dse_lut__text(t, dse_lut__u32(t->data + t->facts_at + 8u * index + 4u));
}

static inline int64_t dse_lut_microvolt(const dse_lut *t, uint32_t point)
{
    return dse_lut__i64(t->data + t->points_at + 16u * point);
}

static inline int64_t dse_lut_hertz(const dse_lut *t, uint32_t point)
{
    return dse_lut__i64(t->data + t->points_at + 16u * point + 8u);
}

static inline uint32_t dse_lut_exit_entropy(const dse_lut *t, uint32_t row, uint32_t column)
{
    return dse_lut__u32(t->data + t->exits_at + 4u * (row * t->exit_columns + column));
}

/* ---- text ---- */

static inline int dse_lut__compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

/* Position of a column among its kind by name, -1 if there is none. */
static inline int dse_lut_find(const dse_lut *t, uint32_t kind, const char *name)
{
    uint32_t i;
    for (i = 0; i < t->count[kind]; i++) {
        if (dse_lut__compare(dse_lut_column_at(t, kind, i).name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- selection ---- */

/* One limit of a request: a row keeps it if its rank is below a number, here four times in a word. */
typedef struct {
    const uint8_t *ranks;
    uint64_t below;
} dse_lut__limit;

static inline uint32_t dse_lut__ranked(const dse_lut *t, uint32_t column, uint32_t rank)
{
    return dse_lut__u16(t->data + t->orders_at + 2u * (t->rows * column + rank));
}

/* Where the ranks of the rows in a column begin; padded to fours. */
static inline const uint8_t *dse_lut__ranks(const dse_lut *t, uint32_t column)
{
    return t->data + t->ranks_at + 8u * (((uint32_t)t->rows + 3u) / 4u) * column;
}

static inline int dse_lut__is_min(const dse_lut *t, uint32_t column)
{
    return dse_lut__descriptor(t, (uint32_t)t->first[DSE_LUT_PREDICTION] + column)[9]
           == DSE_LUT_MIN;
}

/* How many rows keep a limit: a binary search without a branch on a value. */
static inline uint32_t dse_lut__keeps(const dse_lut *t, uint32_t column, int64_t limit)
{
    const uint32_t stride = 8u * t->count[DSE_LUT_PREDICTION];
    const uint8_t *const values = t->data + t->predictions_at + 8u * column;
    const uint8_t *const order = t->data + t->orders_at + 2u * t->rows * column;
    const int64_t flip = dse_lut__is_min(t, column) ? 0 : -1; /* turns the sense round */
    const int64_t bound = limit ^ flip;
    uint32_t low = 0, left = t->rows;
    while (left > 1u) {
        const uint32_t half = left / 2u;
        const uint32_t row = dse_lut__u16(order + 2u * (low + half - 1u));
        const int64_t v = dse_lut__i64(values + row * stride) ^ flip;
        low += half & (0u - (uint32_t)(v <= bound));
        left -= half;
    }
    return low
           + (uint32_t)((dse_lut__i64(values + dse_lut__u16(order + 2u * low) * stride) ^ flip)
                        <= bound);
}

/* The best row that keeps all limits, or the number of rows. Four ranks are compared at once, in
 * the four parts of a word: a rank below `keeps` clears the highest bit of its part. */
static inline uint32_t dse_lut__best(const dse_lut *t, const dse_lut__limit *limits, uint32_t count,
                                     uint32_t objective)
{
    const uint64_t high = UINT64_C(0x8000800080008000);
    const uint8_t *const wanted = dse_lut__ranks(t, objective);
    const uint32_t n = t->rows, first_wins = objective == t->sorted_by;
    uint32_t best = n, least = n, k, j;
    for (k = 0; k < n; k += 4u) {
        uint64_t fit = high;
        for (j = 0; j < count; j++) {
            const uint64_t four = (uint64_t)dse_lut__i64(limits[j].ranks + 2u * k);
            fit &= ~((four | high) - limits[j].below);
        }
        for (j = k; fit != 0u; fit >>= 16, j++) {
            const uint32_t rank = dse_lut__u16(wanted + 2u * j);
            if ((fit & 0x8000u) != 0u && rank < least) {
                best = j;
                least = rank;
                if (first_wins) {
                    return best;
                }
            }
        }
    }
    return best;
}

/* The row to use now.
 *
 * limits: one number per prediction, what a row may cost at most (MIN) or must reach (MAX);
 *         DSE_LUT_NO_LIMIT asks nothing. NULL: no limits at all.
 * objective: the prediction to be best in, usually t->sorted_by.
 * current: the row in use, or DSE_LUT_NO_ROW.
 *
 * FITS: the best row that keeps all limits. KEPT: the current row keeps them and no other is better
 * by more than the margin of the objective. NOTHING_FITS: the default row. BAD_REQUEST: there is no
 * such objective or current row; the default row.
 */
static inline dse_lut_choice dse_lut_select(const dse_lut *t, const int64_t *limits,
                                            uint32_t objective, int32_t current)
{
    dse_lut__limit kept[DSE_LUT_MOST_COLUMNS];
    uint32_t count = 0, keeps, j, row;
    dse_lut_choice c;
    c.row = t->default_row;
    c.why = DSE_LUT_BAD_REQUEST;
    if (objective >= t->count[DSE_LUT_PREDICTION] || current < DSE_LUT_NO_ROW
        || current >= (int32_t)t->rows) {
        return c;
    }
    c.why = DSE_LUT_NOTHING_FITS;
    for (j = 0; limits != NULL && j < t->count[DSE_LUT_PREDICTION]; j++) {
        if (limits[j] != DSE_LUT_NO_LIMIT) {
            keeps = dse_lut__keeps(t, j, limits[j]);
            if (keeps == 0u) {
                return c;
            }
            kept[count].ranks = dse_lut__ranks(t, j);
            kept[count].below = UINT64_C(0x0001000100010001) * keeps;
            count += keeps < t->rows;
        }
    }
    row = count == 0u ? dse_lut__ranked(t, objective, 0) : dse_lut__best(t, kept, count, objective);
    if (row == t->rows) {
        return c;
    }
    c.row = (uint16_t)row;
    c.why = DSE_LUT_FITS;
    if (current >= 0) {
        const uint32_t held = (uint32_t)current;
        const int64_t gain = dse_lut_prediction(t, held, objective)
                             - dse_lut_prediction(t, row, objective);
        const int64_t margin =
            dse_lut__i64(dse_lut__descriptor(t, (uint32_t)t->first[DSE_LUT_PREDICTION] + objective)
                         + 16);
        for (j = 0; j < count; j++) {
            if (dse_lut__u16(kept[j].ranks + 2u * held) >= (kept[j].below & 0xffffu)) {
                return c;
            }
        }
        if (gain <= margin && gain >= -margin) {
            c.row = (uint16_t)held;
            c.why = DSE_LUT_KEPT;
        }
    }
    return c;
}

/* Layer at which a sentence is predicted to leave; 0: at none, or there is no such table.
 * entropy after t->exit_layer and threshold in 10^-6 nat; the nearest row counts, a tie the lower,
 * beyond the last row the last; the first later layer predicted strictly below the threshold. */
static inline uint32_t dse_lut_exit_layer(const dse_lut *t, uint32_t entropy, uint32_t threshold)
{
    uint32_t row, j;
    if (t->exit_rows == 0) {
        return 0;
    }
    row = entropy / t->exit_step;
    if (entropy % t->exit_step > t->exit_step / 2u) {
        row++;
    }
    if (row >= t->exit_rows) {
        row = (uint32_t)t->exit_rows - 1u;
    }
    for (j = 0; j < t->exit_columns; j++) {
        if (dse_lut_exit_entropy(t, row, j) < threshold) {
            return (uint32_t)t->exit_layer + 1u + j;
        }
    }
    return 0;
}

/* Lowest operating point with at least this clock, -1 if none is fast enough. */
static inline int dse_lut_point_for(const dse_lut *t, int64_t hertz)
{
    uint32_t low = 0, high = t->points;
    while (low < high) {
        const uint32_t middle = (low + high) / 2u;
        if (dse_lut_hertz(t, middle) < hertz) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low < t->points ? (int)low : -1;
}

/* ---- opening: each step answers DSE_LUT_OK or its fault ---- */

static inline uint32_t dse_lut__crc32(const uint8_t *p, uint32_t size)
{
    static const uint32_t nibble[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
        0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
        0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    uint32_t crc = 0xffffffffu, i;
    for (i = 0; i < size; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ nibble[crc & 15u];
        crc = (crc >> 4) ^ nibble[crc & 15u];
    }
    return ~crc;
}

static inline int dse_lut__open_file(const uint8_t *p, size_t size)
{
    static const uint8_t magic[8] = {0x89u, 0x45u, 0x4cu, 0x55u, 0x54u, 0x0du, 0x0au, 0x1au};
    uint32_t i;
    if (size < 116u) {
        return DSE_LUT_TOO_SHORT;
    }
    for (i = 0; i < 8u; i++) {
        if (p[i] != magic[i]) {
            return DSE_LUT_MAGIC;
        }
    }
    if (dse_lut__u32(p + 8) == 0x01000000u) {
        return DSE_LUT_BYTE_ORDER;
    }
    if (dse_lut__u32(p + 8) != 1u) {
        return DSE_LUT_VERSION;
    }
    if (dse_lut__u32(p + 12) != size) {
        return DSE_LUT_SIZE;
    }
    if (dse_lut__u32(p + size - 4) != dse_lut__crc32(p, (uint32_t)size - 4u)) {
        return DSE_LUT_CRC;
    }
    return DSE_LUT_OK;
}

static inline int dse_lut__open_layout(dse_lut *t, const uint8_t *p, uint32_t size)
{
    uint32_t k, columns = 0, exits, at;
    t->data = p;
    t->rows = (uint16_t)dse_lut__u16(p + 16);
    for (k = 0; k < 4u; k++) {
        t->count[k] = (uint16_t)dse_lut__u16(p + 18 + 2u * k);
        t->first[k] = (uint16_t)columns;
        columns += t->count[k];
    }
    t->labels = (uint16_t)dse_lut__u16(p + 26);
    t->facts = (uint16_t)dse_lut__u16(p + 28);
    t->points = (uint16_t)dse_lut__u16(p + 30);
    t->exit_rows = (uint16_t)dse_lut__u16(p + 32);
    t->exit_columns = (uint16_t)dse_lut__u16(p + 34);
    t->exit_layer = (uint16_t)dse_lut__u16(p + 36);
    t->sorted_by = (uint16_t)dse_lut__u16(p + 38);
    t->default_row = (uint16_t)dse_lut__u16(p + 40);
    t->default_best = (uint16_t)dse_lut__u16(p + 42);
    t->exit_step = dse_lut__u32(p + 44);
    if (t->rows == 0 || t->count[DSE_LUT_SETTING] == 0 || t->count[DSE_LUT_PREDICTION] == 0) {
        return DSE_LUT_EMPTY;
    }
    for (k = 0; k < 4u; k++) {
        if (t->count[k] > DSE_LUT_MOST_COLUMNS) {
            return DSE_LUT_LAYOUT;
        }
    }
    exits = (uint32_t)(t->exit_rows != 0) + (uint32_t)(t->exit_columns != 0)
            + (uint32_t)(t->exit_layer != 0) + (uint32_t)(t->exit_step != 0);
    if (t->rows > 4096u || t->labels > 1024u || t->facts > 64u || t->points > 256u
        || t->exit_rows > 256u || t->exit_columns > 64u || t->exit_layer > 999u
        || t->sorted_by >= t->count[DSE_LUT_PREDICTION]
        || t->default_best >= t->count[DSE_LUT_PREDICTION] || dse_lut__u32(p + 52) != 0u
        || (exits != 0u && exits != 4u) || dse_lut__u32(p + 48) > size) {
        return DSE_LUT_LAYOUT;
    }
    t->settings_at = 112u + 24u * columns;
    t->predictions_at = t->settings_at + 8u * t->rows * t->count[DSE_LUT_SETTING];
    t->points_at = t->predictions_at + 8u * t->rows * t->count[DSE_LUT_PREDICTION];
    t->exits_at = t->points_at + 16u * t->points;
    t->labels_at = t->exits_at + 4u * t->exit_rows * t->exit_columns;
    t->facts_at = t->labels_at + 4u * t->labels;
    t->orders_at = t->facts_at + 8u * t->facts;
    t->ranks_at = t->orders_at + 2u * t->rows * t->count[DSE_LUT_PREDICTION];
    t->strings_at =
        t->ranks_at + 8u * (((uint32_t)t->rows + 3u) / 4u) * t->count[DSE_LUT_PREDICTION];
    at = t->strings_at + 4u;
    return at <= size && size - at == dse_lut__u32(p + 48) ? DSE_LUT_OK : DSE_LUT_LAYOUT;
}

/* One text: it begins where the last one ended, is printable, not too long, and closed. */
static inline int dse_lut__open_text(const dse_lut *t, uint32_t *next, uint32_t ref,
                                     int may_be_empty)
{
    const uint32_t end = dse_lut__u32(t->data + 48);
    const uint8_t *const s = t->data + t->strings_at;
    uint32_t i = *next;
    if (ref != i) {
        return DSE_LUT_STRING;
    }
    while (i < end && s[i] >= 0x20u && s[i] <= 0x7eu && i - ref <= 200u) {
        i++;
    }
    if (i >= end || s[i] != 0u || i - ref > 200u || (i == ref && !may_be_empty)) {
        return DSE_LUT_STRING;
    }
    *next = i + 1u;
    return DSE_LUT_OK;
}

static inline int dse_lut__open_texts(const dse_lut *t)
{
    const uint32_t columns = (uint32_t)t->first[3] + t->count[3];
    uint32_t next = 0, i;
    int fault = DSE_LUT_OK;
    for (i = 0; i < 6u && fault == DSE_LUT_OK; i++) {
        fault = dse_lut__open_text(t, &next, dse_lut__u32(t->data + 88u + 4u * i), 1);
    }
    for (i = 0; i < 2u * t->facts && fault == DSE_LUT_OK; i++) {
        fault = dse_lut__open_text(t, &next, dse_lut__u32(t->data + t->facts_at + 4u * i),
                                   (int)(i % 2u));
    }
    for (i = 0; i < 2u * columns && fault == DSE_LUT_OK; i++) {
        const uint8_t *const d = dse_lut__descriptor(t, i / 2u);
        fault = dse_lut__open_text(t, &next, dse_lut__u32(d + 4u * (i % 2u)), 0);
    }
    for (i = 0; i < t->labels && fault == DSE_LUT_OK; i++) {
        fault = dse_lut__open_text(t, &next, dse_lut__u32(t->data + t->labels_at + 4u * i), 0);
    }
    if (fault == DSE_LUT_OK && next != dse_lut__u32(t->data + 48)) {
        fault = DSE_LUT_STRING;
    }
    return fault;
}

static inline int dse_lut__open_columns(const dse_lut *t)
{
    uint32_t kind, i, used = 0;
    for (kind = 0; kind < 4u; kind++) {
        for (i = 0; i < t->count[kind]; i++) {
            const uint8_t *const d = dse_lut__descriptor(t, (uint32_t)t->first[kind] + i);
            const dse_lut_column c = dse_lut_column_at(t, kind, i);
            const int choice = dse_lut__compare(c.unit, "choice") == 0;
            const int senseful = kind >= DSE_LUT_PREDICTION;
            if (d[11] != 0u || c.decimals > 18u || (choice && (senseful || c.decimals != 0u))
                || choice != (c.labels != 0u) || c.first_label != (choice ? used : 0u)
                || (senseful ? c.sense != 1u && c.sense != 2u : c.sense != 0u)
                || (kind == DSE_LUT_PREDICTION ? c.evidence < 1u || c.evidence > 4u
                                               : c.evidence != 0u)
                || (kind == DSE_LUT_SETTING && c.value != 0)
                || (kind == DSE_LUT_PREDICTION && (c.value < 0 || c.value > DSE_LUT_LARGEST))) {
                return DSE_LUT_COLUMN;
            }
            used += c.labels;
            if (used > t->labels) {
                return DSE_LUT_COLUMN;
            }
        }
    }
    return used == t->labels ? DSE_LUT_OK : DSE_LUT_COLUMN;
}

static inline int dse_lut__open_names(const dse_lut *t)
{
    const uint32_t knobs = t->first[2], columns = (uint32_t)knobs + t->count[2];
    uint32_t i, j, k;
    for (i = 0; i < columns; i++) {
        const dse_lut_column c = dse_lut_column_at(t, DSE_LUT_DESIGN, i);
        for (j = i < knobs ? 0u : knobs; j < i; j++) {
            if (dse_lut__compare(c.name, dse_lut_column_at(t, DSE_LUT_DESIGN, j).name) == 0) {
                return DSE_LUT_NAMES;
            }
        }
        for (j = c.first_label; j < (uint32_t)c.first_label + c.labels; j++) {
            for (k = c.first_label; k < j; k++) {
                if (dse_lut__compare(dse_lut_label(t, j), dse_lut_label(t, k)) == 0) {
                    return DSE_LUT_NAMES;
                }
            }
        }
    }
    for (i = 1; i < t->facts; i++) {
        if (dse_lut__compare(dse_lut_fact_name(t, i - 1u), dse_lut_fact_name(t, i)) >= 0) {
            return DSE_LUT_NAMES;
        }
    }
    return DSE_LUT_OK;
}

static inline int dse_lut__in_range(const dse_lut_column *c, int64_t value)
{
    if (c->labels != 0u) {
        return value >= 0 && value < (int64_t)c->labels;
    }
    return value >= -DSE_LUT_LARGEST && value <= DSE_LUT_LARGEST;
}

static inline int dse_lut__open_values(const dse_lut *t)
{
    uint32_t kind, i, j;
    for (kind = 0; kind < 4u; kind++) {
        for (j = 0; j < t->count[kind]; j++) {
            const dse_lut_column c = dse_lut_column_at(t, kind, j);
            int fits = 1;
            if (kind == DSE_LUT_DESIGN || kind == DSE_LUT_KEPT_LIMIT) {
                fits = dse_lut__in_range(&c, c.value);
            } else {
                for (i = 0; i < t->rows && fits; i++) {
                    fits = dse_lut__in_range(&c, kind == DSE_LUT_SETTING
                                                     ? dse_lut_setting(t, i, j)
                                                     : dse_lut_prediction(t, i, j));
                }
            }
            if (!fits) {
                return DSE_LUT_VALUE;
            }
        }
    }
    return DSE_LUT_OK;
}

static inline int64_t dse_lut__loss(const dse_lut *t, uint32_t row, uint32_t column)
{
    const uint32_t index = (uint32_t)t->first[DSE_LUT_PREDICTION] + column;
    const int64_t v = dse_lut_prediction(t, row, column);
    return dse_lut__descriptor(t, index)[9] == DSE_LUT_MAX ? -v : v;
}

/* Less than 0 if row i stands before row i + 1 by the rule of the table. */
static inline int dse_lut__open_pair(const dse_lut *t, uint32_t i)
{
    const uint32_t m = t->count[DSE_LUT_PREDICTION], s = t->count[DSE_LUT_SETTING];
    uint32_t k;
    for (k = 0; k < 1u + m + s; k++) {
        const uint32_t j = k == 0u ? t->sorted_by : k - 1u;
        const int64_t a = k <= m ? dse_lut__loss(t, i, j) : dse_lut_setting(t, i, j - m);
        const int64_t b = k <= m ? dse_lut__loss(t, i + 1u, j) : dse_lut_setting(t, i + 1u, j - m);
        if (a != b) {
            return a < b ? -1 : 1;
        }
    }
    return 0;
}

static inline int dse_lut__open_rows(const dse_lut *t)
{
    uint32_t i, best = 0;
    for (i = 0; i + 1u < t->rows; i++) {
        if (dse_lut__open_pair(t, i) >= 0) {
            return DSE_LUT_ORDER;
        }
    }
    for (i = 1; i < t->rows; i++) {
        if (dse_lut__loss(t, i, t->default_best) < dse_lut__loss(t, best, t->default_best)) {
            best = i;
        }
    }
    return t->default_row == best ? DSE_LUT_OK : DSE_LUT_DEFAULT;
}

static inline int dse_lut__open_points(const dse_lut *t)
{
    int64_t volts = 0, hertz = 0;
    uint32_t i;
    for (i = 0; i < t->points; i++) {
        const int64_t v = dse_lut_microvolt(t, i), h = dse_lut_hertz(t, i);
        if (v <= volts || h <= hertz || v > DSE_LUT_LARGEST || h > DSE_LUT_LARGEST) {
            return DSE_LUT_POINTS;
        }
        volts = v;
        hertz = h;
    }
    return DSE_LUT_OK;
}

/* Each order rises strictly in (loss, row), hence holds every row once; ranks are its inverse. */
static inline int dse_lut__open_order(const dse_lut *t, uint32_t column)
{
    const uint8_t *const ranks = dse_lut__ranks(t, column);
    uint32_t k;
    for (k = 0; k < t->rows; k++) {
        const uint32_t row = dse_lut__ranked(t, column, k);
        if (row >= t->rows || dse_lut__u16(ranks + 2u * row) != k) {
            return DSE_LUT_INDEX;
        }
        if (k > 0u) {
            const uint32_t before = dse_lut__ranked(t, column, k - 1u);
            const int64_t a = dse_lut__loss(t, before, column), b = dse_lut__loss(t, row, column);
            if (a > b || (a == b && before >= row)) {
                return DSE_LUT_INDEX;
            }
        }
    }
    for (k = t->rows; k % 4u != 0u; k++) {
        if (dse_lut__u16(ranks + 2u * k) != 0xffffu) {
            return DSE_LUT_INDEX;
        }
    }
    return DSE_LUT_OK;
}

static inline int dse_lut__open_orders(const dse_lut *t)
{
    uint32_t j;
    for (j = 0; j < t->count[DSE_LUT_PREDICTION]; j++) {
        if (dse_lut__open_order(t, j) != DSE_LUT_OK) {
            return DSE_LUT_INDEX;
        }
    }
    return DSE_LUT_OK;
}

static inline int dse_lut__open_identity(const dse_lut *t, const dse_lut_identity *expected)
{
    const char *asked[4];
    uint32_t i;
    if (expected == NULL) {
        return DSE_LUT_OK;
    }
    asked[0] = expected->device;
    asked[1] = expected->network;
    asked[2] = expected->task;
    asked[3] = expected->context;
    for (i = 0; i < 4u; i++) {
        if (asked[i] != NULL && dse_lut__compare(asked[i], dse_lut_about(t, 2u + i)) != 0) {
            return DSE_LUT_DEVICE + (int)i;
        }
    }
    return DSE_LUT_OK;
}

/* Checks everything about `size` bytes and that they are for what is expected (NULL: anything).
 * DSE_LUT_OK, or the first fault; then the table is empty and every selection a BAD_REQUEST. */
static inline int dse_lut_open(dse_lut *t, const void *data, size_t size,
                               const dse_lut_identity *expected)
{
    const uint8_t *const p = (const uint8_t *)data;
    int fault = p == NULL ? DSE_LUT_TOO_SHORT : dse_lut__open_file(p, size);
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_layout(t, p, (uint32_t)size);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_texts(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_columns(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_names(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_values(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_rows(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_points(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_orders(t);
    }
    if (fault == DSE_LUT_OK) {
        fault = dse_lut__open_identity(t, expected);
    }
    if (fault != DSE_LUT_OK) {
        t->data = NULL;
        t->rows = t->default_row = t->labels = t->facts = t->points = t->exit_rows = 0;
        t->count[0] = t->count[1] = t->count[2] = t->count[3] = 0;
    }
    return fault;
}

#endif
