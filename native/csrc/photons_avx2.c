/* The random numbers of the photon generator, with AVX2. */
#if defined(__x86_64__)
#include "photons_impl.h"

QKD_PHOTON_DRAWS(qkd_photon_draws_avx2);
#endif
