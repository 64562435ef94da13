#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <strata/core/function_ref.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What a backend derived from one weight (packed panels, transformed kernels), kept until the weight
/// changes. Made once for a frozen layer, after every update for a trained one. Safe to use from several
/// threads.
class PackedWeights {
 public:
  /// The entry of `key` (a backend's own number for a way of packing) if it belongs to `version` of the
  /// weight, else `make(before)`'s result, which replaces it. `before` is the entry of an earlier version, or
  /// null: where nobody else holds it, its memory may be used again.
  std::shared_ptr<const void> get(
      std::uint64_t key, std::uint64_t version,
      FunctionRef<std::shared_ptr<const void>(std::shared_ptr<const void> before)> make) {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : entries_) {
      if (entry.key != key) continue;
      if (entry.version != version || !entry.packed) {
        entry.packed = make(std::exchange(entry.packed, nullptr));
        entry.version = version;
      }
      return entry.packed;
    }
    entries_.push_back({key, version, make(nullptr)});
    return entries_.back().packed;
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    entries_.clear();
  }

 private:
  struct Entry {
    std::uint64_t key, version;
    std::shared_ptr<const void> packed;
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

/// A weight as an operation sees it. Without `packed` the backend packs for this call only.
template <class T>
struct WeightView {
  const T* data = nullptr;
  std::uint64_t version = 0;  ///< changes whenever the values do
  PackedWeights* packed = nullptr;
  bool changes = false;  ///< before the next call does: what is packed need not be kept
};

}}  // namespace strata::STRATA_ABI
