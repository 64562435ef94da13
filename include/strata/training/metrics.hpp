#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include <strata/io/json.hpp>
#include <strata/tensor/backend.hpp>
#include <strata/tensor/tensor.hpp>
#include <strata/training/history.hpp>
#include <strata/training/losses.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A figure gathered over batches. Derive from `MetricBase` to write one: `update` gets everything on the
/// host, downloaded where that is needed. One that gathers sums on the device instead is never waited for.
template <class T>
class BasicMetricImpl {
 public:
  using View = TensorView<const T>;
  virtual ~BasicMetricImpl() = default;
  virtual std::string name() const = 0;
  virtual void reset() = 0;
  /// prediction [n,...,classes], target as the loss takes it ([n] where it takes that for [n,1]), weight per
  /// row or null.
  virtual void update(View prediction, View target, const T* weight) = 0;
  virtual double result() const = 0;

  /// How many sums it gathers on the device; 0: none, it is given to `update`.
  virtual std::int64_t device_sums() const { return 0; }
  /// As `update`, for device memory: adds to `sums`.
  virtual void accumulate(Backend<T>& backend, View prediction, View target, const T* weight,
                          double* sums) const {
    (void)backend, (void)prediction, (void)target, (void)weight, (void)sums;
  }
  /// The sums since the last reset, on the host, for `result`.
  virtual void set_sums(const double* sums) { (void)sums; }

  /// What `update` has gathered, for a run that is saved and resumed inside an epoch; null: it cannot be.
  virtual Json state() const { return {}; }
  virtual void load_state(const Json& from) { (void)from; }

  /// For callbacks that monitor it; automatic: they must be told.
  virtual MonitorMode mode() const { return MonitorMode::automatic; }
  virtual std::shared_ptr<BasicMetricImpl> copy() const = 0;
};
using MetricImpl = BasicMetricImpl<float>;

template <class Derived, class T = float>
class MetricBase : public BasicMetricImpl<T> {
 public:
  std::shared_ptr<BasicMetricImpl<T>> copy() const override {
    return std::make_shared<Derived>(static_cast<const Derived&>(*this));
  }
};

/// Handle to a metric.
template <class T>
class BasicMetric {
 public:
  BasicMetric() = default;
  template <std::derived_from<BasicMetricImpl<T>> Impl>
  BasicMetric(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  /// By Keras's name, which it keeps: "accuracy", "mae". Throws ConfigError for a name there is not.
  BasicMetric(const char* name);
  /// From a name, or from {"class_name": "AUC", "config": {"name": "auc", "num_thresholds": 50}}. Throws
  /// DataError for what is no metric.
  static BasicMetric from_config(const Json& json);
  explicit operator bool() const { return impl_ != nullptr; }
  BasicMetricImpl<T>& impl() const { return *impl_; }
  /// With a state of its own.
  BasicMetric copy() const { return impl_->copy(); }

 private:
  std::shared_ptr<BasicMetricImpl<T>> impl_;
};
using Metric = BasicMetric<float>;

/// The metrics of a model of one output, `{"accuracy", AUC()}`. Of several outputs it has an entry for each,
/// in order, which may be a list or empty: `{"accuracy", {"mae", "mse"}, {}}`; or for some of them by their
/// names: `Metrics::ByOutput{{"kind", "accuracy"}, {"price", {"mae", "mse"}}}`.
template <class T>
class BasicMetrics {
 public:
  class Entry {
   public:
    Entry() = default;
    Entry(const char* name) : metrics_{name} {}
    Entry(BasicMetric<T> metric) : metrics_{std::move(metric)} {}
    template <std::derived_from<BasicMetricImpl<T>> Impl>
    Entry(std::shared_ptr<Impl> impl) : Entry(BasicMetric<T>(std::move(impl))) {}
    Entry(std::initializer_list<BasicMetric<T>> metrics) : metrics_(metrics) {}
    Entry(std::vector<BasicMetric<T>> metrics) : metrics_(std::move(metrics)) {}
    const std::vector<BasicMetric<T>>& list() const { return metrics_; }

   private:
    std::vector<BasicMetric<T>> metrics_;
  };

  using ByOutput = std::vector<std::pair<std::string, Entry>>;

  BasicMetrics() = default;
  BasicMetrics(ByOutput metrics) : named_(std::move(metrics)) {}
  BasicMetrics(std::initializer_list<Entry> entries) : entries_(entries) {}
  BasicMetrics(std::vector<Entry> entries) : entries_(std::move(entries)) {}
  BasicMetrics(const std::vector<BasicMetric<T>>& metrics) : entries_(metrics.begin(), metrics.end()) {}
  /// Throws ConfigError for names that are not the outputs'.
  std::vector<Entry> in_order(const std::vector<std::string>& outputs, const char* what) const;

