#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

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

/// How accuracy is counted: `binary` compares with the target, 0 or 1, whether an output is above the
/// threshold; `categorical` the place of the largest output with that of the largest target;
/// `sparse_categorical` with a class number.
enum class AccuracyKind { binary, categorical, sparse_categorical };
struct AccuracySpec {
  AccuracyKind kind = AccuracyKind::categorical;
  double threshold = 0.5;
};

/// sums[0] += weight * fraction of right outputs, sums[1] += weight, for each row. For devices whose memory
/// the host reads.
template <class T>
void add_accuracy(const AccuracySpec& spec, const Predictions<T>& of, double* sums) {
  const std::int64_t classes = of.classes;
  const auto largest = [classes](const T* row) { return std::max_element(row, row + classes) - row; };
  for (std::int64_t row = 0; row < of.rows; ++row) {
    const T *p = of.values + row * classes, *t = of.target + row * classes;
    double right = 0;
    switch (spec.kind) {
      case AccuracyKind::binary:
        for (std::int64_t c = 0; c < classes; ++c)
          right += static_cast<T>(p[c] > static_cast<T>(spec.threshold)) == t[c];
        right /= static_cast<double>(classes);
        break;
      case AccuracyKind::categorical:
        right = largest(p) == largest(t);
        break;
      case AccuracyKind::sparse_categorical:
        right = static_cast<T>(largest(p)) == of.target[row];
        break;
    }
    sums[0] += of.weight(row) * right;
    sums[1] += of.weight(row);
  }
}

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

}}  // namespace strata::STRATA_ABI
