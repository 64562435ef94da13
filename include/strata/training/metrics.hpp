#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <strata/tensor/tensor.hpp>
#include <strata/training/history.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A figure gathered over batches. Derive from `MetricBase` to write one. All tensors are on the host.
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
  /// By Keras's name: "accuracy", "precision", "recall", "auc". Throws ConfigError for a name there is not.
  BasicMetric(const char* name);
  explicit operator bool() const { return impl_ != nullptr; }
  BasicMetricImpl<T>& impl() const { return *impl_; }
  /// With a state of its own.
  BasicMetric copy() const { return impl_->copy(); }

 private:
  std::shared_ptr<BasicMetricImpl<T>> impl_;
};
using Metric = BasicMetric<float>;

struct AccuracyOptions {
  double threshold = 0.5;  ///< of binary predictions
  std::string name = "accuracy";
};

/// Fraction of right predictions. Keras's "accuracy": binary for one output per row, else the largest output
/// against a one-hot row or a class number.
template <class T>
class AccuracyImpl final : public MetricBase<AccuracyImpl<T>, T> {
 public:
  explicit AccuracyImpl(AccuracyOptions options) : options_(std::move(options)) {}
  std::string name() const override { return options_.name; }
  void reset() override { right_ = total_ = 0; }
  void update(TensorView<const T> prediction, TensorView<const T> target, const T* weight) override {
    const std::int64_t classes = prediction.shape().back(), rows = classes ? prediction.size() / classes : 0;
    const bool same = prediction.size() == target.size();
    const bool binary = same && (classes == 1 || options_.threshold != 0.5);
    const auto threshold = static_cast<T>(options_.threshold);
    for (std::int64_t row = 0; row < rows; ++row) {
      const T* p = prediction.data() + row * classes;
      double right = 0;
      if (binary) {
        for (std::int64_t c = 0; c < classes; ++c)
          right += static_cast<T>(p[c] > threshold) == target.data()[row * classes + c];
        right /= static_cast<double>(classes);
      } else {
        const T* t = target.data() + row * classes;
        const auto guess = std::max_element(p, p + classes) - p;
        right = same ? guess == std::max_element(t, t + classes) - t
                     : static_cast<T>(guess) == target.data()[row];
      }
      const double w = weight ? static_cast<double>(weight[row]) : 1;
      right_ += w * right;
      total_ += w;
    }
  }
  double result() const override { return total_ > 0 ? right_ / total_ : 0; }
  MonitorMode mode() const override { return MonitorMode::max; }

 private:
  AccuracyOptions options_;
  double right_ = 0, total_ = 0;
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

/// Counts of true and false positives and negatives at rising thresholds: what precision, recall and AUC
/// share.
class ConfusionCounts {
 public:
  explicit ConfusionCounts(std::size_t thresholds) : positives_(thresholds + 1) {}
  void reset() { std::fill(positives_.begin(), positives_.end(), std::array<double, 2>{}); }
  /// A prediction that is above so many of the thresholds.
  void add(std::size_t above, bool positive, double weight) { positives_[above][positive] += weight; }
  struct Counts {
    double true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;
  };
  std::vector<Counts> counts() const {
    std::vector<Counts> out(positives_.size() - 1);
    for (std::size_t i = 0; i < out.size(); ++i)
      for (std::size_t k = 0; k < positives_.size(); ++k) {
        const auto& [negative, positive] = positives_[k];
        (k > i ? out[i].true_positives : out[i].false_negatives) += positive;
        (k > i ? out[i].false_positives : out[i].true_negatives) += negative;
      }
    return out;
  }

 private:
  // By number of thresholds below: weights of negatives and positives, summed up when asked for.
  std::vector<std::array<double, 2>> positives_;
};

/// Base of metrics over yes-or-no outputs; `Derived::above` says how many thresholds a prediction exceeds.
/// Comparisons are in T and every target but 0 is a yes, as in Keras.
template <class Derived, class T>
class ConfusionMetric : public MetricBase<Derived, T> {
 public:
  std::string name() const override { return name_; }
  MonitorMode mode() const override { return MonitorMode::max; }
  void reset() override { confusion_.reset(); }
  void update(TensorView<const T> prediction, TensorView<const T> target, const T* weight) override {
    require<ShapeError>(prediction.size() == target.size(), "[", name_, "] expected a target of shape ",
                        prediction.shape(), ", found ", target.shape());
    const std::int64_t classes = prediction.shape().back();
    for (std::int64_t i = 0; i < prediction.size(); ++i)
      confusion_.add(static_cast<const Derived&>(*this).above(prediction.data()[i]), target.data()[i] != T(0),
                     weight ? static_cast<double>(weight[i / classes]) : 1);
  }

 protected:
  ConfusionMetric(std::string name, std::size_t thresholds)
      : confusion_(thresholds), name_(std::move(name)) {}
  static double ratio(double a, double b) { return b > 0 ? a / b : 0; }
  ConfusionCounts confusion_;

