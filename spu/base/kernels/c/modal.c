/* Linear systems, exactly from readout to readout, mode by mode: in double precision only, as noise is most of the work. */

/* Independent systems of two states: x' = transition x + root (two normals); of each the first `shown` are seen. */
STRUCT(ModalStep, const double *transition; const double *root; int64_t shown; int64_t systems;)

/* VL trajectories of `both` (one or two) systems of a block of normals through all steps of a chunk, in registers. */
INLINE void step_systems(const Tile_double *tile, const ModalStep *law, const Rounds *rounds, int64_t first,
                         int64_t count, int64_t panel, int64_t block, int64_t lane, int64_t few, const int both,
                         const int shown) {
    double *state = tile->state + (panel * tile->rows + BLOCK * block) * PANEL + lane;
    V x[4], t[8], r[8];
    UNROLL for (int i = 0; i < 2 * both; i++) x[i] = v_load(state + i * PANEL);
    UNROLL for (int i = 0; i < 4 * both; i++) {
        t[i] = v_set(law->transition[8 * block + i]);
        r[i] = v_set(law->root[8 * block + i]);
    }
    double *to = tile->seen + shown * 2 * block * tile->seen_columns + tile->lags * tile->apart * tile->width +
                 panel * PANEL + lane;
    for (int64_t k = 0; k < count; k++, to += tile->width) {
        uint64_t when[VL], who[VL];
        V z[BLOCK];
        UNROLL for (int i = 0; i < VL; i++)
            address_double(tile, first + k, panel * PANEL + lane + i, when + i, who + i);
        four_normals((uint64_t)block, u_load(when), u_load(who), rounds, z);
        UNROLL for (int s = 0; s < both; s++) {
            V a = x[2 * s], b = x[2 * s + 1], u = z[2 * s], w = z[2 * s + 1];
            const V *own = t + 4 * s, *kick = r + 4 * s;
            x[2 * s] = v_fma(own[0], a, v_fma(own[1], b, v_fma(kick[0], u, v_mul(kick[1], w))));
            x[2 * s + 1] = v_fma(own[2], a, v_fma(own[3], b, v_fma(kick[2], u, v_mul(kick[3], w))));
            UNROLL for (int i = 0; i < shown; i++) {
                double *row = to + (shown * s + i) * tile->seen_columns, rest[VL];
                if (few == VL) {
                    v_store(row, x[2 * s + i]);
                } else {
                    v_store(rest, x[2 * s + i]);
                    for (int64_t c = 0; c < few; c++) row[c] = rest[c];
                }
            }
        }
    }
    UNROLL for (int i = 0; i < 2 * both; i++) v_store(state + i * PANEL, x[i]);
}

static void step_modes(const Tile_double *tile, const ModalStep *law, const Rounds *rounds, int64_t first, int64_t count) {
    int64_t shown = tile->observed ? law->shown : 0;
    for (int64_t panel = 0; panel < tile->panels; panel++) {
        int64_t lanes = tile->width - panel * PANEL < PANEL ? tile->width - panel * PANEL : PANEL;
        for (int64_t block = 0; 2 * block < law->systems; block++)
            for (int64_t lane = 0; lane < lanes; lane += VL) {
                int64_t few = lanes - lane < VL ? lanes - lane : VL;
                int one = law->systems - 2 * block == 1;
#define SYSTEMS(both, seen) step_systems(tile, law, rounds, first, count, panel, block, lane, few, both, seen)
                if (one && shown == 2) SYSTEMS(1, 2);
                else if (one && shown) SYSTEMS(1, 1);
                else if (one) SYSTEMS(1, 0);
                else if (shown == 2) SYSTEMS(2, 2);
                else if (shown) SYSTEMS(2, 1);
                else SYSTEMS(2, 0);
#undef SYSTEMS
            }
    }
}

/* Take `steps` steps, as drive_dense does. */
KERNEL(void, drive_modal, (const Tile_double *tile, const ModalStep *law, const uint64_t *key, int64_t first,
                           int64_t steps, int64_t every)) {
    Rounds rounds = rounds_of(key);
    for (int64_t done = 0; done < steps;) {
        int64_t count = steps - done < tile->chunk ? steps - done : tile->chunk;
        step_modes(tile, law, &rounds, first + done, count);
        count_chunk_double(tile, first + done, count, every);
        done += count;
    }
}
