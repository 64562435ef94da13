#pragma once

#include <strata/cpu/kernel_table.hpp>

namespace strata::inline STRATA_ABI::cpu {

/// The kernels for this machine: those of the compiler's flags or, in the compiled library, the best that the
/// processor runs.
const KernelTable& kernels();

#if !STRATA_HEADER_ONLY
namespace baseline {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

}  // namespace strata::inline STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/dispatch.ipp>
#endif
