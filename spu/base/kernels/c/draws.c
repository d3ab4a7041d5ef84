/* Stationary laws of many small circuits, exactly: VL boards side by side, one in each lane of every vector.

   Entries of a circuit's matrices are sums of terms, each a number times powers of what a board's elements are
   multiplied by. Nothing depends on what lies in other lanes: a loop that some lanes are done with leaves them as they are.
   spu/emulator/laws/draws.py says what is solved and how many operations it takes. */

#define NOINLINE __attribute__((noinline))

/* Slot k is a power of a factor times a slot before it; terms begin[t] to begin[t + 1] are those of target t. */
STRUCT(Assembly, const int64_t *element; const int64_t *power; const int64_t *times; const int64_t *begin;
       const double *base; const int64_t *slot; int64_t slots; int64_t targets; int64_t terms;)

enum { ONE, SAME, INVERSE, ROOT, INVERSE_ROOT, SQUARE, INVERSE_SQUARE };

INLINE V power_of(V f, int64_t power) {
    V one = v_set(1);
    if (power == ONE) return one;
    if (power == ROOT || power == INVERSE_ROOT) f = v_sqrt(f);
    if (power == SQUARE || power == INVERSE_SQUARE) f = v_mul(f, f);
    return power == INVERSE || power == INVERSE_ROOT || power == INVERSE_SQUARE ? v_div(one, f) : f;
}

/* All targets of VL boards; `count` of them are there, the others are as designed. */
static NOINLINE void assemble(const Assembly *made, const double *factors, const double *design, int64_t elements,
                              int64_t count, V *slots, V *into) {
    for (int64_t k = 0; k < made->slots; k++) {
        double lanes[VL];
        for (int64_t lane = 0; lane < VL; lane++)
            lanes[lane] = (lane < count ? factors + lane * elements : design)[made->element[k]];
        slots[k] = power_of(v_load(lanes), made->power[k]);
        if (made->times[k]) slots[k] = v_mul(slots[k], slots[made->times[k]]);
    }
    for (int64_t t = 0; t < made->targets; t++) {
        V sum = v_set(0);
        for (int64_t k = made->begin[t]; k < made->begin[t + 1]; k++)
            sum = v_fma(slots[made->slot[k]], v_set(made->base[k]), sum);
        into[t] = sum;
    }
}

#if VL == 4 || VL == 1
#define TILE_ROWS 2 /* rows of a tile: there are 16 registers */
#else
#define TILE_ROWS 4
#endif

