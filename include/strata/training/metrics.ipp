#pragma once

#include <cmath>

#include <strata/training/losses.ipp>
#include <strata/training/metrics.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
template <class T>
class RowMetricImpl final : public MetricBase<RowMetricImpl<T>, T> {
 public:
  /// Of the accuracies it takes, where `by_shape`, the one that the tensors' shapes ask for.
  RowMetricImpl(std::string name, const RowMetricSpec& spec, bool by_shape = false)
      : name_(std::move(name)), spec_(spec), by_shape_(by_shape) {
    require<ConfigError>(spec.k >= 1, "[", name_, "] expected a k of at least 1, found ", spec.k);
  }
  std::string name() const override { return name_; }
  void reset() override { sums_ = {}; }
  void update(TensorView<const T> prediction, TensorView<const T> target, const T* weight) override {
    add_row_metric(spec(prediction, target), predictions(prediction, target, weight), sums_.data());
  }
  double result() const override { return sums_[1] > 0 ? sums_[0] / sums_[1] : 0; }
  MonitorMode mode() const override {
    const bool error =
        spec_.kind == RowMetricKind::mean_absolute_error || spec_.kind == RowMetricKind::mean_squared_error;
    return error ? MonitorMode::min : MonitorMode::max;
  }

  std::int64_t device_sums() const override { return std::ssize(sums_); }
  void accumulate(Backend<T>& backend, TensorView<const T> prediction, TensorView<const T> target,
                  const T* weight, double* sums) const override {
    backend.add_row_metric(spec(prediction, target), predictions(prediction, target, weight), sums);
  }
  void set_sums(const double* sums) override { std::copy_n(sums, sums_.size(), sums_.begin()); }

 private:
  RowMetricSpec spec(TensorView<const T> prediction, TensorView<const T> target) const {
    RowMetricSpec spec = spec_;
    const bool same = prediction.size() == target.size();
    if (by_shape_ && !same) spec.kind = RowMetricKind::sparse_categorical_accuracy;
    if (by_shape_ && same && (prediction.shape().back() == 1 || spec.threshold != 0.5))
      spec.kind = RowMetricKind::binary_accuracy;
    require<ShapeError>(takes_class_numbers(spec.kind) ? target.size() == prediction.shape().rows() : same,
                        "[", name_, "] a target of shape ", target.shape(),
                        " does not belong to predictions of shape ", prediction.shape());
    return spec;
  }

  std::string name_;
  RowMetricSpec spec_;
  bool by_shape_;
  std::array<double, 2> sums_{};  // weighted sum of the figures, sum of the weights
};

template <class T>
STRATA_COLD std::shared_ptr<BasicMetricImpl<T>> row_metric(std::string name, const RowMetricSpec& spec,
                                                           bool by_shape) {
  return std::make_shared<RowMetricImpl<T>>(std::move(name), spec, by_shape);
}
}  // namespace detail

template <class T>
STRATA_COLD std::vector<typename BasicMetrics<T>::Entry> BasicMetrics<T>::in_order(
    const std::vector<std::string>& outputs, const char* what) const {
  const Entry none;
  return named_.empty() ? entries_ : detail::in_order<Entry>(named_, outputs, what, &none);
}

template <class T>
STRATA_COLD BasicMetric<T>::BasicMetric(const char* name) {
  const std::string_view given = name;
  const std::string_view wanted = given == "mae"   ? "mean_absolute_error"
                                  : given == "mse" ? "mean_squared_error"
                                                   : given;
  std::string known = "accuracy, precision, recall, auc";
  for (int i = 0; i < static_cast<int>(std::size(row_metric_names)); ++i) {
    known.append(", ").append(row_metric_names[i]);
    if (wanted == row_metric_names[i]) impl_ = detail::row_metric<T>(name, {static_cast<RowMetricKind>(i)});
  }
  if (wanted == "accuracy" || wanted == "acc") impl_ = BasicAccuracy<T>({.name = name}).impl_;
  if (wanted == "precision") impl_ = BasicPrecision<T>().impl_;
  if (wanted == "recall") impl_ = BasicRecall<T>().impl_;
  if (wanted == "auc") impl_ = BasicAUC<T>().impl_;
  require<ConfigError>(impl_ != nullptr, "[metric] '", name, "' is not a metric; there are ", known);
}

template <class T>
STRATA_COLD BasicMetric<T> BasicMetric<T>::from_config(const Json& json) try {
  if (json.is_string()) return json.as_string().c_str();
  const auto kind = json.get<std::string>("class_name");
  const Json& config = json.at("config");
  const auto name = config.get("name", std::string());
  const auto threshold = config.get("threshold", 0.5);
  const TopKOptions top_k{config.get("k", std::int64_t{5}), name};
  if (kind == "BinaryAccuracy") return BasicBinaryAccuracy<T>({threshold, name});
  if (kind == "CategoricalAccuracy") return BasicCategoricalAccuracy<T>({name});
  if (kind == "SparseCategoricalAccuracy") return BasicSparseCategoricalAccuracy<T>({name});
  if (kind == "TopKCategoricalAccuracy") return BasicTopKCategoricalAccuracy<T>(top_k);
  if (kind == "SparseTopKCategoricalAccuracy") return BasicSparseTopKCategoricalAccuracy<T>(top_k);
  if (kind == "MeanAbsoluteError") return metrics::BasicMeanAbsoluteError<T>({name});
  if (kind == "MeanSquaredError") return metrics::BasicMeanSquaredError<T>({name});
  if (kind == "Precision") return BasicPrecision<T>({threshold, name});
  if (kind == "Recall") return BasicRecall<T>({threshold, name});
  require<DataError>(kind == "AUC", "[metric] '", kind, "' is not a metric");
  const auto curve = config.get("curve", std::string("ROC"));
  require<DataError>(curve == "ROC" || curve == "PR", "[metric] expected the curve 'ROC' or 'PR', found '",
                     curve, "'");
  return BasicAUC<T>({config.get("num_thresholds", 200), curve == "PR" ? Curve::PR : Curve::ROC,
                      name.empty() ? "auc" : name});
} catch (const ConfigError& error) {
  throw DataError(error.what());
}

template <class T>
STRATA_COLD double AUCImpl<T>::result() const {
  const auto c = this->counts();
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

#if !STRATA_HEADER_ONLY
template std::shared_ptr<BasicMetricImpl<float>> detail::row_metric(std::string, const RowMetricSpec&, bool);
template std::shared_ptr<BasicMetricImpl<double>> detail::row_metric(std::string, const RowMetricSpec&, bool);
template std::vector<BasicMetrics<float>::Entry> BasicMetrics<float>::in_order(
    const std::vector<std::string>&, const char*) const;
template std::vector<BasicMetrics<double>::Entry> BasicMetrics<double>::in_order(
    const std::vector<std::string>&, const char*) const;
template double AUCImpl<float>::result() const;
template double AUCImpl<double>::result() const;
template BasicMetric<float>::BasicMetric(const char*);
template BasicMetric<double>::BasicMetric(const char*);
template BasicMetric<float> BasicMetric<float>::from_config(const Json&);
template BasicMetric<double> BasicMetric<double>::from_config(const Json&);
#endif

}}  // namespace strata::STRATA_ABI
