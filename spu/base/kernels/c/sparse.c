/* Loops over sparse matrices: a factor L is given by columns, `indptr` (n + 1), `rows` rising within each. */

/* How many entries each column of L has below its diagonal, from the rows of the lower triangle of a symmetric
   matrix: starts (n + 1). Row i of L is the union of the paths that lead from its entries up the elimination tree to
   i (Liu 1990; Davis, Direct Methods for Sparse Linear Systems, section 4). */
KERNEL(void, count_structure, (const int64_t *indptr, const int64_t *indices, int64_t *starts, int64_t *parent,
                               int64_t *mark, int64_t n, int64_t entries)) {
    (void)entries;
    for (int64_t i = 0; i <= n; i++) starts[i] = 0;
    for (int64_t i = 0; i < n; i++) parent[i] = mark[i] = -1;
    for (int64_t i = 0; i < n; i++) {
        mark[i] = i;
        for (int64_t p = indptr[i]; p < indptr[i + 1]; p++)
            for (int64_t k = indices[p]; mark[k] != i; k = parent[k]) {
                if (parent[k] == -1) parent[k] = i;
                starts[k + 1]++;
                mark[k] = i;
            }
    }
    for (int64_t i = 0; i < n; i++) starts[i + 1] += starts[i];
}

/* The rows of L, in rising order: the same walk again. fill (n) is scratch. */
KERNEL(void, fill_structure, (const int64_t *indptr, const int64_t *indices, const int64_t *starts,
                              const int64_t *parent, int64_t *mark, int64_t *fill, int64_t *rows, int64_t n,
                              int64_t entries, int64_t found)) {
    (void)entries, (void)found;
    for (int64_t i = 0; i < n; i++) mark[i] = -1, fill[i] = starts[i];
    for (int64_t i = 0; i < n; i++) {
        mark[i] = i;
        for (int64_t p = indptr[i]; p < indptr[i + 1]; p++)
            for (int64_t k = indices[p]; mark[k] != i; k = parent[k]) {
                rows[fill[k]++] = i;
                mark[k] = i;
            }
    }
}

/* Put the entries of one L, in any order, into another of larger structure. place (n) is scratch. */
KERNEL(void, scatter, (const int64_t *from_indptr, const int64_t *from_rows, const double *from_values,
                       const int64_t *indptr, const int64_t *rows, int64_t *place, double *values, int64_t n,
                       int64_t given, int64_t entries)) {
    (void)given, (void)entries;
    for (int64_t j = 0; j < n; j++) {
        for (int64_t p = indptr[j]; p < indptr[j + 1]; p++) place[rows[p]] = p;
        for (int64_t p = from_indptr[j]; p < from_indptr[j + 1]; p++)
            if (from_rows[p] > j && from_values[p] != 0.0) values[place[from_rows[p]]] = from_values[p];
    }
}

/* x[i] -= factor x[j] for each of k columns. */
INLINE void subtract_row(double *x, int64_t i, int64_t j, double factor, int64_t k) {
    double *to = x + i * k;
    const double *from = x + j * k;
    V minus = v_set(-factor);
    int64_t b = 0;
    for (; b + VL <= k; b += VL) v_store(to + b, v_fma(minus, v_load(from + b), v_load(to + b)));
    for (; b < k; b++) to[b] = fma(-factor, from[b], to[b]);
}

/* Solve L^T x = block in place. */
KERNEL(void, back_substitute, (const int64_t *indptr, const int64_t *rows, const double *values, double *block,
                               int64_t n, int64_t entries, int64_t k)) {
    (void)entries;
    for (int64_t j = n - 1; j >= 0; j--)
        for (int64_t p = indptr[j]; p < indptr[j + 1]; p++) subtract_row(block, j, rows[p], values[p], k);
}

/* Entries of (L D L^T)^-1 below the diagonal, on the structure of L, and on the diagonal: the recurrence of
   Takahashi, Fagan and Chen (1973). inverse is zero at the beginning; place (n) is scratch. */
