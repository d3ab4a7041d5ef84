/* How a kernel is shown to Python: with the text of its declaration, which spu/base/kernels/door.py compares with its own. */
#ifndef SPU_KERNELS_H
#define SPU_KERNELS_H

#include "noise.h"
#include "simd.h"

#define SHOWN __attribute__((visibility("default")))

/* A function that Python calls; after the arguments come the sizes of arrays, as door.py says. */
#define KERNEL(result, name, arguments) KERNEL_AS(result, name, arguments)
#define KERNEL_AS(result, name, arguments)                                                                             \
    SHOWN extern const char name##_declared[];                                                                         \
    const char name##_declared[] = #result " " #arguments;                                                             \
    SHOWN result name arguments;                                                                                       \
    result name arguments

/* A structure that Python fills. */
#define STRUCT(name, ...) STRUCT_AS(name, __VA_ARGS__)
#define STRUCT_AS(name, ...)                                                                                           \
    typedef struct {                                                                                                   \
        __VA_ARGS__                                                                                                    \
    } name;                                                                                                            \
    SHOWN extern const char name##_declared[];                                                                         \
    const char name##_declared[] = #__VA_ARGS__;

#endif
