/* The one place that draws random numbers: counter-based, so that every number has an address.

   What it computes is said in spu/emulator/runs/noise.py. Every line is an exact operation on words or one
   rounded operation on doubles or floats, in a stated order. */
#ifndef SPU_NOISE_H
#define SPU_NOISE_H

#include "simd.h"

#define BLOCK 4 /* normals of one counter */

enum { ROUNDED, IN_FORMAT }; /* how floats come to their normals: those of doubles, rounded, or made in floats */

/* The key of each of the ten rounds of Philox 4x32-10. */
typedef struct {
    uint64_t k0[10], k1[10];
} Rounds;

INLINE Rounds rounds_of(const uint64_t *key) {
    Rounds rounds;
    for (int i = 0; i < 10; i++) {
        rounds.k0[i] = key[0] + (uint64_t)i * 0x9E3779B9u;
        rounds.k1[i] = key[1] + (uint64_t)i * 0xBB67AE85u;
    }
    return rounds;
}

/* 128 bits as two words, of counters whose low 32 bits count (Salmon et al., SC11, 2011). */
INLINE void philox(U c0, U c1, U c2, U c3, const Rounds *rounds, U *first, U *second) {
    const U m0 = u_set(0xD2511F53u), m1 = u_set(0xCD9E8D57u), low = u_set(0xFFFFFFFFu);
    UNROLL for (int i = 0; i < 10; i++) {
        U p0 = u_mul32(c0, m0), p1 = u_mul32(c2, m1);
        c0 = u_xor(u_xor(u_right(p1, 32), c1), u_set(rounds->k0[i]));
        c1 = p1;
        c2 = u_xor(u_xor(u_right(p0, 32), c3), u_set(rounds->k1[i]));
        c3 = p0;
    }
    *first = u_or(u_left(c0, 32), u_and(c1, low));
    *second = u_or(u_left(c2, 32), u_and(c3, low));
}

/* Two normals out of 64 bits: sqrt(-2 log u) times cosine and sine of a uniform angle (Box and Muller, 1958).
   The series stop where their remainder is below 4e-14 of the result. */
INLINE void box_muller(U word, V *first, V *second) {
    const U one = u_set(0x3FF0000000000000u), root_half = u_set(0x3FE6A09E667F3BCDu);
    /* u in (0, 1): 40 bits and a half. u = m 2^e with m between sqrt(1/2) and sqrt(2). */
    V u = v_sub(v_of(u_or(u_right(u_and(word, u_set(0xFFFFFFFFFF000000u)), 12), one)), v_set(1.0 - 0x1p-41));
    U shifted = u_right(u_sub(u_of(u), root_half), 52);
    V m = v_of(u_sub(u_of(u), u_left(shifted, 52)));
    U biased = u_and(u_add(shifted, u_set(2048)), u_set(0xFFF));
    V e = v_sub(v_of(u_or(biased, u_set(0x4330000000000000u))), v_set(0x1p52 + 2048.0));
    /* log m = 2 artanh f */
    V f = v_div(v_sub(m, v_set(1.0)), v_add(m, v_set(1.0)));
    V z = v_mul(f, f);
    V s = v_fma(z, v_set(1.0 / 15), v_set(1.0 / 13));
    s = v_fma(z, s, v_set(1.0 / 11));
    s = v_fma(z, s, v_set(1.0 / 9));
    s = v_fma(z, s, v_set(1.0 / 7));
    s = v_fma(z, s, v_set(1.0 / 5));
    s = v_fma(z, s, v_set(1.0 / 3));
    s = v_fma(z, s, v_set(1.0));
    V radius = v_sqrt(v_fma(v_mul(v_set(-4.0), f), s, v_mul(v_set(-2.0 * 0.6931471805599453), e)));
    /* An angle between -pi/4 and pi/4 out of 22 bits and a half; two more bits choose the quadrant. */
    V x = v_of(u_or(u_and(u_left(word, 28), u_set(0x000FFFFFC0000000u)), one));
    x = v_mul(v_sub(x, v_set(1.5 - 0x1p-23)), v_set(1.5707963267948966));
    V y = v_mul(x, x);
    s = v_fma(y, v_set(1.0 / 6227020800), v_set(-1.0 / 39916800));
    s = v_fma(y, s, v_set(1.0 / 362880));
    s = v_fma(y, s, v_set(-1.0 / 5040));
    s = v_fma(y, s, v_set(1.0 / 120));
    s = v_fma(y, s, v_set(-1.0 / 6));
    V sine = v_mul(radius, v_fma(v_mul(x, y), s, x));
    V c = v_fma(y, v_set(-1.0 / 87178291200), v_set(1.0 / 479001600));
    c = v_fma(y, c, v_set(-1.0 / 3628800));
    c = v_fma(y, c, v_set(1.0 / 40320));
    c = v_fma(y, c, v_set(-1.0 / 720));
    c = v_fma(y, c, v_set(1.0 / 24));
    c = v_fma(y, c, v_set(-0.5));
    V cosine = v_mul(radius, v_fma(y, c, v_set(1.0)));
    U swap = u_and(u_xor(u_of(sine), u_of(cosine)), u_sub(u_set(0), u_and(word, u_set(1))));
    U sign = u_and(u_left(word, 62), u_set(0x8000000000000000u));
    *first = v_of(u_xor(u_xor(u_of(cosine), swap), sign));
    *second = v_of(u_xor(u_xor(u_of(sine), swap), sign));
}

