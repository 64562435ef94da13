#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_set>
#include <utility>
#include <vector>

#include <strata/data/dataset.hpp>
#include <strata/io/row_store.hpp>
#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
class BatchLoader;

namespace detail {

/// What the frozen nodes in front of a model make of the samples of one dataset, for `fit`: computed when a
/// sample comes by for the first time, kept while no weight of theirs changes, and given to the rest of the
/// model from then on. Kept are results of batches of the full size, since a device may compute another size
/// another way: so the bits are those of a run that computes all.
template <class T>
class FrozenPrefix {
 public:
  /// `worthwhile`: samples come by again. `taken` is what others have of the budget already. Throws
  /// ConfigError where options.cache_frozen is true and nothing of training data can be kept.
  FrozenPrefix(const BasicModel<T>& model, std::shared_ptr<Session<T>> session, const Dataset& data,
               bool training, bool worthwhile, const BasicFitOptions<T>& options, std::size_t taken = 0);

  /// For a PrefetchQueue of the dataset, which must not outlive this: whether a batch will need no x when its
  /// turn comes. Where the prefix changes meanwhile, `load` reads what is then missing.
  std::function<bool(std::int64_t draw)> targets_suffice();
  /// Batch number `draw` of the dataset on the device, with that result instead of x where it can be.
  const DeviceBatch<T>& load(std::int64_t draw, Batch batch, BatchLoader<T>& loader);
  /// What all of it takes in memory.
  std::size_t bytes() const;

 private:
  using Weight = std::pair<const void*, std::uint64_t>;  // and its version

  void look();
  void forget();
  std::int64_t full_batch() const { return std::min(data_.batch_size(), data_.samples()); }
  bool fetch(std::span<const std::int64_t> numbers, Tensor<T>& result) const;
  Tensor<T> compute(TensorView<const T> x);
  void keep(std::span<const std::int64_t> numbers, const Tensor<T>& result);

  const BasicModel<T>& model_;
  std::shared_ptr<Session<T>> session_;
  const Dataset data_;
  const bool training_, on_disk_;
  const int verbose_;
  std::size_t memory_;
  bool off_ = false;

  std::vector<int> path_;  // to the last node of the prefix; empty: there is none
  std::vector<Weight> weights_;
  std::optional<RowStore> rows_;
  // The last batch of another size than the full one: where nothing is shuffled, it comes again.
  std::vector<std::int64_t> other_numbers_;
  Tensor<T> other_;

  // What loaders have read since the prefix changed: it is kept by the time that a later batch is due.
  std::mutex mutex_;
  bool keeps_ = false;
  std::unordered_set<std::int64_t> read_;
  std::vector<std::int64_t> other_read_;
};

}  // namespace detail

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/frozen_prefix.ipp>
#endif