/* A tile of C = A B, n by n each: rows from i, columns from j. */
INLINE void product_tile(const V *a, const V *b, V *c, const int64_t n, int64_t i, int64_t j, const int rows,
                         const int columns) {
    V sums[TILE_ROWS][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int q = 0; q < columns; q++) sums[r][q] = v_set(0);
    for (int64_t k = 0; k < n; k++) {
        V right[4];
        UNROLL for (int q = 0; q < columns; q++) right[q] = b[k * n + j + q];
        UNROLL for (int r = 0; r < rows; r++) {
            V left = a[(i + r) * n + k];
            UNROLL for (int q = 0; q < columns; q++) sums[r][q] = v_fma(left, right[q], sums[r][q]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int q = 0; q < columns; q++) c[(i + r) * n + j + q] = sums[r][q];
}

INLINE void product_of(const V *a, const V *b, V *c, const int64_t n, int half) {
    for (int64_t i = 0; i < n; i += TILE_ROWS)
        for (int64_t j = 0; j < (half && i + TILE_ROWS < n ? i + TILE_ROWS : n); j += 4) {
            if (n - i >= TILE_ROWS && n - j >= 4) product_tile(a, b, c, n, i, j, TILE_ROWS, 4);
            else
                for (int64_t r = i; r < i + TILE_ROWS && r < n; r++) {
                    if (n - j >= 4) product_tile(a, b, c, n, r, j, 1, 4);
                    else
                        for (int64_t q = j; q < n; q++) product_tile(a, b, c, n, r, q, 1, 1);
                }
        }
}

#define MOST_STATES 100

/* The same of larger matrices: columns of B are copied side by side first, as rows of it may fall on one set of a cache. */
static NOINLINE void wide_product(const V *a, const V *b, V *c, int64_t n, int half) {
    V panel[4 * MOST_STATES];
    for (int64_t j = 0; j < n; j += 4) {
        int64_t columns = n - j < 4 ? n - j : 4;
        for (int64_t k = 0; k < n; k++)
            for (int64_t q = 0; q < 4; q++) panel[4 * k + q] = b[k * n + j + (q < columns ? q : 0)];
        for (int64_t i = half ? j / TILE_ROWS * TILE_ROWS : 0; i < n; i += TILE_ROWS) {
            int64_t rows = n - i < TILE_ROWS ? n - i : TILE_ROWS;
            const V *left[TILE_ROWS];
            V sums[TILE_ROWS][4];
            UNROLL for (int r = 0; r < TILE_ROWS; r++) left[r] = a + (i + (r < rows ? r : 0)) * n;
            UNROLL for (int r = 0; r < TILE_ROWS; r++)
                UNROLL for (int q = 0; q < 4; q++) sums[r][q] = v_set(0);
            for (int64_t k = 0; k < n; k++)
                UNROLL for (int r = 0; r < TILE_ROWS; r++)
                    UNROLL for (int q = 0; q < 4; q++) sums[r][q] = v_fma(left[r][k], panel[4 * k + q], sums[r][q]);
            UNROLL for (int r = 0; r < TILE_ROWS; r++)
                UNROLL for (int q = 0; q < 4; q++)
                    if (r < rows && q < columns) c[(i + r) * n + j + q] = sums[r][q];
        }
    }
}

/* C = A B, n by n each; where `half` only what is on the diagonal and below it, and a little more. */
static NOINLINE void product(const V *a, const V *b, V *c, int64_t n, int half) {
    if (n == 8) product_of(a, b, c, 8, half);
    else if (n > 16) wide_product(a, b, c, n, half);
    else product_of(a, b, c, n, half);
}

INLINE void sparse_product_of(const int64_t *places, const V *a, const V *b, V *c, const int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t *own = places + i * (n + 1);
        if (own[0] < 0)
            for (int64_t j = 0; j < n; j++) c[i * n + j] = v_set(0);
        for (int64_t q = 0; own[q] >= 0; q++) {
            V left = a[i * n + own[q]];
            const V *right = b + own[q] * n;
            if (!q)
                for (int64_t j = 0; j < n; j++) c[i * n + j] = v_mul(left, right[j]);
            else
                for (int64_t j = 0; j < n; j++) c[i * n + j] = v_fma(left, right[j], c[i * n + j]);
        }
    }
}

/* C = A B where A is zero but at the places of a pattern: of each row its columns, n at most, and -1. */
static NOINLINE void sparse_product(const int64_t *places, const V *a, const V *b, V *c, int64_t n) {
    int64_t many = 0;
    for (int64_t i = 0; i < n; i++) many += places[i * (n + 1) + n - 1] >= 0;
    if (many == n) product(a, b, c, n, 0);
    else if (n == 8) sparse_product_of(places, a, b, c, 8);
    else sparse_product_of(places, a, b, c, n);
}

static void transpose(const V *a, V *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) b[j * n + i] = a[i * n + j];
}

static void mirror(V *a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
}

/* C = Y A Y^T of a symmetric A with a pattern; `across` is Y^T, `room` one matrix more. */
static void congruence(const V *y, const V *across, const int64_t *places, const V *a, V *c, V *room, int64_t n) {
    sparse_product(places, a, across, room, n);
    product(y, room, c, n, 1);
    mirror(c, n);
}

/* From the entries of a lower triangle row by row to a symmetric matrix. */
static void unfold(const V *lower, V *a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++, lower++) a[i * n + j] = a[j * n + i] = *lower;
}

/* The lower Cholesky factor of C in its place, below the diagonal, and on it the inverse of its own. */
static NOINLINE void cholesky(V *c, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        V own = c[j * n + j];
        for (int64_t k = 0; k < j; k++) own = v_fnma(c[j * n + k], c[j * n + k], own);
        V back = v_div(v_set(1), v_sqrt(own));
        c[j * n + j] = back;
        for (int64_t i = j + 1; i < n; i++) {
            V sum = c[i * n + j];
            for (int64_t k = 0; k < j; k++) sum = v_fnma(c[i * n + k], c[j * n + k], sum);
            c[i * n + j] = v_mul(sum, back);
        }
    }
}

/* Rows of Y become those of L^-1 Y, for a factor as above. */
static NOINLINE void solve_rows(const V *factor, V *y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            V sum = y[i * n + j];
            for (int64_t k = 0; k < i; k++) sum = v_fnma(factor[i * n + k], y[k * n + j], sum);
            y[i * n + j] = v_mul(sum, factor[i * n + i]);
        }
}

INLINE int any_above(V a, double limit) {
    double lanes[VL];
    int found = 0;
    v_store(lanes, a);
    for (int lane = 0; lane < VL; lane++) found |= lanes[lane] > limit;
    return found;
}

#define MOST_NODES 16
#define SWEEPS 14
#define SETTLED 1e-16 /* square of the largest coupling of which one more sweep leaves less than rounding */

#define TURN(first, second)                                                                                            \
    do {                                                                                                               \
        V old = first, other = second;                                                                                 \
        first = v_fnma(s, other, v_mul(c, old));                                                                       \
        second = v_fma(s, old, v_mul(c, other));                                                                       \
    } while (0)