/* The same of FL words in floats: of the same bits the same normals but for some roundings, each of its own size. Of
   u above sqrt(1/2) the logarithm is that of 1 - w, w to all its bits, so small radii are as right as large ones.
   The series stop where their remainder is below 3e-9 of the result. */
INLINE void box_muller_floats(const uint64_t *words, F *first, F *second) {
    I high, low;
    i_halves(words, &high, &low);
    /* u and w = 1 - u out of 40 bits and a half: 24 and 16. u = m 2^e with m between sqrt(1/2) and sqrt(2). */
    F upper = f_number(i_right(high, 8));
    F lower = f_add(f_number(i_or(i_left(i_and(high, i_set(0xFF)), 8), i_right(low, 24))), f_set(0.5f));
    F u = f_fma(lower, f_set(0x1p-40f), f_mul(upper, f_set(0x1p-24f)));
    F w = f_fma(f_sub(f_set(65536.0f), lower), f_set(0x1p-40f), f_mul(f_sub(f_set(16777215.0f), upper), f_set(0x1p-24f)));
    I power = i_signs(i_sub(i_of(u), i_set(0x3F3504F3)), 23), below = i_signs(power, 31);
    F m = f_of(i_sub(i_of(u), i_left(power, 23))), e = f_number(power);
    I more = i_and(below, i_of(f_sub(m, f_set(1.0f)))), less = i_and(i_xor(below, i_set(-1)), i_of(f_sub(f_set(0.0f), w)));
    /* log m = 2 artanh f */
    F f = f_div(f_of(i_or(more, less)), f_add(m, f_set(1.0f)));
    F z = f_mul(f, f);
    F s = f_fma(z, f_set(1.0f / 9), f_set(1.0f / 7));
    s = f_fma(z, s, f_set(1.0f / 5));
    s = f_fma(z, s, f_set(1.0f / 3));
    s = f_fma(z, s, f_set(1.0f));
    F radius = f_sqrt(f_fma(f_mul(f_set(-4.0f), f), s, f_mul(f_set(-2.0f * 0.69314718056f), e)));
    /* An angle between -pi/4 and pi/4 out of 22 bits and a half; two more bits choose the quadrant. */
    F x = f_number(i_and(i_right(low, 2), i_set(0x3FFFFF)));
    x = f_mul(f_sub(x, f_set(0x1p21f - 0.5f)), f_set(1.5707963267948966f * 0x1p-22f));
    F y = f_mul(x, x);
    s = f_fma(y, f_set(1.0f / 362880), f_set(-1.0f / 5040));
    s = f_fma(y, s, f_set(1.0f / 120));
    s = f_fma(y, s, f_set(-1.0f / 6));
    F sine = f_mul(radius, f_fma(f_mul(x, y), s, x));
    F c = f_fma(y, f_set(-1.0f / 3628800), f_set(1.0f / 40320));
    c = f_fma(y, c, f_set(-1.0f / 720));
    c = f_fma(y, c, f_set(1.0f / 24));
    c = f_fma(y, c, f_set(-0.5f));
    F cosine = f_mul(radius, f_fma(y, c, f_set(1.0f)));
    I swap = i_and(i_xor(i_of(sine), i_of(cosine)), i_sub(i_set(0), i_and(low, i_set(1))));
    I sign = i_and(i_left(low, 30), i_set(INT32_MIN));
    *first = f_of(i_xor(i_xor(i_of(cosine), swap), sign));
    *second = f_of(i_xor(i_xor(i_of(sine), swap), sign));
}

/* The bits of components 4 block to 4 block + 3 of VL steps of as many trajectories: two words each. */
INLINE void four_words(uint64_t block, U step, U trajectory, const Rounds *rounds, uint64_t *first, uint64_t *second) {
    U one, two;
    philox(u_set(block), trajectory, step, u_right(step, 32), rounds, &one, &two);
    u_store(first, one);
    u_store(second, two);
}

/* Components 4 block to 4 block + 3 of VL steps of as many trajectories. */
INLINE void four_normals(uint64_t block, U step, U trajectory, const Rounds *rounds, V out[BLOCK]) {
    U first, second;
    philox(u_set(block), trajectory, step, u_right(step, 32), rounds, &first, &second);
    box_muller(first, &out[0], &out[1]);
    box_muller(second, &out[2], &out[3]);
}

#endif
