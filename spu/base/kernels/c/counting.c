/* Sums over the readouts of a chunk: no path is stored to be counted.

   Every sum is kept in LANES partial sums, of which column c goes to number c mod LANES, and these are added up in a
   fixed tree at the end of a chunk: the same bits whatever the width of a vector. */

#define LANES 8
#define PARTS (LANES / VL) /* vectors that make up the lanes */

typedef struct {
    V part[PARTS];
} Lanes;

INLINE Lanes lanes_zero(void) {
    Lanes a;
    UNROLL for (int i = 0; i < PARTS; i++) a.part[i] = v_set(0);
    return a;
}

INLINE double lanes_total(Lanes a) {
    double s[LANES];
    UNROLL for (int i = 0; i < PARTS; i++) v_store(s + i * VL, a.part[i]);
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

/* sums of a_i b_j over `columns` columns, for rows i of a and j of b `apart` numbers apart; added to into. */
INLINE void count_block(const double *a, int64_t a_apart, const double *b, int64_t b_apart, int64_t columns,
                        double *into, int64_t into_apart, const int rows, const int others) {
    Lanes sums[4][4];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < others; j++) sums[i][j] = lanes_zero();
    int64_t whole = columns / LANES * LANES, left = columns - whole;
    for (int64_t c = 0; c < whole; c += LANES)
        UNROLL for (int v = 0; v < PARTS; v++) {
            V right[4];
            UNROLL for (int j = 0; j < others; j++) right[j] = v_load(b + j * b_apart + c + v * VL);
            UNROLL for (int i = 0; i < rows; i++) {
                V one = v_load(a + i * a_apart + c + v * VL);
                UNROLL for (int j = 0; j < others; j++) sums[i][j].part[v] = v_fma(one, right[j], sums[i][j].part[v]);
            }
        }
    for (int i = 0; left && i < rows; i++)
        for (int j = 0; j < others; j++) {
            double x[LANES] = {0}, y[LANES] = {0};
            memcpy(x, a + i * a_apart + whole, (size_t)left * 8);
            memcpy(y, b + j * b_apart + whole, (size_t)left * 8);
            for (int v = 0; v < PARTS; v++)
                sums[i][j].part[v] = v_fma(v_load(x + v * VL), v_load(y + v * VL), sums[i][j].part[v]);
        }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < others; j++) into[i * into_apart + j] += lanes_total(sums[i][j]);
}

static double sum_of(const double *a, int64_t columns) {
    Lanes sums = lanes_zero();
    int64_t whole = columns / LANES * LANES;
    for (int64_t c = 0; c < whole; c += LANES)
        UNROLL for (int v = 0; v < PARTS; v++) sums.part[v] = v_add(sums.part[v], v_load(a + c + v * VL));
    double rest[LANES] = {0};
    memcpy(rest, a + whole, (size_t)(columns - whole) * 8);
    UNROLL for (int v = 0; v < PARTS; v++) sums.part[v] = v_add(sums.part[v], v_load(rest + v * VL));
    return lanes_total(sums);
}

#if VL == 8
#define COUNT_ROWS 4
#define COUNT_OTHERS 4
#elif VL == 4
#define COUNT_ROWS 2
#define COUNT_OTHERS 3
#else
#define COUNT_ROWS 2
#define COUNT_OTHERS 2
#endif

/* products (p, p) += sum over columns of a_i(c) b_j(c); of a with itself only j <= i is wanted. */
static void count_products(const double *a, const double *b, int64_t apart, int64_t columns, double *products,
                           int64_t p) {
    for (int64_t i = 0; i < p; i += COUNT_ROWS)
        for (int64_t j = 0; j < (a == b ? i + COUNT_ROWS : p) && j < p; j += COUNT_OTHERS) {
            const double *left = a + i * apart, *right = b + j * apart;
            double *into = products + i * p + j;
            if (p - i >= COUNT_ROWS && p - j >= COUNT_OTHERS) {
                count_block(left, apart, right, apart, columns, into, p, COUNT_ROWS, COUNT_OTHERS);
                continue;
            }
            for (int64_t r = 0; r < COUNT_ROWS && i + r < p; r++)
                for (int64_t s = 0; s < COUNT_OTHERS && j + s < p; s++)
                    count_block(left + r * apart, apart, right + s * apart, apart, columns, into + r * p + s, p, 1, 1);
        }
}

/* Columns that are counted at once: so many of a few rows stay in the nearest cache. */
#define COUNTED 512

/* Add what `seen` (observed, history + columns) has of this chunk to total and products (lags + 1, observed,
   observed), and make its end the history of the next chunk. Lag l lies l `back` columns before. */
static void count_seen(double *seen, int64_t seen_columns, int64_t observed, int64_t lags, int64_t back, int64_t columns,
                       double *total, double *products) {
    int64_t history = lags * back;
    for (int64_t first = 0; first < columns; first += COUNTED) {
        int64_t many = columns - first < COUNTED ? columns - first : COUNTED;
        double *now = seen + history + first;
        for (int64_t i = 0; i < observed; i++) total[i] += sum_of(now + i * seen_columns, many);
        for (int64_t lag = 0; lag <= lags; lag++)
            count_products(now, now - lag * back, seen_columns, many, products + lag * observed * observed, observed);
    }
    for (int64_t i = 0; history && i < observed; i++)
        memmove(seen + i * seen_columns, seen + i * seen_columns + columns, (size_t)history * 8);
}
