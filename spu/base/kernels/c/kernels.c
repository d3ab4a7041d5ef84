/* All kernels, in one translation unit: what is small is inlined where it is used. */
#include "kernels.h"

SHOWN extern const char processor_class[], built_from[];
const char processor_class[] = CLASS;
const char built_from[] = SOURCES; /* a digest, so that a library older than its sources is noticed */

/* What this processor is, whatever the library was built for: 1 AVX2 and FMA, 2 AVX-512 too. */
SHOWN int processor_features(void);
int processor_features(void) {
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    return avx2 + 2 * avx512;
#else
    return 0;
#endif
}

#include "counting.c"
#include "draws.c"

#include "real.h"

#include "products.inc"
#include "dense.inc"
#include "langevin.inc"
#include "adjoint.inc"
#include "modal.c"

#define SINGLE
#include "real.h"

#include "products.inc"
#include "dense.inc"
#include "langevin.inc"
#include "adjoint.inc"
#undef SINGLE

#include "noise.c"
#include "response.c"
#include "sparse.c"
#include "supernodes.c"
