/* The response of a nonlinear Langevin equation to given noise: spu/emulator/laws/langevin_response.py says how. */

/* Row k of factors: on couplings at the beginning of interval k and at its end, on drives the same. */
STRUCT(Force, const double *stiffness; const double *slope; const double *quadratic; const double *cubic;
       const double *field; const double *factors; int64_t n; int64_t k;)

INLINE void force_at(const Force *law, const double *x, const double *drive, double couplers, double *into) {
    for (int64_t i = 0; i < law->n; i++) {
        double bent = (law->quadratic[i] + law->cubic[i] * x[i]) * x[i] + law->slope[i], pull = 0;
        const double *row = law->stiffness + i * law->n;
        for (int64_t j = 0; j < law->n; j++) pull += row[j] * x[j];
        into[i] = law->field[i] + drive[i] - bent * x[i] - couplers * pull;
    }
}

/* Drives at a share of the interval; returns the factor on couplings there. */
INLINE double drive_at(const double *before, const double *after, const double *factors, double share, double *drive,
                       int64_t n) {
    double factor = factors[2] + share * (factors[3] - factors[2]);
    for (int64_t i = 0; i < n; i++) drive[i] = factor * (before[i] + share * (after[i] - before[i]));
    return factors[0] + share * (factors[1] - factors[0]);
}

/* Classical Runge-Kutta steps of order 4; room (6, n) is scratch. */
KERNEL(void, respond_first_order, (const Force *law, const double *mobility, const double *waveform, int64_t hold,
                                   double h, int64_t substeps, double *x, double *path, double *room, int64_t n,
                                   int64_t k)) {
    double *k1 = room, *k2 = k1 + n, *k3 = k2 + n, *k4 = k3 + n, *drive = k4 + n, *y = drive + n;
    for (int64_t step = 0; step < k - 1; step++) {
        const double *before = waveform + step * n, *after = waveform + (hold ? step : step + 1) * n;
        const double *factors = law->factors + step * 4;
        double couplers;
        for (int64_t part = 0; part < substeps; part++) {
            couplers = drive_at(before, after, factors, (double)part / (double)substeps, drive, n);
            force_at(law, x, drive, couplers, k1);
            couplers = drive_at(before, after, factors, ((double)part + 0.5) / (double)substeps, drive, n);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] + 0.5 * h * mobility[i] * k1[i];
            force_at(law, y, drive, couplers, k2);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] + 0.5 * h * mobility[i] * k2[i];
            force_at(law, y, drive, couplers, k3);
            couplers = drive_at(before, after, factors, (double)(part + 1) / (double)substeps, drive, n);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] + h * mobility[i] * k3[i];
            force_at(law, y, drive, couplers, k4);
            for (int64_t i = 0; i < n; i++)
                x[i] += h * mobility[i] / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
        }
        memcpy(path + (step + 1) * n, x, (size_t)n * 8);
    }
}

/* Exponential midpoint steps of coordinates x and velocities w; half and full are what velocities keep of
   themselves over half a substep and a whole one, room (3, n) is scratch. */
KERNEL(void, respond_inertial, (const Force *law, const double *rate, const double *mass, const double *half,
                                const double *full, const double *waveform, int64_t hold, double h, int64_t substeps,
                                double *x, double *w, double *path, double *room, int64_t n, int64_t k)) {
    double *force = room, *drive = force + n, *y = drive + n;
    for (int64_t step = 0; step < k - 1; step++) {
        const double *before = waveform + step * n, *after = waveform + (hold ? step : step + 1) * n;
        const double *factors = law->factors + step * 4;
        double couplers;
        for (int64_t part = 0; part < substeps; part++) {
            couplers = drive_at(before, after, factors, ((double)part + 0.25) / (double)substeps, drive, n);
            force_at(law, x, drive, couplers, force);
            for (int64_t i = 0; i < n; i++) {
                double goal = force[i] / (mass[i] * rate[i]);
                y[i] = x[i] + goal * h / 2 + (w[i] - goal) * (1 - half[i]) / rate[i];
            }
            couplers = drive_at(before, after, factors, ((double)part + 0.5) / (double)substeps, drive, n);
            force_at(law, y, drive, couplers, force);
            for (int64_t i = 0; i < n; i++) {
                double goal = force[i] / (mass[i] * rate[i]);
                x[i] += goal * h + (w[i] - goal) * (1 - full[i]) / rate[i];
                w[i] = goal + (w[i] - goal) * full[i];
            }
        }
        memcpy(path + (step + 1) * n, x, (size_t)n * 8);
    }
}
