/* The response of a nonlinear Langevin equation to given noise: spu/emulator/laws/langevin_response.py says how. */

STRUCT(Force, const double *stiffness; const double *quadratic; const double *cubic; const double *field; int64_t n;)

INLINE void force_at(const Force *law, const double *x, const double *drive, double *into) {
    for (int64_t i = 0; i < law->n; i++) {
        double total = law->field[i] + drive[i] - (law->quadratic[i] + law->cubic[i] * x[i]) * x[i] * x[i];
        const double *row = law->stiffness + i * law->n;
        for (int64_t j = 0; j < law->n; j++) total -= row[j] * x[j];
        into[i] = total;
    }
}

INLINE void drive_at(const double *before, const double *after, double share, double *drive, int64_t n) {
    for (int64_t i = 0; i < n; i++) drive[i] = before[i] + share * (after[i] - before[i]);
}

/* Classical Runge-Kutta steps of order 4; room (6, n) is scratch. */
KERNEL(void, respond_first_order, (const Force *law, const double *mobility, const double *waveform, int64_t hold,
                                   double h, int64_t substeps, double *x, double *path, double *room, int64_t n,
                                   int64_t k)) {
    double *k1 = room, *k2 = k1 + n, *k3 = k2 + n, *k4 = k3 + n, *drive = k4 + n, *y = drive + n;
    for (int64_t step = 0; step < k - 1; step++) {
        const double *before = waveform + step * n, *after = waveform + (hold ? step : step + 1) * n;
        for (int64_t part = 0; part < substeps; part++) {
            drive_at(before, after, (double)part / (double)substeps, drive, n);
            force_at(law, x, drive, k1);
            drive_at(before, after, ((double)part + 0.5) / (double)substeps, drive, n);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] + 0.5 * h * mobility[i] * k1[i];
            force_at(law, y, drive, k2);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] + 0.5 * h * mobility[i] * k2[i];
            force_at(law, y, drive, k3);
            drive_at(before, after, (double)(part + 1) / (double)substeps, drive, n);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] + h * mobility[i] * k3[i];
            force_at(law, y, drive, k4);
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
        for (int64_t part = 0; part < substeps; part++) {
            drive_at(before, after, ((double)part + 0.25) / (double)substeps, drive, n);
            force_at(law, x, drive, force);
            for (int64_t i = 0; i < n; i++) {
                double goal = force[i] / (mass[i] * rate[i]);
                y[i] = x[i] + goal * h / 2 + (w[i] - goal) * (1 - half[i]) / rate[i];
            }
            drive_at(before, after, ((double)part + 0.5) / (double)substeps, drive, n);
            force_at(law, y, drive, force);
            for (int64_t i = 0; i < n; i++) {
                double goal = force[i] / (mass[i] * rate[i]);
                x[i] += goal * h + (w[i] - goal) * (1 - full[i]) / rate[i];
                w[i] = goal + (w[i] - goal) * full[i];
            }
        }
        memcpy(path + (step + 1) * n, x, (size_t)n * 8);
    }
}