/* Jacobi's rotations: symmetric A, of which the upper triangle is read, becomes diagonal; rows of Y turn with its own.
   Pairs of rows as teams of a tournament: those of a round have no row in common, and their angles are found together. */
INLINE void diagonalise(V *a, V *y, const int64_t n) {
    const int64_t teams = n + n % 2;
    V zero = v_set(0), one = v_set(1), open = one, cosine[MOST_NODES / 2], sine[MOST_NODES / 2];
    for (int sweep = 0; sweep < SWEEPS && any_above(open, 0); sweep++) {
        V moving = zero;
        for (int64_t round = 0; round < teams - 1; round++) {
            int64_t rows[MOST_NODES / 2][2], pairs = 0;
            for (int64_t k = 0; k < teams / 2; k++) {
                int64_t p = k ? (round + k) % (teams - 1) : teams - 1, q = (round + teams - 1 - k) % (teams - 1);
                if (p >= n || q >= n) continue;
                rows[pairs][0] = p < q ? p : q, rows[pairs][1] = p < q ? q : p;
                pairs++;
            }
            for (int64_t k = 0; k < pairs; k++) {
                int64_t p = rows[k][0], q = rows[k][1];
                V off = a[p * n + q], twice = v_add(off, off), square = v_mul(off, off);
                V first = a[p * n + p], second = a[q * n + q], apart = v_sub(second, first);
                moving = v_pick(v_mul(v_set(SETTLED), v_abs(v_mul(first, second))), square, one, moving);
                V length = v_sqrt(v_fma(apart, apart, v_mul(twice, twice)));
                V t = v_div(v_pick(apart, zero, v_sub(zero, twice), twice), v_add(v_abs(apart), length));
                t = v_pick(zero, open, v_pick(zero, square, t, zero), zero);
                cosine[k] = v_div(one, v_sqrt(v_fma(t, t, one))), sine[k] = v_mul(t, cosine[k]);
                a[p * n + p] = v_fnma(t, off, first);
                a[q * n + q] = v_fma(t, off, second);
                a[p * n + q] = v_pick(zero, open, zero, off);
            }
            for (int64_t each = 0; each < pairs; each++) {
                int64_t p = rows[each][0], q = rows[each][1];
                V c = cosine[each], s = sine[each];
                for (int64_t k = 0; k < p; k++) TURN(a[k * n + p], a[k * n + q]);
                for (int64_t k = p + 1; k < q; k++) TURN(a[p * n + k], a[k * n + q]);
                for (int64_t k = q + 1; k < n; k++) TURN(a[p * n + k], a[q * n + k]);
                for (int64_t k = 0; k < n; k++) TURN(y[p * n + k], y[q * n + k]);
            }
        }
        open = v_pick(zero, moving, open, zero);
    }
}

static NOINLINE void diagonalise_8(V *a, V *y) { diagonalise(a, y, 8); }
static NOINLINE void diagonalise_any(V *a, V *y, int64_t n) { diagonalise(a, y, n); }

/* Cells: C v' + G v + Gamma phi = noise, phi' = v, in the basis in which C is 1 and G is diagonal. */
typedef struct {
    int64_t n, pairs;
    V *gamma;   /* (n, n) */
    V *weight;  /* (n, n), 1 / (d_i + d_j) */
    V *factor;  /* (pairs, pairs): L below the diagonal, the inverse of D on it */
    V *unknown; /* (pairs,) */
    V *first, *second;
} Cells;

