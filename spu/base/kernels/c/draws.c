/* Stationary laws of many small circuits, exactly: VL boards side by side, one in each lane of every vector.

   Entries of a circuit's matrices are sums of terms, each a number times powers of what a board's elements are
   multiplied by. Nothing depends on what lies in other lanes: a loop that some lanes are done with leaves them as they are.
   spu/emulator/laws/many.py says what is solved and how many operations it takes. */

/* Slot k is a power of a factor; terms begin[t] to begin[t + 1] are those of target t. */
STRUCT(Assembly, const int64_t *element; const int64_t *power; const int64_t *begin; const double *base;
       const int64_t *first; const int64_t *second; int64_t slots; int64_t targets; int64_t terms;)

enum { ONE, SAME, INVERSE, ROOT, INVERSE_ROOT, SQUARE, INVERSE_SQUARE };

INLINE V power_of(V f, int64_t power) {
    V one = v_set(1);
    if (power == ONE) return one;
    if (power == ROOT || power == INVERSE_ROOT) f = v_sqrt(f);
    if (power == SQUARE || power == INVERSE_SQUARE) f = v_mul(f, f);
    return power == INVERSE || power == INVERSE_ROOT || power == INVERSE_SQUARE ? v_div(one, f) : f;
}

/* All targets of VL boards; `count` of them are there, the others are copies of the first. */
static void assemble(const Assembly *made, const double *factors, int64_t elements, int64_t count, V *slots, V *into) {
    for (int64_t k = 0; k < made->slots; k++) {
        double lanes[VL];
        for (int64_t lane = 0; lane < VL; lane++)
            lanes[lane] = factors[(lane < count ? lane : 0) * elements + made->element[k]];
        slots[k] = power_of(v_load(lanes), made->power[k]);
    }
    for (int64_t t = 0; t < made->targets; t++) {
        V sum = v_set(0);
        for (int64_t k = made->begin[t]; k < made->begin[t + 1]; k++)
            sum = v_fma(v_mul(slots[made->first[k]], slots[made->second[k]]), v_set(made->base[k]), sum);
        into[t] = sum;
    }
}

/* Rows i.. and columns j.. of C = A B, of n rows and columns all. */
INLINE void product_tile(const V *a, const V *b, V *c, int64_t n, int64_t i, int64_t j, const int rows, const int columns) {
    V sums[2][4];
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

/* C = A B, n by n each. */
static void product(const V *a, const V *b, V *c, int64_t n) {
    for (int64_t i = 0; i < n; i += 2)
        for (int64_t j = 0; j < n; j += 4) {
            int wide = n - j >= 4;
            if (n - i >= 2 && wide) product_tile(a, b, c, n, i, j, 2, 4);
            else
                for (int64_t r = i; r < i + 2 && r < n; r++)
                    for (int64_t q = j; q < j + 4 && q < n; q++) product_tile(a, b, c, n, r, q, 1, 1);
        }
}

static void transpose(const V *a, V *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) b[j * n + i] = a[i * n + j];
}

/* C = Y A Y^T; `room` is one matrix more. */
static void congruence(const V *y, const V *across, const V *a, V *c, V *room, int64_t n) {
    product(y, a, room, n);
    product(room, across, c, n);
}

/* From the entries of a lower triangle row by row to a symmetric matrix. */
static void unfold(const V *lower, V *a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++, lower++) a[i * n + j] = a[j * n + i] = *lower;
}

/* The inverse of the lower Cholesky factor of C, zeros above it; C is overwritten. Not a number where C is not definite. */
static void inverse_factor(V *c, V *inverse, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        V own = c[j * n + j];
        for (int64_t k = 0; k < j; k++) own = v_sub(own, v_mul(c[j * n + k], c[j * n + k]));
        V back = v_div(v_set(1), v_sqrt(own));
        c[j * n + j] = back;
        for (int64_t i = j + 1; i < n; i++) {
            V sum = c[i * n + j];
            for (int64_t k = 0; k < j; k++) sum = v_sub(sum, v_mul(c[i * n + k], c[j * n + k]));
            c[i * n + j] = v_mul(sum, back);
        }
    }
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < j; i++) inverse[i * n + j] = v_set(0);
        inverse[j * n + j] = c[j * n + j];
        for (int64_t i = j + 1; i < n; i++) {
            V sum = v_set(0);
            for (int64_t k = j; k < i; k++) sum = v_fma(c[i * n + k], inverse[k * n + j], sum);
            inverse[i * n + j] = v_mul(v_sub(v_set(0), sum), c[i * n + i]);
        }
    }
}

