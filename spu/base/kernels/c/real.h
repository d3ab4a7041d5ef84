/* Defines a number format for the sources that are made for both: include with SINGLE set or not, then the source.

   T is the number, W a vector of WL of them, ROW what a panel has in a row, N(name) the name in this format. */
#undef T
#undef W
#undef WL
#undef ROW
#undef N
#undef w_load
#undef w_store
#undef w_set
#undef w_add
#undef w_sub
#undef w_mul
#undef w_fma
#undef w_abs
#undef w_max
#undef w_normals
#ifdef SINGLE
#define T float
#define W F
#define WL FL
#define ROW PANEL_FLOATS
#define N(name) name##_single
#define w_load f_load
#define w_store f_store
#define w_set f_set
#define w_add f_add
#define w_sub f_sub
#define w_mul f_mul
#define w_fma f_fma
#define w_abs f_abs
#define w_max f_max
#define w_normals box_muller_floats
#else
#define T double
#define W V
#define WL VL
#define ROW PANEL
#define N(name) name##_double
#define w_load v_load
#define w_store v_store
#define w_set v_set
#define w_add v_add
#define w_sub v_sub
#define w_mul v_mul
#define w_fma v_fma
#define w_abs v_abs
#define w_max v_max
#define w_normals(words, first, second) box_muller(u_load(words), first, second)
#endif
