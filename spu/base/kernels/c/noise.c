/* Normals into arrays of any length, for whoever is not a tile. */

/* A row a component from block `first_block` on, a column an instant of a trajectory: out (rows, n), rows in blocks. */
KERNEL(void, fill_normals, (double *out, uint64_t first_block, const uint64_t *key, const uint64_t *steps,
                            const uint64_t *trajectories, int64_t rows, int64_t n)) {
    enum { MANY = 32 * LANES };
    Rounds rounds = rounds_of(key);
    uint64_t bits[2][MANY];
    for (int64_t block = 0; block < rows / BLOCK; block++)
        for (int64_t first = 0; first < n; first += MANY) {
            int64_t many = n - first < MANY ? n - first : MANY, whole = many / VL * VL;
            double *into = out + block * BLOCK * n + first;
            for (int64_t i = 0; i < many; i += VL) {
                uint64_t when[VL], who[VL];
                const uint64_t *step = steps + first + i, *trajectory = trajectories + first + i;
                if (i == whole) {
                    for (int64_t b = 0; b < VL; b++) {
                        int64_t from = i + b < many ? b : 0;
                        when[b] = step[from], who[b] = trajectory[from];
                    }
                    step = when, trajectory = who;
                }
                four_words(first_block + (uint64_t)block, u_load(step), u_load(trajectory), &rounds, bits[0] + i, bits[1] + i);
            }
            for (int h = 0; h < 2; h++) {
                double *one = into + 2 * h * n, *two = one + n;
                for (int64_t i = 0; i < whole; i += VL) {
                    V x, y;
                    box_muller(u_load(bits[h] + i), &x, &y);
                    v_store(one + i, x);
                    v_store(two + i, y);
                }
                if (whole < many) {
                    double x[VL], y[VL];
                    V u, v;
                    box_muller(u_load(bits[h] + whole), &u, &v);
                    v_store(x, u);
                    v_store(y, v);
                    for (int64_t i = whole; i < many; i++) one[i] = x[i - whole], two[i] = y[i - whole];
                }
            }
        }
}

/* Philox 4x32-10 of counters and a key of 32-bit words, to be held against published answers: words (4). */
KERNEL(void, philox4x32, (const uint64_t *counter, const uint64_t *key, uint64_t *words)) {
    Rounds rounds = rounds_of(key);
    uint64_t found[2][VL];
    U first, second;
    philox(u_set(counter[0]), u_set(counter[1]), u_set(counter[2]), u_set(counter[3]), &rounds, &first, &second);
    u_store(found[0], first);
    u_store(found[1], second);
    for (int i = 0; i < 2; i++) {
        words[2 * i] = found[i][0] >> 32;
        words[2 * i + 1] = found[i][0] & 0xFFFFFFFFu;
    }
}

/* Two normals out of each word, to be held against the same by hand. */
KERNEL(void, normal_pairs, (const uint64_t *words, double *first, double *second, int64_t n)) {
    for (int64_t i = 0; i < n; i += VL) {
        uint64_t own[VL];
        double x[VL], y[VL];
        V one, two;
        for (int64_t b = 0; b < VL; b++) own[b] = words[i + b < n ? i + b : i];
        box_muller(u_load(own), &one, &two);
        v_store(x, one);
        v_store(y, two);
        for (int64_t b = 0; b < VL && i + b < n; b++) first[i + b] = x[b], second[i + b] = y[b];
    }
}

/* The same in floats. */
KERNEL(void, normal_pairs_in_floats, (const uint64_t *words, float *first, float *second, int64_t n)) {
    for (int64_t i = 0; i < n; i += FL) {
        uint64_t own[FL];
        float x[FL], y[FL];
        F one, two;
        for (int64_t b = 0; b < FL; b++) own[b] = words[i + b < n ? i + b : i];
        box_muller_floats(own, &one, &two);
        f_store(x, one);
        f_store(y, two);
        for (int64_t b = 0; b < FL && i + b < n; b++) first[i + b] = x[b], second[i + b] = y[b];
    }
}
