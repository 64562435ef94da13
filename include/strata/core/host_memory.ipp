#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include <strata/core/host_memory.hpp>

namespace strata { inline namespace STRATA_ABI {

inline constexpr std::align_val_t host_alignment{64};  // a cache line, and the widest vector

STRATA_INLINE void* allocate_host(std::size_t bytes) noexcept {
  void* const memory = ::operator new(bytes, host_alignment, std::nothrow);
#if defined(MADV_HUGEPAGE)
  // What is aligned to a huge page itself the C library would map anew, and the system clear, each time.
  constexpr std::uintptr_t huge_page = std::uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<std::uintptr_t>(memory), end = begin + bytes;
  const std::uintptr_t first = (begin + huge_page - 1) / huge_page * huge_page;
  if (memory && first + huge_page <= end)
    (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
  return memory;
}

STRATA_INLINE void free_host(void* memory) noexcept {
  ::operator delete(memory, host_alignment);
}

}}  // namespace strata::STRATA_ABI