/* Rows of a panel of L D L^T from column j on, `columns` of them; `panel` holds minus those of L D, row by row. */
INLINE void factor_tile(const V *m, V *panel, const V *own, int64_t count, int64_t j, const int rows, const int columns) {
    V sums[4][2];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int q = 0; q < columns; q++) sums[r][q] = own[r * count + j + q];
    for (int64_t k = 0; k < j; k++) {
        V other[2];
        UNROLL for (int q = 0; q < columns; q++) other[q] = m[(j + q) * count + k];
        UNROLL for (int r = 0; r < rows; r++) {
            V left = panel[r * count + k];
            UNROLL for (int q = 0; q < columns; q++) sums[r][q] = v_fma(left, other[q], sums[r][q]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        panel[r * count + j] = v_sub(v_set(0), sums[r][0]);
        if (columns > 1)
            panel[r * count + j + 1] = v_sub(v_mul(sums[r][0], m[(j + 1) * count + j]), sums[r][1]); /* - (sum - ...) */
    }
}

/* L D L^T of a symmetric definite matrix, of which the lower triangle is read, in its place: L below the diagonal, the
   inverse of D on it; `panel` is room for four rows. */
static NOINLINE void factorise(V *m, V *panel, int64_t count) {
    for (int64_t i = 0; i < count; i += 4) {
        int64_t rows = count - i < 4 ? count - i : 4;
        V *own = m + i * count;
        for (int64_t j = 0; j < i; j += 2) { /* i is a multiple of 4 */
            if (rows == 4) factor_tile(m, panel, own, count, j, 4, 2);
            else
                for (int64_t r = 0; r < rows; r++)
                    factor_tile(m, panel + r * count, own + r * count, count, j, 1, 2);
        }
        for (int64_t r = 0; r < rows; r++) {
            V *row = panel + r * count, *mine = own + r * count;
            for (int64_t j = i; j < i + r; j++) factor_tile(m, row, mine, count, j, 1, 1);
            V pivot = mine[i + r];
            for (int64_t j = 0; j < i + r; j++) {
                V negative = v_mul(row[j], m[j * count + j]);
                pivot = v_fnma(row[j], negative, pivot);
                mine[j] = v_sub(v_set(0), negative);
            }
            mine[i + r] = v_div(v_set(1), pivot);
        }
    }
}

/* What is left for the antisymmetric unknown, and its factors; `shared` is room for (n, n, n), `room` for (n, n). */
static NOINLINE void prepare_pairs(Cells *cells, const V *rates, V *shared, V *room) {
    int64_t n = cells->n, m = cells->pairs, row = 0;
    const V *gamma = cells->gamma, *w = cells->weight;
    /* of pairs (a, b) and (c, d) with c <= a < b; shared[b][a][c] = sum_p w_bp gamma_pa gamma_pc + rate_b gamma_ac */
    for (int64_t b = 0; b < n; b++) {
        V *own = shared + b * n * n;
        for (int64_t a = 0; a < n; a++)
            for (int64_t p = 0; p < n; p++)
                room[a * n + p] = v_fma(w[b * n + p], gamma[a * n + p], a == p ? rates[b] : v_set(0));
        product(room, gamma, own, n, 1);
        mirror(own, n);
    }
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = a + 1; b < n; b++, row++) {
            const V *by_a = shared + (a * n + b) * n, *by_b = shared + (b * n + a) * n;
            const V *gamma_a = gamma + a * n, *gamma_b = gamma + b * n, *w_a = w + a * n, *w_b = w + b * n;
            V *into = cells->factor + row * m;
            for (int64_t c = 0; c <= a; c++) {
                V ac = gamma_a[c], bc = gamma_b[c], wac = w_a[c], wbc = w_b[c];
                for (int64_t d = c + 1, last = c < a ? n : b + 1; d < last; d++, into++) {
                    V sum = v_mul(v_mul(gamma_a[d], bc), v_add(w_b[d], wac));
                    sum = v_fnma(v_mul(ac, gamma_b[d]), v_add(wbc, w_a[d]), sum);
                    if (b == d) sum = v_add(sum, by_b[c]);
                    if (a == d) sum = v_sub(sum, by_a[c]);
                    if (a == c) sum = v_add(sum, by_a[d]);
                    *into = sum;
                }
            }
        }
    factorise(cells->factor, cells->unknown, m);
}

/* `sum`, of which the symmetric part belongs to the first equation and the rest to the second, becomes V + X:
   D V + V D - (gamma X - X gamma) = R,  gamma V - V gamma + D X gamma + gamma X D = Q. */
static NOINLINE void solve_cells(const Cells *cells, V *sum) {
    int64_t n = cells->n, m = cells->pairs, row = 0;
    V *u = cells->first, *made = cells->second, *x = cells->unknown, half = v_set(0.5);
    if (!m || !cells->gamma) { /* nothing but V */
        for (int64_t i = 0; i < n * n; i++) sum[i] = v_mul(cells->weight[i], sum[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            u[i * n + j] = v_mul(cells->weight[i * n + j], v_mul(half, v_add(sum[i * n + j], sum[j * n + i])));
    product(cells->gamma, u, made, n, 0);
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = a + 1; b < n; b++, row++) {
            V odd = v_mul(half, v_sub(sum[a * n + b], sum[b * n + a]));
            x[row] = v_sub(odd, v_sub(made[a * n + b], made[b * n + a]));
        }
    const V *factor = cells->factor;
    for (int64_t i = 0; i < m; i += 4) {
        int64_t rows = m - i < 4 ? m - i : 4;
        V left[4];
        UNROLL for (int r = 0; r < 4; r++) left[r] = x[i + (r < rows ? r : 0)];
        for (int64_t k = 0; k < i; k++)
            UNROLL for (int r = 0; r < 4; r++)
                left[r] = v_fnma(factor[(i + (r < rows ? r : 0)) * m + k], x[k], left[r]);
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t k = 0; k < r; k++) left[r] = v_fnma(factor[(i + r) * m + i + k], left[k], left[r]);
            x[i + r] = left[r];
        }
    }
    for (int64_t i = 0; i < m; i++) x[i] = v_mul(x[i], factor[i * m + i]);
    for (int64_t i = m - 1; i >= 0; i--) {
        V known = x[i];
        for (int64_t k = 0; k < i; k++) x[k] = v_fnma(factor[i * m + k], known, x[k]);
    }
    row = 0;
    for (int64_t i = 0; i < n; i++) sum[i * n + i] = v_set(0);
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = a + 1; b < n; b++, row++) {
            sum[a * n + b] = x[row];
            sum[b * n + a] = v_sub(v_set(0), x[row]);
        }
    product(cells->gamma, sum, made, n, 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            V w = cells->weight[i * n + j];
            V even = v_fma(w, v_add(made[i * n + j], made[j * n + i]), u[i * n + j]), odd = sum[i * n + j];
            sum[i * n + j] = v_add(even, odd);
            sum[j * n + i] = v_sub(even, odd);
        }
}