 private:
  std::vector<Entry> entries_;
  ByOutput named_;
};
using Metrics = BasicMetrics<float>;

namespace detail {
/// The mean over rows of a figure of each, as Keras's MeanMetricWrapper; where `by_shape`, that of the
/// accuracies that the tensors' shapes ask for. Throws ConfigError for a k below 1.
template <class T>
std::shared_ptr<BasicMetricImpl<T>> row_metric(std::string name, const RowMetricSpec& spec,
                                               bool by_shape = false);
}  // namespace detail

struct AccuracyOptions {
  double threshold = 0.5;  ///< of binary predictions
  std::string name = "accuracy";
};
struct BinaryAccuracyOptions {
  double threshold = 0.5;
  std::string name = {};
};
struct TopKOptions {
  std::int64_t k = 5;
  std::string name = {};
};
struct MeanOptions {
  std::string name = {};
};

enum class Curve { ROC, PR };
struct AUCOptions {
  int num_thresholds = 200;
  Curve curve = Curve::ROC;
  std::string name = "auc";
};
struct ThresholdOptions {
  double threshold = 0.5;
  std::string name = {};
};

/// Base of metrics over yes-or-no outputs: from the weights of negatives and positives by the number of
/// thresholds they exceed.
template <class Derived, class T>
class ConfusionMetric : public MetricBase<Derived, T> {
 public:
  std::string name() const override { return name_; }
  MonitorMode mode() const override { return MonitorMode::max; }
  void reset() override { sums_.assign(sums_.size(), 0.0); }
  void update(TensorView<const T> prediction, TensorView<const T> target, const T* weight) override {
    check(prediction, target);
    add_confusion(spec_, predictions(prediction, target, weight), sums_.data());
  }

  std::int64_t device_sums() const override { return std::ssize(sums_); }
  void accumulate(Backend<T>& backend, TensorView<const T> prediction, TensorView<const T> target,
                  const T* weight, double* sums) const override {
    check(prediction, target);
    backend.add_confusion(spec_, predictions(prediction, target, weight), sums);
  }
  void set_sums(const double* sums) override { sums_.assign(sums, sums + sums_.size()); }

 protected:
  struct Counts {
    double true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;
  };
  ConfusionMetric(std::string name, const ConfusionSpec& spec)
      : spec_(spec), sums_(static_cast<std::size_t>(spec.sums())), name_(std::move(name)) {}
  /// By threshold.
  std::vector<Counts> counts() const {
    std::vector<Counts> out(sums_.size() / 2 - 1);
    for (std::size_t i = 0; i < out.size(); ++i)
      for (std::size_t above = 0; above <= out.size(); ++above) {
        const double negative = sums_[2 * above], positive = sums_[2 * above + 1];
        (above > i ? out[i].true_positives : out[i].false_negatives) += positive;
        (above > i ? out[i].false_positives : out[i].true_negatives) += negative;
      }
    return out;
  }
  static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

 private:
  void check(TensorView<const T> prediction, TensorView<const T> target) const {
    require<ShapeError>(prediction.size() == target.size(), "[", name_, "] expected a target of shape ",
                        prediction.shape(), ", found ", target.shape());
  }
  ConfusionSpec spec_;
  std::vector<double> sums_;
  std::string name_;
};

/// True positives among predicted positives.
template <class T>
class PrecisionImpl final : public ConfusionMetric<PrecisionImpl<T>, T> {
 public:
  explicit PrecisionImpl(const ThresholdOptions& o)
      : ConfusionMetric<PrecisionImpl<T>, T>(o.name.empty() ? "precision" : o.name,
                                             {.threshold = o.threshold}) {}
  double result() const override {
    const auto c = this->counts()[0];
    return this->ratio(c.true_positives, c.true_positives + c.false_positives);
  }
};
/// True positives among actual positives.
template <class T>
class RecallImpl final : public ConfusionMetric<RecallImpl<T>, T> {
 public:
  explicit RecallImpl(const ThresholdOptions& o)
      : ConfusionMetric<RecallImpl<T>, T>(o.name.empty() ? "recall" : o.name, {.threshold = o.threshold}) {}
  double result() const override {
    const auto c = this->counts()[0];
    return this->ratio(c.true_positives, c.true_positives + c.false_negatives);
  }
};

/// Area under the ROC or precision-recall curve from counts at evenly spread thresholds, as Keras's AUC
/// ("interpolation"). Source for PR: Davis and Goadrich, ICML 2006.
template <class T>
class AUCImpl final : public ConfusionMetric<AUCImpl<T>, T> {
 public:
  explicit AUCImpl(const AUCOptions& o)
      : ConfusionMetric<AUCImpl<T>, T>(o.name, {.intervals = checked(o.num_thresholds) - 1}),
        curve_(o.curve) {}
  double result() const override;

