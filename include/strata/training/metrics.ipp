#pragma once

#include <strata/training/metrics.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD BasicMetric<T>::BasicMetric(const char* name) {
  const std::string_view given = name;
  const std::string_view wanted = given == "mae"   ? "mean_absolute_error"
                                  : given == "mse" ? "mean_squared_error"
                                                   : given;
  std::string known = "accuracy, precision, recall, auc";
  for (int i = 0; i < static_cast<int>(std::size(row_metric_names)); ++i) {
    known.append(", ").append(row_metric_names[i]);
    if (wanted == row_metric_names[i])
      impl_ = std::make_shared<RowMetricImpl<T>>(name, RowMetricSpec{static_cast<RowMetricKind>(i)});
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

#if !STRATA_HEADER_ONLY
template BasicMetric<float>::BasicMetric(const char*);
template BasicMetric<double>::BasicMetric(const char*);
template BasicMetric<float> BasicMetric<float>::from_config(const Json&);
template BasicMetric<double> BasicMetric<double>::from_config(const Json&);
#endif

}}  // namespace strata::STRATA_ABI
