#pragma once

#include <strata/cpu/dispatch.hpp>

#if STRATA_HEADER_ONLY
#include <strata/cpu/kernels.hpp>
#endif

namespace strata::inline STRATA_ABI::cpu {

#if STRATA_HEADER_ONLY
STRATA_INLINE const KernelTable& kernels() {
  return STRATA_CPU_ISA::table;
}
#else
const KernelTable& kernels() {
#if defined(__x86_64__)
  static const KernelTable& best = []() -> const KernelTable& {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
      return avx512::table;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::table;
    return baseline::table;
  }();
  return best;
#else
  return baseline::table;
#endif
}
#endif

}  // namespace strata::inline STRATA_ABI::cpu