/* Add A + A^T, or A - A^T where odd. */
static NOINLINE void gather(const V *a, V *into, int odd, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            V other = a[j * n + i];
            into[i * n + j] = v_add(into[i * n + j], v_add(a[i * n + j], odd ? v_sub(v_set(0), other) : other));
        }
}

/* What a block of boards found, of the n unknowns those that are probed. */
static NOINLINE void hand_out(V worst, const V *rest, const V *P, int64_t n, const int64_t *probes, int64_t p,
                              int64_t count, double *error, double *mean, double *covariance) {
    double lanes[VL];
    v_store(lanes, worst);
    for (int64_t lane = 0; lane < count; lane++) error[lane] = lanes[lane];
    for (int64_t i = 0; i < p; i++) {
        v_store(lanes, rest[probes[i]]);
        for (int64_t lane = 0; lane < count; lane++) mean[lane * p + i] = lanes[lane];
        for (int64_t j = 0; j < p; j++) {
            v_store(lanes, P[probes[i] * n + probes[j]]);
            for (int64_t lane = 0; lane < count; lane++) covariance[(lane * p + i) * p + j] = lanes[lane];
        }
    }
}

/* Laws of networks of n nodes with capacitances, conductances and (where `stiff`) inductances between them.

   Targets are lower triangles row by row of C, G, S, where stiff of the inverse inductances, and where biased the
   currents (n,). `places` says where each of the four matrices has entries: the columns of every row, and -1. `basis` is
   a matrix Y such that Y C Y^T is near 1 and Y G Y^T near a diagonal one. Written are covariances and means of the
   probes, and an estimate of their relative error, not a number where there is no law or where this does not tell.
   `room` is scratch. */
