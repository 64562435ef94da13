#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <strata/data/augmentation.hpp>
#include <strata/tensor/pixels.hpp>
#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What becomes of each picture once it is warped and scaled: less the mean of all its values and, with
/// `divide`, divided by their deviation + 1e-6.
struct SampleStandardization {
  bool center = false, divide = false;

  explicit operator bool() const { return center || divide; }
  friend bool operator==(const SampleStandardization&, const SampleStandardization&) = default;
};

/// What one training step sees. Exactly one of `pixels` and `x` is set, or neither where only targets were
/// asked for; `y` and `sample_weight` may be empty.
struct Batch {
  Tensor<std::uint8_t> pixels;  ///< [n,height,width,channels], to be scaled by `scaling`
  PixelScaling scaling;
  std::vector<PixelWarp> warps;           ///< of pixels, or of x [n,height,width,channels]: n, or none
  PixelSampling sampling;                 ///< how warped pictures are read
  SampleStandardization standardization;  ///< of pixels
  Tensor<float> x;                        ///< [n,...]
  Tensor<float> y;              ///< [n,...]: [n,1] for binary labels, [n,classes] one-hot, [n] class numbers
  Tensor<float> sample_weight;  ///< [n]
  std::vector<Tensor<float>> other_x, other_y;  ///< for the inputs and outputs of a model after its first

  std::int64_t size() const {
    if (!pixels.empty()) return pixels.shape()[0];
    if (!x.empty()) return x.shape()[0];
    return y.empty() ? 0 : y.shape()[0];
  }
  /// Moves y, other_y and sample_weight here from another batch.
  void take_targets(Batch& from);
};

/// Samples and batches as a pure function of their number in an endless row of passes, their draw, so that
/// any number of loaders gives the same bits.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  /// Samples per pass.
  virtual std::int64_t samples() const = 0;
  /// Of the largest batch.
  virtual std::int64_t batch_size() const = 0;
  /// Of x without the batch axis.
  virtual Shape element_shape() const = 0;
  /// Sample number draw % samples() of pass draw / samples(), for each of the draws (0 or more), as one
  /// batch. Safe to call from several threads at once. Throws DataError where a file can no longer be read.
  virtual Batch gather(std::span<const std::int64_t> draws) const = 0;
  /// The same without inputs: y, other_y and sample_weight, at the least cost. Here they are taken from
  /// `gather`, for sources whose inputs and targets come together.
  virtual Batch targets(std::span<const std::int64_t> draws) const;
  /// What the draws stand for: those of one number are the same x in every pass and company. Empty where that
  /// is not so (pictures augmented anew), or not known. Safe on several threads too.
  virtual std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const {
    return (void)draws, std::vector<std::int64_t>();
  }
  /// Batches per pass; the last one may be smaller.
  virtual std::int64_t batches() const { return (samples() + batch_size() - 1) / batch_size(); }
  /// Where a batch of a pass begins, from 0 to batches(), which begins behind the last sample.
  virtual std::int64_t first_sample(std::int64_t batch) const;
  /// Batch number draw % batches() of pass draw / batches().
  Batch batch(std::int64_t draw) const { return gather(draws_of(draw)); }
  /// The draws of its samples. Throws DataError below 0.
  std::vector<std::int64_t> draws_of(std::int64_t batch) const;
  /// Class names in label order; empty where there are none.
  virtual std::vector<std::string> class_names() const { return {}; }
};

/// A shared handle to a source of batches: copying it copies no data.
///
/// Its stages are tf.data's and count this dataset's elements, which are batches. Each gives a new dataset
/// whose batches are a pure function of their draw too. Loading ahead is no stage: whoever reads does it
/// (FitOptions, PrefetchQueue, a range-for of prefetch.hpp).
class Dataset {
 public:
  Dataset() = default;
  Dataset(std::shared_ptr<const BatchSource> source) : source_(std::move(source)) {}
  explicit operator bool() const { return source_ != nullptr; }

  const BatchSource& source() const {
    require<DataError>(source_ != nullptr, "[dataset] this dataset was never given a source");
    return *source_;
  }
  std::int64_t samples() const { return source().samples(); }
  std::int64_t batch_size() const { return source().batch_size(); }
  std::int64_t batches() const { return source().batches(); }
  Shape element_shape() const { return source().element_shape(); }
  Batch batch(std::int64_t draw) const { return source().batch(draw); }
  std::vector<std::string> class_names() const { return source().class_names(); }

