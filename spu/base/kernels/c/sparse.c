/* Sums over the pattern of a sparse matrix. */

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
