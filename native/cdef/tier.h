/* Which instruction sets this machine has: declarations read by C and by cffi. */

/* The best tier that this machine can run: 0 portable, 1 AVX2 with PCLMULQDQ, 2 AVX-512 with
 * VBMI, GFNI and VPCLMULQDQ. Kernels that come in several versions take a tier as an argument. */
int qkd_tier_best(void);
