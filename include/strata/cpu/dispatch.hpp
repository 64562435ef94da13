#pragma once

#include <span>
#include <string_view>

#include <strata/cpu/kernel_table.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// The kernels that this processor runs, best first. Header-only use has those of the compiler's flags, the
/// compiled library all.
std::span<const KernelTable* const> available_kernels();

/// The best kernels, or those called `name` ("avx512", "avx2", "baseline"). Throws DeviceError where they are
/// not available.
const KernelTable& kernels(std::string_view name = "");

/// The best of the table's products in bfloat16 that this processor and its operating system run, or null.
const ProductKernels* bfloat16_product(const KernelTable& kernels);

#if defined(STRATA_COMPILED)
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

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/dispatch.ipp>
#endif