KERNEL(void, laws_of_cells, (const Assembly *made, int64_t stiff, int64_t biased, const double *design,
                             const int64_t *places, const double *basis, const int64_t *probes, double *room,
                             const double *factors, double *mean, double *covariance, double *error, int64_t elements,
                             int64_t n, int64_t p, int64_t size, int64_t draws)) {
    (void)size;
    int64_t square = n * n, triangle = n * (n + 1) / 2, pairs = stiff ? n * (n - 1) / 2 : 0;
    const int64_t *of_C = places, *of_G = of_C + n * (n + 1), *of_S = of_G + n * (n + 1), *of_Gamma = of_S + n * (n + 1);
    V *targets = (V *)room, *slots = targets + made->targets, *C = slots + made->slots, *G = C + square;
    V *S = G + square, *Gamma = S + square, *Y = Gamma + square, *T = Y + square, *Z = T + square;
    V *one = Z + square, *two = one + square, *three = two + square, *four = three + square, *modal = four + square;
    V *weight = modal + square, *start = weight + square, *across = start + square, *shared = across + square;
    V *factor = shared + n * square, *unknown = factor + pairs * pairs, *rates = unknown + 4 * pairs;
    V *rest = rates + n, *push = rest + n, *spread = push + n;
    V zero = v_set(0), unit = v_set(1), half = v_set(0.5);
    Cells cells = {n, pairs, stiff ? modal : 0, weight, factor, unknown, one, two};
    for (int64_t i = 0; i < square; i++) start[i] = v_set(basis[i]);
    transpose(start, across, n);
    for (int64_t done = 0; done < draws; done += VL) {
        int64_t count = draws - done < VL ? draws - done : VL;
        assemble(made, factors + done * elements, design, elements, count, slots, targets);
        unfold(targets, C, n);
        unfold(targets + triangle, G, n);
        unfold(targets + 2 * triangle, S, n);
        if (stiff) unfold(targets + 3 * triangle, Gamma, n);
        /* the basis in which C is 1 and G diagonal */
        congruence(start, across, of_C, C, one, two, n);
        cholesky(one, n);
        memcpy(Y, start, (size_t)square * sizeof(V));
        solve_rows(one, Y, n);
        transpose(Y, T, n);
        congruence(Y, T, of_G, G, three, two, n);
        if (n == 8) diagonalise_8(three, Y);
        else diagonalise_any(three, Y, n);
        transpose(Y, T, n);
        V least = three[0];
        for (int64_t i = 0; i < n; i++) {
            rates[i] = three[i * n + i];
            least = v_pick(rates[i], least, rates[i], least);
        }
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++)
                weight[i * n + j] = weight[j * n + i] = v_div(unit, v_add(rates[i], rates[j]));
        if (stiff) {
            congruence(Y, T, of_Gamma, Gamma, modal, two, n);
            memcpy(one, modal, (size_t)square * sizeof(V));
            cholesky(one, n); /* flux is held everywhere, or there is no rest */
            for (int64_t i = 0; i < n; i++) least = v_pick(zero, one[i * n + i], least, v_sub(zero, unit));
            prepare_pairs(&cells, rates, shared, one);
        }
        congruence(Y, T, of_S, S, four, two, n);
        solve_cells(&cells, four);
        product(T, four, two, n, 0);
        product(two, Y, Z, n, 0); /* V + X */
        V *even = three, *X = four;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                even[i * n + j] = v_mul(half, v_add(Z[i * n + j], Z[j * n + i]));
                X[i * n + j] = v_mul(half, v_sub(Z[i * n + j], Z[j * n + i]));
            }
        /* what is left of both equations, of the circuit's own matrices: Z's even part of the one, its odd part of the other */
        memcpy(Z, S, (size_t)square * sizeof(V));
        sparse_product(of_G, G, even, one, n);
        if (stiff) {
            sparse_product(of_Gamma, Gamma, X, two, n);
            transpose(two, four, n); /* X Gamma, negative */
            sparse_product(of_G, G, four, two, n);
            gather(two, Z, 1, n); /* - (G X Gamma + Gamma X G) */
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++) four[i * n + j] = v_sub(four[i * n + j], one[j * n + i]);
        } else {
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++) four[i * n + j] = v_sub(zero, one[j * n + i]);
        }
        sparse_product(of_C, C, four, two, n);
        gather(two, Z, 0, n); /* Gamma X C - C X Gamma - (G V C + C V G) */
        if (stiff) {
            sparse_product(of_Gamma, Gamma, even, one, n);
            transpose(one, four, n);
            sparse_product(of_C, C, four, two, n);
            gather(two, Z, 1, n); /* C V Gamma - Gamma V C */
        }
        product(Y, Z, one, n, 0);
        product(one, T, four, n, 0);
        solve_cells(&cells, four);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++)
                four[i * n + j] = four[j * n + i] = v_mul(half, v_add(four[i * n + j], four[j * n + i]));
        product(T, four, two, n, 0);
        product(two, Y, Z, n, 1);
        V worst = zero;
        for (int64_t i = 0; i < n; i++) spread[i] = v_div(unit, v_sqrt(v_add(even[i * n + i], Z[i * n + i])));
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++) {
                V change = Z[i * n + j];
                even[i * n + j] = even[j * n + i] = v_add(even[i * n + j], change);
                V share = v_mul(v_abs(change), v_mul(spread[i], spread[j]));
                worst = v_fma(share, share, worst);
            }
        for (int64_t i = 0; i < n; i++) rest[i] = zero;
        for (int64_t turn = 0; biased && !stiff && turn < 2; turn++) {
            const V *currents = targets + 3 * triangle;
            for (int64_t i = 0; i < n; i++) {
                push[i] = currents[i];
                for (int64_t j = 0; j < n; j++) push[i] = v_fnma(G[i * n + j], rest[j], push[i]);
            }
            for (int64_t i = 0; i < n; i++) {
                V sum = zero;
                for (int64_t j = 0; j < n; j++) sum = v_fma(Y[i * n + j], push[j], sum);
                one[i] = v_div(sum, rates[i]);
            }
            for (int64_t i = 0; i < n; i++) {
                V sum = zero;
                for (int64_t j = 0; j < n; j++) sum = v_fma(T[i * n + j], one[j], sum);
                rest[i] = v_add(rest[i], sum);
                if (turn) {
                    V share = v_div(v_abs(sum), v_add(v_abs(rest[i]), v_div(unit, spread[i])));
                    worst = v_fma(share, share, worst);
                }
            }
        }
        worst = v_pick(zero, least, v_sqrt(worst), v_div(zero, zero)); /* a rate that is not positive: somebody else decides */
        hand_out(worst, rest, even, n, probes, p, count, error + done, mean + done * p, covariance + done * p * p);
    }
}

