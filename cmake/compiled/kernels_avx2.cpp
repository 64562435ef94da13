// The CPU kernels for AVX2 and FMA; the build gives this file the flags.
#include <strata/cpu/kernels.hpp>