INLINE int any_above(V a, double limit) {
    double lanes[VL];
    int found = 0;
    v_store(lanes, a);
    for (int lane = 0; lane < VL; lane++) found |= lanes[lane] > limit;
    return found;
}

#define SWEEPS 14
#define SETTLED 1e-20 /* square of the largest coupling that one more sweep makes nothing of */

/* Jacobi's rotations: symmetric A becomes diagonal, and rows of Y are turned with its own. */
static void diagonalise(V *a, V *y, int64_t n) {
    V zero = v_set(0), one = v_set(1), open = one;
    for (int sweep = 0; sweep < SWEEPS && any_above(open, 0); sweep++) {
        V moving = zero;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                V off = a[p * n + q], twice = v_add(off, off), square = v_mul(off, off);
                V apart = v_sub(a[q * n + q], a[p * n + p]);
                V least = v_mul(v_set(SETTLED), v_abs(v_mul(a[p * n + p], a[q * n + q])));
                moving = v_pick(least, square, one, moving);
                V length = v_sqrt(v_fma(apart, apart, v_mul(twice, twice)));
                V size = v_add(v_abs(apart), length);
                V t = v_div(v_pick(apart, zero, v_sub(zero, twice), twice), size);
                t = v_pick(zero, open, v_pick(zero, square, t, zero), zero);
                V c = v_div(one, v_sqrt(v_fma(t, t, one))), s = v_mul(t, c), less = v_sub(zero, s);
                for (int64_t k = 0; k < n; k++) {
                    V first = y[p * n + k], second = y[q * n + k];
                    y[p * n + k] = v_fma(c, first, v_mul(less, second));
                    y[q * n + k] = v_fma(s, first, v_mul(c, second));
                    if (k == p || k == q) continue;
                    first = a[p * n + k], second = a[q * n + k];
                    a[p * n + k] = a[k * n + p] = v_fma(c, first, v_mul(less, second));
                    a[q * n + k] = a[k * n + q] = v_fma(s, first, v_mul(c, second));
                }
                a[p * n + p] = v_sub(a[p * n + p], v_mul(t, off));
                a[q * n + q] = v_fma(t, off, a[q * n + q]);
                a[p * n + q] = a[q * n + p] = v_pick(zero, open, zero, off);
            }
        open = v_pick(zero, moving, open, zero);
    }
}

/* Cells: C v' + G v + Gamma phi = noise, phi' = v, in the basis in which C is 1 and G is diagonal. */
typedef struct {
    int64_t n, pairs;
    V *gamma;   /* (n, n) */
    V *weight;  /* (n, n), 1 / (d_i + d_j) */
    V *factor;  /* (pairs, pairs): L below the diagonal, the inverse of D on it */
    V *unknown; /* (pairs,) */
    V *first, *second;
} Cells;

/* L D L^T of the symmetric definite matrix that is left for the antisymmetric unknown; in its place. */
static void factorise(V *m, V *row, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        V *own = m + i * count, pivot = own[i];
        for (int64_t j = 0; j < i; j++) {
            const V *other = m + j * count;
            V sums[4] = {own[j], v_set(0), v_set(0), v_set(0)};
            int64_t k = 0;
            for (; k + 4 <= j; k += 4)
                UNROLL for (int u = 0; u < 4; u++) sums[u] = v_sub(sums[u], v_mul(row[k + u], other[k + u]));
            for (; k < j; k++) sums[0] = v_sub(sums[0], v_mul(row[k], other[k]));
            row[j] = v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3]));
        }
        for (int64_t j = 0; j < i; j++) {
            own[j] = v_mul(row[j], m[j * count + j]);
            pivot = v_sub(pivot, v_mul(row[j], own[j]));
        }
        own[i] = v_div(v_set(1), pivot);
    }
}