/* M becomes its inverse, by elimination without pivots: infinite or not a number where that does not go. */
static NOINLINE void invert(V *m, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        V back = v_div(v_set(1), m[k * n + k]);
        m[k * n + k] = v_set(1);
        for (int64_t j = 0; j < n; j++) m[k * n + j] = v_mul(m[k * n + j], back);
        for (int64_t i = 0; i < n; i++) {
            if (i == k) continue;
            V factor = m[i * n + k];
            m[i * n + k] = v_set(0);
            for (int64_t j = 0; j < n; j++) m[i * n + j] = v_fnma(factor, m[k * n + j], m[i * n + j]);
        }
    }
}

/* The unknowns behind the first n of `all` have no derivative: their equations are put into the others. */
static NOINLINE void eliminate(V *F, V *Q, V *s, int64_t n, int64_t all) {
    for (int64_t k = all - 1; k >= n; k--) {
        V back = v_div(v_set(1), F[k * all + k]);
        for (int64_t i = 0; i < k; i++) {
            V factor = v_mul(F[i * all + k], back);
            for (int64_t j = 0; j < k; j++) F[i * all + j] = v_fnma(factor, F[k * all + j], F[i * all + j]);
            s[i] = v_fnma(factor, s[k], s[i]);
            for (int64_t j = 0; j <= k; j++) Q[i * all + j] = v_fnma(factor, Q[k * all + j], Q[i * all + j]);
        }
        for (int64_t j = 0; j < k; j++) { /* the same of its columns */
            V factor = v_mul(F[j * all + k], back);
            for (int64_t i = 0; i < k; i++) Q[i * all + j] = v_fnma(Q[i * all + k], factor, Q[i * all + j]);
        }
    }
}

/* A becomes L^-1 A L^-T; `room` is one matrix more. */
static void both_sides(const V *factor, V *a, V *room, int64_t n) {
    solve_rows(factor, a, n);
    transpose(a, room, n);
    solve_rows(factor, room, n);
    transpose(room, a, n);
}

static V length_of(const V *a, int64_t count) {
    V sum = v_set(0);
    for (int64_t k = 0; k < count; k++) sum = v_fma(a[k], a[k], sum);
    return v_sqrt(sum);
}

#define DOUBLINGS 24
#define ADDED 1e-12 /* share that a doubling adds, of which the next one adds less than rounding */

/* P + J P J^T of a symmetric P in its place, in lanes that are open; where `grown`, what it added to the diagonal decides
   which lanes stay so. `one` and `two` are room. */
static NOINLINE V doubled(const V *J, V *P, V *one, V *two, V *three, V open, int64_t n) {
    V zero = v_set(0), unit = v_set(1), moving = zero;
    product(J, P, one, n, 0);
    transpose(J, two, n);
    product(one, two, three, n, 1);
    for (int64_t i = 0; i < n; i++) {
        moving = v_pick(v_mul(v_set(ADDED), P[i * n + i]), three[i * n + i], unit, moving);
        for (int64_t j = 0; j <= i; j++)
            P[i * n + j] = P[j * n + i] = v_add(P[i * n + j], v_pick(zero, open, three[i * n + j], zero));
    }
    return moving;
}

/* What noise of intensity S is to begin with: (2 / rate) M S M^T with M = (1 + J) / 2, in P. */
static NOINLINE void begin_with(const V *J, const V *S, V *P, V *one, V *two, double rate, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) two[i] = J[i];
    for (int64_t i = 0; i < n; i++) two[i * n + i] = v_add(two[i * n + i], v_set(1));
    product(two, S, one, n, 0);
    transpose(two, P, n);
    product(one, P, two, n, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) P[i * n + j] = P[j * n + i] = v_mul(v_set(0.5 / rate), two[i * n + j]);
}

/* Laws of E x' = F x + s + noise with n states and algebraic unknowns behind them, `all` in all.

   Targets are the lower triangle row by row of E (n), F (all, all) row by row, the lower triangle of the noise's
   intensity, and s (all,). `rate` is about the geometric mean of rates. Written as laws_of_cells does. */
