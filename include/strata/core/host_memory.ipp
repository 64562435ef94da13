#pragma once

#include <sys/mman.h>

#include <new>

#include <strata/core/host_memory.hpp>

namespace strata { inline namespace STRATA_ABI {

inline constexpr std::size_t huge_page = std::size_t{2} << 20;

/// A cache line is the widest vector too.
inline std::align_val_t host_alignment(std::size_t bytes) {
  return std::align_val_t{bytes >= huge_page ? huge_page : 64};
}

STRATA_INLINE void* allocate_host(std::size_t bytes) noexcept {
  void* const memory = ::operator new(bytes, host_alignment(bytes), std::nothrow);
#if defined(MADV_HUGEPAGE)
  if (memory && bytes >= huge_page) (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

STRATA_INLINE void free_host(void* memory, std::size_t bytes) noexcept {
  ::operator delete(memory, host_alignment(bytes));
}

}}  // namespace strata::STRATA_ABI