static void prepare_pairs(Cells *cells, const V *rates, V *shared) {
    int64_t n = cells->n, m = cells->pairs, row = 0;
    const V *gamma = cells->gamma, *w = cells->weight;
    /* shared[b][a][c] = sum_p w_pb gamma_pa gamma_pc + rate_b gamma_ac */
    for (int64_t b = 0; b < n; b++)
        for (int64_t a = 0; a < n; a++)
            for (int64_t c = 0; c <= a; c++) {
                V sum = v_mul(rates[b], gamma[a * n + c]);
                for (int64_t p = 0; p < n; p++)
                    sum = v_fma(v_mul(w[p * n + b], gamma[p * n + a]), gamma[p * n + c], sum);
                shared[(b * n + a) * n + c] = shared[(b * n + c) * n + a] = sum;
            }
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = a + 1; b < n; b++, row++) {
            int64_t column = 0;
            for (int64_t c = 0; c <= a; c++)
                for (int64_t d = c + 1; d < n && column <= row; d++, column++) {
                    V ad = v_mul(gamma[a * n + d], gamma[b * n + c]), ac = v_mul(gamma[a * n + c], gamma[b * n + d]);
                    V sum = v_mul(ad, v_add(w[b * n + d], w[a * n + c]));
                    sum = v_sub(sum, v_mul(ac, v_add(w[b * n + c], w[a * n + d])));
                    if (b == d) sum = v_add(sum, shared[(b * n + a) * n + c]);
                    if (b == c) sum = v_sub(sum, shared[(b * n + a) * n + d]);
                    if (a == d) sum = v_sub(sum, shared[(a * n + b) * n + c]);
                    if (a == c) sum = v_add(sum, shared[(a * n + b) * n + d]);
                    cells->factor[row * m + column] = sum;
                }
        }
    factorise(cells->factor, cells->unknown, m);
}

/* `sum`, of which the symmetric part belongs to the first equation and the rest to the second, becomes V + X:
   D V + V D - (gamma X - X gamma) = R,  gamma V - V gamma + D X gamma + gamma X D = Q. */
static void solve_cells(const Cells *cells, V *sum) {
    int64_t n = cells->n, m = cells->pairs, row = 0;
    V *u = cells->first, *made = cells->second, *x = cells->unknown, half = v_set(0.5);
    if (!m || !cells->gamma) { /* nothing but V */
        for (int64_t i = 0; i < n * n; i++) sum[i] = v_mul(cells->weight[i], sum[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            u[i * n + j] = v_mul(cells->weight[i * n + j], v_mul(half, v_add(sum[i * n + j], sum[j * n + i])));
    product(cells->gamma, u, made, n);
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = a + 1; b < n; b++, row++) {
            V odd = v_mul(half, v_sub(sum[a * n + b], sum[b * n + a]));
            x[row] = v_sub(odd, v_sub(made[a * n + b], made[b * n + a]));
        }
    for (int64_t i = 0; i < m; i++) {
        V left = x[i];
        for (int64_t k = 0; k < i; k++) left = v_sub(left, v_mul(cells->factor[i * m + k], x[k]));
        x[i] = left;
    }
    for (int64_t i = 0; i < m; i++) x[i] = v_mul(x[i], cells->factor[i * m + i]);
    for (int64_t i = m - 1; i >= 0; i--)
        for (int64_t k = 0; k < i; k++) x[k] = v_sub(x[k], v_mul(cells->factor[i * m + k], x[i]));
    row = 0;
    for (int64_t i = 0; i < n; i++) sum[i * n + i] = v_set(0);
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = a + 1; b < n; b++, row++) {
            sum[a * n + b] = x[row];
            sum[b * n + a] = v_sub(v_set(0), x[row]);
        }
    product(cells->gamma, sum, made, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            V w = cells->weight[i * n + j];
            V even = v_fma(w, v_add(made[i * n + j], made[j * n + i]), u[i * n + j]), odd = sum[i * n + j];
            sum[i * n + j] = v_add(even, odd);
            sum[j * n + i] = v_sub(even, odd);
        }
}

/* sums of the products of matrices and their transposes into `into`: + sign (A + A^T), or - sign (A - A^T) where odd. */
INLINE void gather(const V *a, V *into, double sign, int odd, int64_t n) {
    V s = v_set(sign);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            V pair = odd ? v_sub(a[i * n + j], a[j * n + i]) : v_add(a[i * n + j], a[j * n + i]);
            into[i * n + j] = v_fma(s, pair, into[i * n + j]);
        }
}

/* Laws of networks of n nodes with capacitances, conductances and (where `stiff`) inductances between them.

   Targets are lower triangles row by row of C, G, S (what white noise adds: (G V C + C V G) / 1), where stiff of the
   inverse inductances, and where biased the currents (n,). Written are covariances and means of the probes, and an
   estimate of their largest relative error, not a number where there is no law or where this does not tell.
   `room` is scratch: (10 + n) n n + (pairs + 1) pairs + 4 n + targets + slots vectors. */