KERNEL(void, laws_of_states, (const Assembly *made, int64_t n, int64_t all, double rate, const double *design,
                              const int64_t *probes, double *room, const double *factors, double *mean,
                              double *covariance, double *error, int64_t elements, int64_t p, int64_t size,
                              int64_t draws)) {
    (void)size;
    int64_t square = n * n, whole = all * all, triangle = n * (n + 1) / 2;
    V *targets = (V *)room, *slots = targets + made->targets, *F = slots + made->slots, *Q = F + whole, *L = Q + whole;
    V *A = L + square, *P = A + square, *S = P + square, *one = S + square, *two = one + square, *J = two + square;
    V *rest = J + (DOUBLINGS + 1) * square, *push = rest + all, *step = push + all;
    V zero = v_set(0), unit = v_set(1), back = v_set(1 / rate);
    for (int64_t done = 0; done < draws; done += VL) {
        int64_t count = draws - done < VL ? draws - done : VL;
        assemble(made, factors + done * elements, design, elements, count, slots, targets);
        unfold(targets, L, n);
        memcpy(F, targets + triangle, (size_t)whole * sizeof(V));
        unfold(targets + triangle + whole, Q, all);
        V *s = targets + triangle + whole + all * (all + 1) / 2;
        eliminate(F, Q, s, n, all);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) A[i * n + j] = F[i * all + j], S[i * n + j] = Q[i * all + j];
        /* where the mean lies */
        memcpy(J, A, (size_t)square * sizeof(V));
        V worst = zero;
        int moved = 0;
        for (int64_t i = 0; i < n; i++) rest[i] = zero, moved |= any_above(v_abs(s[i]), 0);
        if (moved) {
            invert(J, n);
            for (int turn = 0; turn < 2; turn++) {
                for (int64_t i = 0; i < n; i++) {
                    push[i] = s[i];
                    for (int64_t j = 0; j < n; j++) push[i] = v_fma(A[i * n + j], rest[j], push[i]);
                }
                for (int64_t i = 0; i < n; i++) {
                    step[i] = zero;
                    for (int64_t j = 0; j < n; j++) step[i] = v_fma(J[i * n + j], push[j], step[i]);
                }
                for (int64_t i = 0; i < n; i++) rest[i] = v_sub(rest[i], step[i]);
            }
        }
        cholesky(L, n);
        both_sides(L, A, one, n);
        both_sides(L, S, one, n);
        for (int64_t i = 0; i < square; i++) J[i] = v_mul(v_sub(zero, back), A[i]);
        for (int64_t i = 0; i < n; i++) J[i * n + i] = v_add(J[i * n + i], unit);
        invert(J, n); /* (1 - A / rate)^-1 */
        for (int64_t i = 0; i < square; i++) J[i] = v_add(J[i], J[i]);
        for (int64_t i = 0; i < n; i++) J[i * n + i] = v_sub(J[i * n + i], unit);
        begin_with(J, S, P, one, two, rate, n);
        V open = unit, opens[DOUBLINGS];
        int64_t turns = 0;
        while (turns < DOUBLINGS) {
            opens[turns] = open;
            V *now = J + turns++ * square;
            V moving = doubled(now, P, one, two, Q, open, n);
            moving = v_pick(v_set(0.5), length_of(now, square), unit, moving); /* a mode that no noise reaches decays, too */
            open = v_pick(zero, moving, open, zero);
            if (!any_above(open, 0)) break;
            product(now, now, J + turns * square, n, 0);
        }
        /* what is left of the equation, solved for once more, each lane in as many turns as before */
        product(A, P, one, n, 0);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) S[i * n + j] = v_add(S[i * n + j], v_add(one[i * n + j], one[j * n + i]));
        begin_with(J, S, A, one, two, rate, n);
        for (int64_t turn = 0; turn < turns; turn++) doubled(J + turn * square, A, one, two, Q, opens[turn], n);
        for (int64_t i = 0; i < square; i++) P[i] = v_add(P[i], A[i]);
        /* back to states: L^-T P L^-1, and the same of the change */
        for (int64_t i = 0; i < square; i++) two[i] = zero;
        for (int64_t i = 0; i < n; i++) two[i * n + i] = unit;
        solve_rows(L, two, n);
        transpose(two, one, n);
        product(one, P, J, n, 0);
        product(J, two, P, n, 1);
        mirror(P, n);
        product(one, A, J, n, 0);
        product(J, two, A, n, 1);
        for (int64_t i = 0; i < p; i++) {
            V spread = v_sqrt(P[probes[i] * n + probes[i]]);
            for (int64_t j = 0; j <= i; j++) {
                int64_t row = probes[i] > probes[j] ? probes[i] : probes[j], column = probes[i] + probes[j] - row;
                V other = v_sqrt(P[probes[j] * n + probes[j]]);
                V share = v_div(v_abs(A[row * n + column]), v_mul(spread, other));
                worst = v_fma(share, share, worst);
            }
            if (moved) {
                V share = v_div(v_abs(step[probes[i]]), v_add(v_abs(rest[probes[i]]), spread));
                worst = v_fma(share, share, worst);
            }
        }
        worst = v_pick(zero, open, v_div(zero, zero), v_sqrt(worst));
        hand_out(worst, rest, P, n, probes, p, count, error + done, mean + done * p, covariance + done * p * p);
    }
}

#undef TALL
