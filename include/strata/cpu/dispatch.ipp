#pragma once

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

namespace detail {
struct Bfloat16Support {
  bool vectors = false, tiles = false;
};
STRATA_COLD inline Bfloat16Support bfloat16_support() {
  Bfloat16Support out;
#if defined(__x86_64__) && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) out.vectors = a >> 5 & 1;  // AVX512-BF16
  constexpr unsigned amx = 1u << 22 | 1u << 24;                           // AMX-BF16, AMX-TILE
  constexpr long request_permission = 0x1023, tile_data = 18;             // Linux asks to be asked for tiles
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amx) == amx)
    out.tiles = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#endif
  return out;
}
}  // namespace detail

STRATA_INLINE const ProductKernels* bfloat16_product(const KernelTable& kernels) {
  static const detail::Bfloat16Support has = detail::bfloat16_support();
  // Both round numbers by AVX512-BF16.
  if (!has.vectors || kernels.bfloat16_vectors.max_rows == 0) return nullptr;
  return has.tiles ? &kernels.bfloat16_tiles : &kernels.bfloat16_vectors;
}

}}}  // namespace strata::STRATA_ABI::cpu