KERNEL(void, laws_of_cells, (const Assembly *made, int64_t n, int64_t stiff, int64_t biased, const double *factors,
                             const int64_t *probes, double *covariance, double *mean, double *error, double *room,
                             int64_t draws, int64_t elements, int64_t p, int64_t size)) {
    (void)size;
    int64_t square = n * n, triangle = n * (n + 1) / 2, pairs = stiff ? n * (n - 1) / 2 : 0;
    V *targets = (V *)room, *slots = targets + made->targets, *C = slots + made->slots, *G = C + square;
    V *S = G + square, *Gamma = S + square, *Y = Gamma + square, *T = Y + square, *Z = T + square;
    V *one = Z + square, *two = one + square, *three = two + square, *four = three + square, *modal = four + square;
    V *weight = modal + square, *shared = weight + square, *factor = shared + n * square;
    V *unknown = factor + pairs * pairs, *rates = unknown + (pairs ? pairs : 1), *rest = rates + n, *push = rest + n;
    V *spread = push + n, zero = v_set(0), unit = v_set(1), half = v_set(0.5);
    Cells cells = {n, pairs, stiff ? modal : 0, weight, factor, unknown, one, two};
    for (int64_t done = 0; done < draws; done += VL) {
        int64_t count = draws - done < VL ? draws - done : VL;
        assemble(made, factors + done * elements, elements, count, slots, targets);
        unfold(targets, C, n);
        unfold(targets + triangle, G, n);
        unfold(targets + 2 * triangle, S, n);
        if (stiff) unfold(targets + 3 * triangle, Gamma, n);
        memcpy(one, C, (size_t)square * sizeof(V));
        inverse_factor(one, Y, n);
        transpose(Y, T, n);
        congruence(Y, T, G, three, two, n);
        diagonalise(three, Y, n);
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
            congruence(Y, T, Gamma, modal, two, n);
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < i; j++) modal[i * n + j] = modal[j * n + i];
            /* positive inductances, all of them: else there is no rest */
            memcpy(one, modal, (size_t)square * sizeof(V));
            inverse_factor(one, two, n);
            for (int64_t i = 0; i < n; i++) least = v_pick(zero, two[i * n + i], least, v_sub(zero, unit));
            prepare_pairs(&cells, rates, shared);
        }
        congruence(Y, T, S, four, two, n);
        solve_cells(&cells, four);
        congruence(T, Y, four, Z, two, n); /* V + X */
        V *V_ = three, *X = four;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                V_[i * n + j] = v_mul(half, v_add(Z[i * n + j], Z[j * n + i]));
                X[i * n + j] = v_mul(half, v_sub(Z[i * n + j], Z[j * n + i]));
            }
        /* what is left of both equations, of the circuit's own matrices */
        memcpy(Z, S, (size_t)square * sizeof(V));
        product(V_, C, one, n);
        product(G, one, two, n);
        gather(two, Z, -1, 0, n);
        if (stiff) {
            product(Gamma, one, two, n);
            gather(two, Z, -1, 1, n);
            product(X, C, one, n);
            product(Gamma, one, two, n);
            gather(two, Z, 1, 0, n);
            product(X, Gamma, one, n);
            product(G, one, two, n);
            gather(two, Z, -1, 1, n);
        }
        congruence(Y, T, Z, four, two, n);
        solve_cells(&cells, four);
        congruence(T, Y, four, Z, two, n);
        V worst = zero;
        for (int64_t i = 0; i < n; i++) {
            V_[i * n + i] = v_add(V_[i * n + i], Z[i * n + i]);
            spread[i] = v_div(unit, v_sqrt(V_[i * n + i]));
        }
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++) {
                V change = v_mul(half, v_add(Z[i * n + j], Z[j * n + i]));
                if (i != j) V_[i * n + j] = V_[j * n + i] = v_add(V_[i * n + j], change);
                V share = v_mul(v_abs(change), v_mul(spread[i], spread[j]));
                worst = v_fma(share, share, worst);
            }
        for (int64_t i = 0; i < n; i++) rest[i] = zero;
        for (int64_t turn = 0; biased && !stiff && turn < 2; turn++) {
            const V *currents = targets + 3 * triangle;
            for (int64_t i = 0; i < n; i++) {
                push[i] = currents[i];
                for (int64_t j = 0; j < n; j++) push[i] = v_sub(push[i], v_mul(G[i * n + j], rest[j]));
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
        double lanes[VL];
        v_store(lanes, worst);
        for (int64_t lane = 0; lane < count; lane++) error[done + lane] = lanes[lane];
        for (int64_t i = 0; i < p; i++) {
            v_store(lanes, rest[probes[i]]);
            for (int64_t lane = 0; lane < count; lane++) mean[(done + lane) * p + i] = lanes[lane];
            for (int64_t j = 0; j < p; j++) {
                v_store(lanes, V_[probes[i] * n + probes[j]]);
                for (int64_t lane = 0; lane < count; lane++) covariance[((done + lane) * p + i) * p + j] = lanes[lane];
            }
        }
    }
}
