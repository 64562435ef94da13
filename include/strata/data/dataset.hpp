#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <strata/data/augmentation.hpp>
#include <strata/tensor/pixels.hpp>
#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What one training step sees. Exactly one of `pixels` and `x` is set; `y` and `sample_weight` may be empty.
struct Batch {
  Tensor<std::uint8_t> pixels;  ///< [n,height,width,channels], to be scaled by `scaling`
  PixelScaling scaling;
  std::vector<PixelWarp> warps;  ///< of pixels, or of x [n,height,width,channels]: n, or none
  PixelSampling sampling;        ///< how warped pictures are read
  Tensor<float> x;               ///< [n,...]
  Tensor<float> y;               ///< [n,...]: [n,1] for binary labels, [n,classes] one-hot, [n] class numbers
  Tensor<float> sample_weight;   ///< [n]

  std::int64_t size() const {
    if (!pixels.empty()) return pixels.shape()[0];
    return x.empty() ? 0 : x.shape()[0];
  }
};

/// Batches as a pure function of the global draw index, so that any number of loaders gives the same bits.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  /// Samples per pass.
  virtual std::int64_t samples() const = 0;
  virtual std::int64_t batch_size() const = 0;
  /// Batches per pass; the last one may be smaller.
  std::int64_t batches() const { return (samples() + batch_size() - 1) / batch_size(); }
  /// Of x without the batch axis.
  virtual Shape element_shape() const = 0;
  /// Batch number draw % batches() of pass draw / batches(). Safe to call from several threads at once.
  /// Throws DataError where a file can no longer be read.
  virtual Batch batch(std::int64_t draw) const = 0;
  /// Class names in label order; empty where there are none.
  virtual std::vector<std::string> class_names() const { return {}; }
};

/// A shared handle to a source of batches: copying it copies no data.
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

 private:
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
  /// Sample numbers of the batch with the given global draw index (0 or more).
  std::vector<std::int64_t> batch(std::int64_t draw) const;

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
  Tensor<float> sample_weight = {};  ///< [n], or empty
  PixelScaling scaling = {};         ///< for uint8 pixels only
  Augmentation augmentation = {};    ///< of pictures [n,height,width,channels], anew for every pass
};

/// Host tensors as a dataset: x [n,...], y [n,...] or empty. Throws ShapeError where the counts differ.
Dataset dataset_from_tensors(Tensor<float> x, Tensor<float> y = {}, TensorDatasetOptions options = {});
/// The same for pixels [n,height,width,channels], which stay bytes until they reach the model's device.
Dataset dataset_from_tensors(Tensor<std::uint8_t> pixels, Tensor<float> y = {},
                             TensorDatasetOptions options = {});

/// Arrays on disk as a dataset: x [n,...] is read row by row as batches need it, y [n,...] at once (an empty
/// path: no labels). `scaling` and `augmentation` have no effect. Throws DataError naming the file.
Dataset dataset_from_npy(const std::string& x_path, const std::string& y_path = {},
                         TensorDatasetOptions options = {});

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/dataset.ipp>
#endif