 private:
  static int checked(int count) {
    require<ConfigError>(count >= 2, "[auc] expected num_thresholds of at least 2, found ", count);
    return count;
  }
  Curve curve_;
};

/// `Precision({.threshold = 0.7})`.
template <class Impl, class Options, class T>
class NamedMetric : public BasicMetric<T> {
 public:
  explicit NamedMetric(Options options = {}) : BasicMetric<T>(std::make_shared<Impl>(std::move(options))) {}
};
/// Fraction of right predictions. Keras's "accuracy": binary for one output per row, else the largest output
/// against a one-hot row or a class number.
template <class T>
class BasicAccuracy : public BasicMetric<T> {
 public:
  explicit BasicAccuracy(const AccuracyOptions& o = {})
      : BasicMetric<T>(
            detail::row_metric<T>(o.name, {RowMetricKind::categorical_accuracy, o.threshold}, true)) {}
};
using Accuracy = BasicAccuracy<float>;

/// `TopKCategoricalAccuracy({.k = 3})`; without a name it has Keras's.
template <class T, RowMetricKind kind, class Options>
class NamedRowMetric : public BasicMetric<T> {
 public:
  explicit NamedRowMetric(const Options& o = {})
      : BasicMetric<T>(detail::row_metric<T>(o.name.empty() ? std::string(name_of(kind)) : o.name, spec(o))) {
  }

 private:
  static RowMetricSpec spec(const BinaryAccuracyOptions& o) { return {kind, o.threshold}; }
  static RowMetricSpec spec(const TopKOptions& o) { return {.kind = kind, .k = o.k}; }
  static RowMetricSpec spec(const MeanOptions&) { return {kind}; }
};
template <class T>
using BasicBinaryAccuracy = NamedRowMetric<T, RowMetricKind::binary_accuracy, BinaryAccuracyOptions>;
using BinaryAccuracy = BasicBinaryAccuracy<float>;
/// The place of the largest output is that of the largest target.
template <class T>
using BasicCategoricalAccuracy = NamedRowMetric<T, RowMetricKind::categorical_accuracy, MeanOptions>;
using CategoricalAccuracy = BasicCategoricalAccuracy<float>;
/// The same for class numbers.
template <class T>
using BasicSparseCategoricalAccuracy =
    NamedRowMetric<T, RowMetricKind::sparse_categorical_accuracy, MeanOptions>;
using SparseCategoricalAccuracy = BasicSparseCategoricalAccuracy<float>;
/// Fewer than k outputs exceed that of the largest target; equal ones do not, as in TensorFlow.
template <class T>
using BasicTopKCategoricalAccuracy =
    NamedRowMetric<T, RowMetricKind::top_k_categorical_accuracy, TopKOptions>;
using TopKCategoricalAccuracy = BasicTopKCategoricalAccuracy<float>;
/// The same for class numbers.
template <class T>
using BasicSparseTopKCategoricalAccuracy =
    NamedRowMetric<T, RowMetricKind::sparse_top_k_categorical_accuracy, TopKOptions>;
using SparseTopKCategoricalAccuracy = BasicSparseTopKCategoricalAccuracy<float>;

/// The metrics whose plain names are losses, in a namespace as in Keras.
namespace metrics {
template <class T>
using BasicMeanAbsoluteError = NamedRowMetric<T, RowMetricKind::mean_absolute_error, MeanOptions>;
using MeanAbsoluteError = BasicMeanAbsoluteError<float>;
template <class T>
using BasicMeanSquaredError = NamedRowMetric<T, RowMetricKind::mean_squared_error, MeanOptions>;
using MeanSquaredError = BasicMeanSquaredError<float>;
}  // namespace metrics

template <class T>
using BasicPrecision = NamedMetric<PrecisionImpl<T>, ThresholdOptions, T>;
using Precision = BasicPrecision<float>;
template <class T>
using BasicRecall = NamedMetric<RecallImpl<T>, ThresholdOptions, T>;
using Recall = BasicRecall<float>;
template <class T>
using BasicAUC = NamedMetric<AUCImpl<T>, AUCOptions, T>;
using AUC = BasicAUC<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/metrics.ipp>
#endif
