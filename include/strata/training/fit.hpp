#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <strata/data/dataset.hpp>
#include <strata/training/batch_loader.hpp>
#include <strata/training/callbacks.hpp>
#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What `fit` validates with: a dataset or, as Keras's tuple, tensors in batches of `fit`'s batch_size:
/// `{x, y}`, `{x, y, sample_weight}`, lists of tensors [n,...] for models of several inputs or outputs.
template <class T>
class BasicValidationData : public Dataset {
 public:
  BasicValidationData() = default;
  BasicValidationData(Dataset data) : Dataset(std::move(data)) {}
  /// Throws ShapeError where the counts differ.
  BasicValidationData(const Tensor<T>& x, const Tensor<T>& y, Tensor<float> sample_weight = {});
  BasicValidationData(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y,
                      Tensor<float> sample_weight = {});

  bool of_tensors() const { return of_tensors_; }

 private:
  bool of_tensors_ = false;
};
using ValidationData = BasicValidationData<float>;

template <class T>
struct BasicFitOptions {
  std::int64_t batch_size = 32;  ///< for tensors; a dataset has its own
  int epochs = 1;
  std::int64_t steps_per_epoch = 0;  ///< 0: one pass over the data
  int initial_epoch = 0;
  BasicValidationData<T> validation_data = {};  ///< a dataset, or tensors: `{x, y}`
  std::int64_t validation_steps = 0;            ///< 0: one pass
  double validation_split = 0;       ///< for tensors: the last count - floor(count * (1 - split)) validate
  bool shuffle = true;               ///< for tensors
  std::uint64_t seed = 0;            ///< of the shuffling
  Tensor<float> sample_weight = {};  ///< for tensors: [n], of several outputs for each of them
  /// By class number, for the training loss and weighted metrics; a class that is not named weighs 1. A
  /// sample's class is its target, rounded, or the place of the largest of several. Not beside sample
  /// weights, nor of models of several outputs.
  std::map<std::int64_t, double> class_weight = {};
  std::vector<BasicCallback<T>> callbacks = {};
  int verbose = 1;   ///< 0: silent; 1: a progress bar on a terminal; 2: a line per epoch
  int prefetch = 4;  ///< batches that are loaded ahead
  int workers = 1;   ///< threads that load them; 0: loaded when asked for
  /// What frozen layers in front make of samples that are the same in every epoch is computed once and kept.
  /// Unset: where that is sure to give the same bits and fits into `cache_bytes` of memory. True: what does
  /// not fit goes to a file in TMPDIR (/var/tmp) that no name leads to; throws ConfigError where nothing can
  /// be kept.
  std::optional<bool> cache_frozen = {};
  std::size_t cache_bytes = std::size_t{512} << 20;
};
using FitOptions = BasicFitOptions<float>;

template <class T>
struct BasicEvaluateOptions {
  std::int64_t batch_size = 32;  ///< for tensors
  std::int64_t steps = 0;        ///< 0: one pass
  int verbose = 1;
  int prefetch = 4;
  int workers = 1;
};
using EvaluateOptions = BasicEvaluateOptions<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/fit.ipp>
#endif