 private:
  std::string name_;
};

/// True positives among predicted positives.
template <class T>
class PrecisionImpl final : public ConfusionMetric<PrecisionImpl<T>, T> {
 public:
  explicit PrecisionImpl(const ThresholdOptions& o)
      : ConfusionMetric<PrecisionImpl<T>, T>(o.name.empty() ? "precision" : o.name, 1),
        threshold_(static_cast<T>(o.threshold)) {}
  std::size_t above(T prediction) const { return prediction > threshold_; }
  double result() const override {
    const auto c = this->confusion_.counts()[0];
    return this->ratio(c.true_positives, c.true_positives + c.false_positives);
  }

 private:
  T threshold_;
};
/// True positives among actual positives.
template <class T>
class RecallImpl final : public ConfusionMetric<RecallImpl<T>, T> {
 public:
  explicit RecallImpl(const ThresholdOptions& o)
      : ConfusionMetric<RecallImpl<T>, T>(o.name.empty() ? "recall" : o.name, 1),
        threshold_(static_cast<T>(o.threshold)) {}
  std::size_t above(T prediction) const { return prediction > threshold_; }
  double result() const override {
    const auto c = this->confusion_.counts()[0];
    return this->ratio(c.true_positives, c.true_positives + c.false_negatives);
  }

 private:
  T threshold_;
};

/// Area under the ROC or precision-recall curve from counts at evenly spread thresholds, as Keras's AUC
/// ("interpolation"). Source for PR: Davis and Goadrich, ICML 2006.
template <class T>
class AUCImpl final : public ConfusionMetric<AUCImpl<T>, T> {
 public:
  explicit AUCImpl(const AUCOptions& o)
      : ConfusionMetric<AUCImpl<T>, T>(o.name, checked(o.num_thresholds)),
        intervals_(static_cast<T>(o.num_thresholds - 1)),
        curve_(o.curve) {}
  // Thresholds are i / (n - 1), the outer ones moved out of [0, 1]; the rounding of the product is Keras's.
  std::size_t above(T prediction) const {
    return prediction > T(0) ? static_cast<std::size_t>(std::ceil(std::min(prediction, T(1)) * intervals_))
                             : 1;
  }
  double result() const override {
    const auto c = this->confusion_.counts();
    double area = 0;
    for (std::size_t i = 0; i + 1 < c.size(); ++i) {
      const auto &a = c[i], &b = c[i + 1];
      if (curve_ == Curve::ROC) {
        const auto fall_out = [&](const auto& k) {
          return this->ratio(k.false_positives, k.false_positives + k.true_negatives);
        };
        const auto recall = [&](const auto& k) {
          return this->ratio(k.true_positives, k.true_positives + k.false_negatives);
        };
        area += (fall_out(a) - fall_out(b)) * (recall(a) + recall(b)) / 2;
      } else {
        const double p_a = a.true_positives + a.false_positives, p_b = b.true_positives + b.false_positives;
        const double gained = a.true_positives - b.true_positives;
        const double slope = this->ratio(gained, p_a - p_b), intercept = b.true_positives - slope * p_b;
        const double grows = p_a > 0 && p_b > 0 ? p_a / p_b : 1;
        area +=
            this->ratio(slope * (gained + intercept * std::log(grows)), b.true_positives + b.false_negatives);
      }
    }
    return area;
  }

 private:
  static std::size_t checked(int count) {
    require<ConfigError>(count >= 2, "[auc] expected num_thresholds of at least 2, found ", count);
    return static_cast<std::size_t>(count);
  }
  T intervals_;
  Curve curve_;
};

/// `Precision({.threshold = 0.7})`.
template <class Impl, class Options, class T>
class NamedMetric : public BasicMetric<T> {
 public:
  explicit NamedMetric(Options options = {}) : BasicMetric<T>(std::make_shared<Impl>(std::move(options))) {}
};
template <class T>
using BasicAccuracy = NamedMetric<AccuracyImpl<T>, AccuracyOptions, T>;
using Accuracy = BasicAccuracy<float>;
template <class T>
using BasicPrecision = NamedMetric<PrecisionImpl<T>, ThresholdOptions, T>;
using Precision = BasicPrecision<float>;
template <class T>
using BasicRecall = NamedMetric<RecallImpl<T>, ThresholdOptions, T>;
using Recall = BasicRecall<float>;
template <class T>
using BasicAUC = NamedMetric<AUCImpl<T>, AUCOptions, T>;
using AUC = BasicAUC<float>;

template <class T>
BasicMetric<T>::BasicMetric(const char* name) {
  const std::string_view wanted = name;
  if (wanted == "accuracy" || wanted == "acc") {
    impl_ = std::make_shared<AccuracyImpl<T>>(AccuracyOptions{.name = name});
  } else if (wanted == "precision") {
    impl_ = std::make_shared<PrecisionImpl<T>>(ThresholdOptions{});
  } else if (wanted == "recall") {
    impl_ = std::make_shared<RecallImpl<T>>(ThresholdOptions{});
  } else if (wanted == "auc") {
    impl_ = std::make_shared<AUCImpl<T>>(AUCOptions{});
  } else {
    throw ConfigError(
        concat("[metric] '", name, "' is not a metric; there are accuracy, precision, recall, auc"));
  }
}

}}  // namespace strata::STRATA_ABI
