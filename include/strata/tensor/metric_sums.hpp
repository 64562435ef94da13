#pragma once

#include <cstdint>
#include <string_view>

#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Rows of outputs beside what they should be.
template <class T>
struct Predictions {
  std::int64_t rows = 0, classes = 0;
  const T* values = nullptr;         ///< [rows,classes]
  const T* target = nullptr;         ///< [rows,classes], or [rows] class numbers
  const T* sample_weight = nullptr;  ///< [rows], or null: 1

  double weight(std::int64_t row) const {
    return sample_weight ? static_cast<double>(sample_weight[row]) : 1;
  }
};

/// Of tensors whose last axis are the classes.
template <class T>
Predictions<T> predictions(TensorView<const T> values, TensorView<const T> target, const T* sample_weight) {
  return {values.shape().rows(), values.shape().back(), values.data(), target.data(), sample_weight};
}

/// A figure of one row: the share of right outputs or the mean error. `binary_accuracy` compares with the
/// target, 0 or 1, whether an output is above the threshold; `categorical_accuracy` the place of the largest
/// output with that of the largest target; a `top_k` one asks whether fewer than k outputs exceed the
/// target's. The `sparse` ones take class numbers.
enum class RowMetricKind {
  binary_accuracy,
  categorical_accuracy,
  sparse_categorical_accuracy,
  top_k_categorical_accuracy,
  sparse_top_k_categorical_accuracy,
  mean_absolute_error,
  mean_squared_error
};
constexpr bool takes_class_numbers(RowMetricKind kind) {
  return kind == RowMetricKind::sparse_categorical_accuracy ||
         kind == RowMetricKind::sparse_top_k_categorical_accuracy;
}
inline constexpr std::string_view row_metric_names[] = {"binary_accuracy",
                                                        "categorical_accuracy",
                                                        "sparse_categorical_accuracy",
                                                        "top_k_categorical_accuracy",
                                                        "sparse_top_k_categorical_accuracy",
                                                        "mean_absolute_error",
                                                        "mean_squared_error"};
/// Keras's name: "binary_accuracy".
constexpr std::string_view name_of(RowMetricKind kind) {
  return row_metric_names[static_cast<int>(kind)];
}
struct RowMetricSpec {
  RowMetricKind kind = RowMetricKind::categorical_accuracy;
  double threshold = 0.5;
  std::int64_t k = 5;
};

/// sums[0] += weight * figure, sums[1] += weight, for each row. For devices whose memory the host reads.
template <class T>
void add_row_metric(const RowMetricSpec& spec, const Predictions<T>& of, double* sums);

/// Thresholds of yes-or-no outputs, compared in the tensor's own type as Keras does: one, or intervals + 1 of
/// them evenly over [0, 1], whose ends are moved out of it.
struct ConfusionSpec {
  double threshold = 0.5;
  std::int64_t intervals = 0;  ///< 0: the one threshold
  std::int64_t thresholds() const { return intervals ? intervals + 1 : 1; }
  std::int64_t sums() const { return 2 * (thresholds() + 1); }
};

/// sums[2 * above + positive] += weight for each output, `above` being how many thresholds it exceeds; every
/// target but 0 is positive.
template <class T>
void add_confusion(const ConfusionSpec& spec, const Predictions<T>& of, double* sums);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/tensor/metric_sums.ipp>
#endif
