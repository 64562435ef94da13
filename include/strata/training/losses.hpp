#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <strata/io/json.hpp>
#include <strata/model/graph.hpp>
#include <strata/tensor/backend.hpp>
#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What a loss is computed from and where it goes; all pointers are host memory or, for a loss that computes
/// `on_device`, memory of the backend's device.
template <class T>
struct BasicLossArguments {
  Backend<T>& backend;
  TensorView<const T> prediction;  ///< [n,...,classes]
  TensorView<const T> target;  ///< of the same shape, but see `accepts`; class numbers have no classes axis
  const T* sample_weight = nullptr;  ///< per row, or null
  bool logits = false;               ///< the prediction lacks its final activation (see `takes_logits_of`)
  double gradient_scale = 1;
  T* losses = nullptr;    ///< out: weighted loss of each of the rows, prediction.size() / classes of them
  T* gradient = nullptr;  ///< out, or null: gradient_scale * d(sum of losses) / d(prediction)
};
using LossArguments = BasicLossArguments<float>;

/// Derive from this to write a loss; use it through a `Loss` handle (`std::make_shared<Mine>()` converts).
template <class T>
class BasicLossImpl {
 public:
  virtual ~BasicLossImpl() = default;
  virtual std::string name() const = 0;
  virtual void compute(const BasicLossArguments<T>& arguments) const = 0;
  /// It computes with the backend alone. Otherwise, where the host does not see the device's memory, what it
  /// needs is downloaded for it and what it gives is uploaded.
  virtual bool on_device() const { return false; }
  /// True where the loss can do without that final activation and be exact for extreme logits.
  virtual bool takes_logits_of(const Activation& activation) const { return (void)activation, false; }
  /// Whether a target of that shape belongs to a prediction of this one (batch axes included). As in Keras,
  /// [n] belongs to [n,1].
  virtual bool accepts(const Shape& prediction, const Shape& target) const {
    return prediction == target || (prediction.back() == 1 && target == rows_of(prediction));
  }
  /// Throws DataError for targets of an accepted shape that the loss cannot take; they are on the host.
  virtual void check(const Shape& prediction, TensorView<const float> target) const {
    (void)prediction, (void)target;
  }

 protected:
  /// The shape without the last axis.
  static Shape rows_of(const Shape& prediction) { return {prediction.begin(), prediction.end() - 1}; }
};
using LossImpl = BasicLossImpl<float>;

/// Shared handle to a loss.
template <class T>
class BasicLoss {
 public:
  BasicLoss() = default;
  template <std::derived_from<BasicLossImpl<T>> Impl>
  BasicLoss(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  /// By Keras's name: "binary_crossentropy", "mse"; null is Keras's None, no loss. Throws ConfigError for a
  /// name there is not.
  BasicLoss(const char* name);
  /// From a name, or from {"class_name": "Huber", "config": {"delta": 0.5}}. Throws DataError for what is no
  /// loss.
  static BasicLoss from_config(const Json& json);
  explicit operator bool() const { return impl_ != nullptr; }
  const BasicLossImpl<T>& impl() const { return *impl_; }

 private:
  std::shared_ptr<const BasicLossImpl<T>> impl_;
};
using Loss = BasicLoss<float>;

/// The loss of each output, in order or by the outputs' names, or one for all of them: `"mse"`, `{"mse",
/// BinaryCrossentropy()}`, `{{"price", "mse"}, {"kind", nullptr}}`. An output of none (null) is not trained
/// and may have metrics.
template <class T>
class BasicLosses {
 public:
  using Named = std::pair<std::string, BasicLoss<T>>;
  BasicLosses() = default;
  BasicLosses(BasicLoss<T> loss) {
    if (loss) losses_.push_back(std::move(loss));
  }
  BasicLosses(const char* name) : BasicLosses(BasicLoss<T>(name)) {}
  template <std::derived_from<BasicLossImpl<T>> Impl>
  BasicLosses(std::shared_ptr<Impl> impl) : BasicLosses(BasicLoss<T>(std::move(impl))) {}
  BasicLosses(std::initializer_list<BasicLoss<T>> losses) : losses_(losses) {}
  BasicLosses(std::vector<BasicLoss<T>> losses) : losses_(std::move(losses)) {}
  BasicLosses(std::initializer_list<Named> losses) : named_(losses) {}
  explicit operator bool() const { return !losses_.empty() || !named_.empty(); }
  /// Throws ConfigError for names that are not all of the outputs'.
  std::vector<BasicLoss<T>> in_order(const std::vector<std::string>& outputs) const;

