#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <strata/data/dataset.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Loads batches ahead of their use on threads of its own and hands them out in order: the same batches for
/// any number of threads.
class PrefetchQueue {
 public:
  /// Draws [first_draw, first_draw + count), at most `depth` of them ahead. With no threads each batch is
  /// loaded when it is asked for, else the threads move them into `memory`, unless it is null. Of draws for
  /// which `targets_only` is true, asked in their order, a batch has no inputs. Throws ConfigError for
  /// negative numbers or a depth below 1.
  PrefetchQueue(Dataset dataset, std::int64_t first_draw, std::int64_t count, int depth = 4, int threads = 1,
                std::shared_ptr<HostMemory> memory = nullptr,
                std::function<bool(std::int64_t draw)> targets_only = nullptr);
  /// Waits only for the batches being loaded right now.
  ~PrefetchQueue();
  PrefetchQueue(PrefetchQueue&&) noexcept;
  PrefetchQueue& operator=(PrefetchQueue&&) noexcept;

  /// The next batch, or nothing after the last. Throws what loading that batch threw; the following call goes
  /// on with the batch after it. For one caller at a time.
  std::optional<Batch> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Goes once through the batches of a queue.
class BatchIterator {
 public:
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  explicit BatchIterator(PrefetchQueue queue) : queue_(std::move(queue)), batch_(queue_.next()) {}
  const Batch& operator*() const { return *batch_; }
  const Batch* operator->() const { return &*batch_; }
  BatchIterator& operator++() {
    batch_ = queue_.next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const BatchIterator& i, std::default_sentinel_t) { return !i.batch_; }

 private:
  PrefetchQueue queue_;
  std::optional<Batch> batch_;
};

/// `for (const Batch& batch : dataset)`: the first pass, loaded ahead; later ones are those of `pass`.
inline BatchIterator begin(const Dataset& dataset) {
  return BatchIterator(PrefetchQueue(dataset, 0, dataset.batches()));
}
inline std::default_sentinel_t end(const Dataset&) {
  return {};
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/prefetch.ipp>
#endif
