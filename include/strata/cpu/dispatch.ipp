#pragma once

#include <strata/core/error.hpp>
#include <strata/cpu/dispatch.hpp>

#if !defined(STRATA_COMPILED)
#include <strata/cpu/kernels.hpp>
#endif

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_INLINE std::span<const KernelTable* const> available_kernels() {
#if !defined(STRATA_COMPILED)
  static constexpr const KernelTable* tables[] = {&STRATA_CPU_ISA::table};
  return tables;
#elif defined(__x86_64__)
  static constexpr const KernelTable* tables[] = {&avx512::table, &avx2::table, &baseline::table};
  static const std::size_t unsupported = [] {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
      return 0u;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1u : 2u;
  }();
  return std::span(tables).subspan(unsupported);
#else
  static constexpr const KernelTable* tables[] = {&baseline::table};
  return tables;
#endif
}

STRATA_INLINE const KernelTable& kernels(std::string_view name) {
  std::string names;
  for (const KernelTable* table : available_kernels()) {
    if (name.empty() || name == table->name) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  throw DeviceError(
      concat("[cpu] expected one of the instruction sets available here (", names, "), found '", name, "'"));
}

}}}  // namespace strata::STRATA_ABI::cpu