 private:
  std::vector<BasicLoss<T>> losses_;
  std::vector<Named> named_;
};
using Losses = BasicLosses<float>;

/// What each output's loss counts in the sum of all, in order or by the outputs' names: `{1, 0.5}`,
/// `{{"price", 1}, {"kind", 0.5}}`.
class LossWeights {
 public:
  using Named = std::pair<std::string, double>;
  LossWeights() = default;
  LossWeights(std::initializer_list<double> weights) : weights_(weights) {}
  LossWeights(std::vector<double> weights) : weights_(std::move(weights)) {}
  LossWeights(std::initializer_list<Named> weights) : named_(weights) {}
  /// Throws ConfigError for names that are not all of the outputs'.
  std::vector<double> in_order(const std::vector<std::string>& outputs) const;

 private:
  std::vector<double> weights_;
  std::vector<Named> named_;
};

namespace detail {
/// The losses that backends compute.
template <class T>
std::shared_ptr<BasicLossImpl<T>> backend_loss(const LossSpec& spec);
}  // namespace detail

struct CrossentropyOptions {
  bool from_logits = false;
  double label_smoothing = 0;
};
struct SparseCrossentropyOptions {
  bool from_logits = false;
};
struct ErrorOptions {};
struct HuberOptions {
  double delta = 1;
};

/// One of Keras's losses, `BinaryCrossentropy({.from_logits = true})`. Behind a sigmoid or softmax as the
/// model's last activation a crossentropy is computed from the logits, and so stays exact. As in Keras it
/// is so whichever of the two it was: the categorical ones behind a sigmoid are those of a softmax.
template <class T, LossKind kind, class Options>
class NamedLoss : public BasicLoss<T> {
 public:
  explicit NamedLoss(Options options = {}) : BasicLoss<T>(detail::backend_loss<T>(spec(options))) {}

 private:
  static LossSpec spec(const CrossentropyOptions& o) { return {kind, o.from_logits, o.label_smoothing}; }
  static LossSpec spec(const SparseCrossentropyOptions& o) { return {kind, o.from_logits, 0}; }
  static LossSpec spec(const ErrorOptions&) { return {kind, false, 0}; }
  static LossSpec spec(const HuberOptions& o) { return {kind, false, 0, o.delta}; }
};
template <class T>
using BasicBinaryCrossentropy = NamedLoss<T, LossKind::binary_crossentropy, CrossentropyOptions>;
using BinaryCrossentropy = BasicBinaryCrossentropy<float>;
template <class T>
using BasicCategoricalCrossentropy = NamedLoss<T, LossKind::categorical_crossentropy, CrossentropyOptions>;
using CategoricalCrossentropy = BasicCategoricalCrossentropy<float>;
template <class T>
using BasicSparseCategoricalCrossentropy =
    NamedLoss<T, LossKind::sparse_categorical_crossentropy, SparseCrossentropyOptions>;
using SparseCategoricalCrossentropy = BasicSparseCategoricalCrossentropy<float>;
template <class T>
using BasicMeanSquaredError = NamedLoss<T, LossKind::mean_squared_error, ErrorOptions>;
using MeanSquaredError = BasicMeanSquaredError<float>;
template <class T>
using BasicMeanAbsoluteError = NamedLoss<T, LossKind::mean_absolute_error, ErrorOptions>;
using MeanAbsoluteError = BasicMeanAbsoluteError<float>;
/// Half the square of an error of at most delta, else delta * (|error| - delta / 2). Source: Huber, Annals of
/// Mathematical Statistics 35, 1964.
template <class T>
using BasicHuber = NamedLoss<T, LossKind::huber, HuberOptions>;
using Huber = BasicHuber<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/losses.ipp>
#endif
