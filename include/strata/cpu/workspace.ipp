#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <strata/core/error.hpp>
#include <strata/cpu/workspace.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_INLINE void Buffer::Free::operator()(float* memory) const {
  std::free(memory);
}

STRATA_INLINE Buffer::Buffer(std::int64_t count) : size_(count) {
  constexpr std::size_t cache_line = 64, huge_page = std::size_t{2} << 20;
  const std::size_t needed = static_cast<std::size_t>(count) * sizeof(float);
  const std::size_t alignment = needed >= huge_page ? huge_page : cache_line;
  const std::size_t bytes = std::max((needed + alignment - 1) / alignment, std::size_t{1}) * alignment;
  data_.reset(static_cast<float*>(std::aligned_alloc(alignment, bytes)));
  require<OutOfMemoryError>(data_ != nullptr, "[cpu] no ", bytes, " bytes of memory left");
#if defined(MADV_HUGEPAGE)
  if (alignment == huge_page) madvise(data_.get(), bytes, MADV_HUGEPAGE);
#endif
}

STRATA_INLINE Workspace::Lease Workspace::lease(std::int64_t count) {
  {
    const std::lock_guard lock(mutex_);
    // The smallest that is large enough; what is too small makes room for a larger one.
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->size() >= count && (best == free_.end() || it->size() < best->size())) best = it;
    if (best != free_.end()) {
      Buffer found = std::move(*best);
      free_.erase(best);
      return {*this, std::move(found)};
    }
    if (!free_.empty()) free_.pop_back();
  }
  return {*this, Buffer(count)};
}

STRATA_INLINE void Workspace::give_back(Buffer buffer) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    free_.push_back(std::move(buffer));
  } catch (...) {  // no room to remember it: it is freed
  }
}

STRATA_INLINE std::size_t Workspace::bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t total = 0;
  for (const Buffer& buffer : free_) total += static_cast<std::size_t>(buffer.size()) * sizeof(float);
  return total;
}

}}}  // namespace strata::STRATA_ABI::cpu