  /// Batches as the function changes them: from n samples to n, each to one of the same shape. It has to be
  /// pure and safe on several threads, and is asked for the first sample at once. What it throws arrives as a
  /// DataError that names the stage, with the exception nested in it. Pixels come as bytes, not yet scaled.
  /// Where a later stage groups samples anew, the function gets the new groups, which matters to one that
  /// mixes samples; a cache keeps what it made of this stage's own.
  Dataset map(std::function<Batch(Batch)> function) const;
  /// All samples of a pass in a random order, anew for every pass or always that of the first: for a split by
  /// take and skip, which would otherwise exchange samples from pass to pass. Unlike tf.data's, which moves
  /// whole batches within a buffer, it moves samples across batches: unbatch().shuffle(samples()).batch(...).
  Dataset shuffle(std::uint64_t seed = 0, bool reshuffle_each_iteration = true) const;
  /// The same samples in batches of n: tf.data's unbatch().batch(n). Throws ConfigError for n below 1.
  Dataset rebatch(std::int64_t n) const;
  /// The first n batches of every pass, or all where there are fewer. Throws ConfigError for n below 1.
  Dataset take(std::int64_t n) const;
  /// All but the first n batches. Throws ConfigError for n below 0 and DataError where nothing is left.
  Dataset skip(std::int64_t n) const;
  /// n passes as one, each as shuffled and augmented as it was. Throws ConfigError for n below 1.
  Dataset repeat(std::int64_t n) const;
  /// The first pass is kept in memory and is every pass, so that what was random before this stage no longer
  /// changes. Throws DataError with its first batch where a pass would take more than `max_bytes`.
  Dataset cache(std::size_t max_bytes = std::size_t{4} << 30) const;
  /// This dataset from pass `number` on: `for (const Batch& batch : data.pass(epoch))`. Throws ConfigError
  /// below 0.
  Dataset pass(std::int64_t number) const;

 private:
  /// Throws DataError where there is none.
  const std::shared_ptr<const BatchSource>& shared() const {
    source();
    return source_;
  }

  std::shared_ptr<const BatchSource> source_;
};

/// The order in which samples are drawn: pass p takes RandomStream(seed, Purpose::shuffle, 0, p).permutation,
/// or 0, 1, 2, ... without shuffling. Remembers the last two passes; thread-safe.
class DrawOrder {
 public:
  /// Throws ConfigError for a batch size below 1 or above 2^31, DataError for no samples.
  DrawOrder(std::int64_t samples, std::int64_t batch_size, bool shuffle, std::uint64_t seed);

  std::int64_t samples() const { return samples_; }
  std::int64_t batch_size() const { return batch_size_; }
  std::uint64_t seed() const { return seed_; }
  /// What each draw (0 or more), a place in the endless row of passes, stands for.
  std::vector<DrawnSample> samples(std::span<const std::int64_t> draws) const;
  /// The same without the pass.
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const;

 private:
  using Order = std::shared_ptr<const std::vector<std::int64_t>>;
  Order pass(std::int64_t number) const;

  std::int64_t samples_, batch_size_;
  bool shuffle_;
  std::uint64_t seed_;
  mutable std::mutex mutex_;
  mutable std::pair<std::int64_t, Order> recent_[2]{{-1, nullptr}, {-1, nullptr}};
};

struct TensorDatasetOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;
  std::uint64_t seed = 0;
  Tensor<float> sample_weight = {};            ///< [n], or empty
  PixelScaling scaling = {};                   ///< for uint8 pixels only
  SampleStandardization standardization = {};  ///< for uint8 pixels only
  Augmentation augmentation = {};              ///< of pictures [n,height,width,channels], anew for every pass
};

/// Host tensors as a dataset: x [n,...], y [n,...] or empty. Throws ShapeError where the counts differ.
Dataset dataset_from_tensors(Tensor<float> x, Tensor<float> y = {}, TensorDatasetOptions options = {});
/// The same for a model of several inputs or outputs: a tensor [n,...] for each of them, in order.
Dataset dataset_from_tensors(std::vector<Tensor<float>> x, std::vector<Tensor<float>> y = {},
                             TensorDatasetOptions options = {});
/// The same for pixels [n,height,width,channels], which stay bytes until they reach the model's device.
Dataset dataset_from_tensors(Tensor<std::uint8_t> pixels, Tensor<float> y = {},
                             TensorDatasetOptions options = {});

/// Arrays on disk as a dataset: x [n,...] is read row by row as batches need it, y [n,...] at once (an empty
/// path: no labels). `scaling` and `augmentation` have no effect. Throws DataError naming the file.
Dataset dataset_from_npy(const std::string& x_path, const std::string& y_path = {},
                         TensorDatasetOptions options = {});

/// Samples that a function makes, each as a batch of one: x or pixels [1,...], and y [1,...] or none. As for
/// map, it has to be pure and safe on several threads, is asked for the first sample at once, and what it
/// throws arrives as a DataError that names the sample. Throws ShapeError where samples differ in shape.
Dataset dataset_from_function(std::int64_t samples, std::int64_t batch_size,
                              std::function<Batch(std::int64_t sample, std::int64_t pass)> function);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/dataset.ipp>
#include <strata/data/stages.ipp>
#endif