KERNEL(void, takahashi, (const int64_t *indptr, const int64_t *rows, const double *values, const double *pivots,
                         int64_t *place, double *inverse, double *diagonal, int64_t n, int64_t entries)) {
    (void)entries;
    for (int64_t i = 0; i < n; i++) place[i] = -1;
    for (int64_t j = n - 1; j >= 0; j--) {
        int64_t first = indptr[j], last = indptr[j + 1];
        for (int64_t p = first; p < last; p++) place[rows[p]] = p;
        for (int64_t p = first; p < last; p++) {
            int64_t k = rows[p];
            double factor = values[p], own = fma(-factor, diagonal[k], inverse[p]);
            /* Column k of the inverse, where column j has entries: they are in its structure (fill). */
            for (int64_t q = indptr[k]; q < indptr[k + 1]; q++) {
                int64_t r = place[rows[q]];
                if (r < 0) continue;
                inverse[r] = fma(-factor, inverse[q], inverse[r]);
                own = fma(-values[r], inverse[q], own);
            }
            inverse[p] = own;
        }
        double total = 1.0 / pivots[j];
        for (int64_t p = first; p < last; p++) {
            total = fma(-values[p], inverse[p], total);
            place[rows[p]] = -1;
        }
        diagonal[j] = total;
    }
}

/* Entries at the given places, row >= column, by bisection. */
KERNEL(void, gather, (const int64_t *indptr, const int64_t *rows, const double *inverse, const double *diagonal,
                      const int64_t *column, const int64_t *row, double *found, int64_t n, int64_t entries,
                      int64_t wanted)) {
    (void)n, (void)entries;
    for (int64_t k = 0; k < wanted; k++) {
        int64_t j = column[k], i = row[k];
        if (i == j) {
            found[k] = diagonal[j];
            continue;
        }
        int64_t low = indptr[j], high = indptr[j + 1];
        while (high - low > 1) {
            int64_t middle = (low + high) / 2;
            if (rows[middle] <= i)
                low = middle;
            else
                high = middle;
        }
        found[k] = inverse[low];
    }
}

/* Solve L y = x in place, x (n, k); L by columns, its unit diagonal first in each. */
KERNEL(void, solve_lower, (const int64_t *starts, const int64_t *rows, const double *values, double *x, int64_t n,
                           int64_t entries, int64_t k)) {
    (void)entries;
    for (int64_t j = 0; j < n; j++)
        for (int64_t p = starts[j]; p < starts[j + 1]; p++)
            if (rows[p] != j) subtract_row(x, rows[p], j, values[p], k);
}

/* Solve U y = x in place, x (n, k); U by columns, its diagonal last in each. */
KERNEL(void, solve_upper, (const int64_t *starts, const int64_t *rows, const double *values, double *x, int64_t n,
                           int64_t entries, int64_t k)) {
    (void)entries;
    for (int64_t j = n - 1; j >= 0; j--) {
        int64_t last = starts[j + 1] - 1;
        double inverse = 1.0 / values[last];
        for (int64_t b = 0; b < k; b++) x[j * k + b] *= inverse;
        for (int64_t p = starts[j]; p < last; p++) subtract_row(x, rows[p], j, values[p], k);
    }
}

/* Add the sum over b of y_ib y_jb to the entry (i, j) of a CSR pattern; y (p, k). Four sums, added up at the end. */
KERNEL(void, count_pairs, (const double *y, const int64_t *starts, const int64_t *columns, double *products, int64_t p,
                           int64_t k, int64_t entries)) {
    (void)entries;
    for (int64_t i = 0; i < p; i++)
        for (int64_t q = starts[i]; q < starts[i + 1]; q++) {
            const double *a = y + i * k, *b = y + columns[q] * k;
            double sums[4] = {0, 0, 0, 0};
            int64_t c = 0;
            for (; c + 4 <= k; c += 4)
                for (int s = 0; s < 4; s++) sums[s] = fma(a[c + s], b[c + s], sums[s]);
            for (; c < k; c++) sums[0] = fma(a[c], b[c], sums[0]);
            products[q] += (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
}
