#pragma once

#include <algorithm>
#include <cmath>

#include <strata/tensor/metric_sums.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
void add_row_metric(const RowMetricSpec& spec, const Predictions<T>& of, double* sums) {
  const std::int64_t classes = of.classes;
  const auto largest = [classes](const T* row) { return std::max_element(row, row + classes) - row; };
  for (std::int64_t row = 0; row < of.rows; ++row) {
    const T* p = of.values + row * classes;
    const T* t = of.target + (takes_class_numbers(spec.kind) ? row : row * classes);
    const auto sum = [&](auto figure) {
      double total = 0;
      for (std::int64_t c = 0; c < classes; ++c) total += figure(c);
      return total;
    };
    const auto error = [&](std::int64_t c) { return static_cast<double>(p[c]) - static_cast<double>(t[c]); };
    // A label that is no class is not among the top.
    const auto in_top_k = [&](double label) {
      if (!(label >= 0 && label < static_cast<double>(classes))) return false;
      const T chosen = p[static_cast<std::int64_t>(label)];
      return sum([&](std::int64_t c) { return !(p[c] <= chosen); }) < static_cast<double>(spec.k);
    };
    double figure = 0;
    switch (spec.kind) {
      case RowMetricKind::binary_accuracy:
        figure = sum([&](std::int64_t c) {
                   return static_cast<T>(p[c] > static_cast<T>(spec.threshold)) == t[c];
                 }) /
                 static_cast<double>(classes);
        break;
      case RowMetricKind::categorical_accuracy:
        figure = largest(p) == largest(t);
        break;
      case RowMetricKind::sparse_categorical_accuracy:
        figure = static_cast<T>(largest(p)) == *t;
        break;
      case RowMetricKind::top_k_categorical_accuracy:
        figure = in_top_k(static_cast<double>(largest(t)));
        break;
      case RowMetricKind::sparse_top_k_categorical_accuracy:
        figure = in_top_k(static_cast<double>(*t));
        break;
      case RowMetricKind::mean_absolute_error:
        figure = sum([&](std::int64_t c) { return std::abs(error(c)); }) / static_cast<double>(classes);
        break;
      case RowMetricKind::mean_squared_error:
        figure = sum([&](std::int64_t c) { return error(c) * error(c); }) / static_cast<double>(classes);
        break;
    }
    sums[0] += of.weight(row) * figure;
    sums[1] += of.weight(row);
  }
}

template <class T>
void add_confusion(const ConfusionSpec& spec, const Predictions<T>& of, double* sums) {
  const T threshold = static_cast<T>(spec.threshold), intervals = static_cast<T>(spec.intervals);
  for (std::int64_t i = 0; i < of.rows * of.classes; ++i) {
    const T p = of.values[i];
    // The rounding of the product is Keras's.
    const std::int64_t above = !spec.intervals ? p > threshold
                               : p > T(0)
                                   ? static_cast<std::int64_t>(std::ceil(std::min(p, T(1)) * intervals))
                                   : 1;
    sums[2 * above + (of.target[i] != T(0))] += of.weight(i / of.classes);
  }
}

#if !STRATA_HEADER_ONLY
template void add_row_metric(const RowMetricSpec&, const Predictions<float>&, double*);
template void add_row_metric(const RowMetricSpec&, const Predictions<double>&, double*);
template void add_confusion(const ConfusionSpec&, const Predictions<float>&, double*);
template void add_confusion(const ConfusionSpec&, const Predictions<double>&, double*);
#endif

}}  // namespace strata::STRATA_ABI
