// The CPU kernels for the instruction set every processor has; the build gives this file the flags.
#include <strata/cpu/kernels.hpp>
