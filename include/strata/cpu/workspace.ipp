#pragma once

#include <utility>

#include <strata/core/error.hpp>
#include <strata/cpu/workspace.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_INLINE Buffer::Buffer(std::int64_t count) : size_(count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
  data_.reset(static_cast<float*>(allocate_host(bytes)));
  require<OutOfMemoryError>(data_ != nullptr, "[cpu] no ", bytes, " bytes of memory left");
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
