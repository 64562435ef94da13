// The CPU kernels for AVX-512; the build gives this file the flags.
#include <strata/cpu/kernels.hpp>
