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

#if !STRATA_HEADER_ONLY
template BasicMetric<float>::BasicMetric(const char*);
template BasicMetric<double>::BasicMetric(const char*);
#endif

}}  // namespace strata::STRATA_ABI
