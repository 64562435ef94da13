#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// How many blocks of 256 threads share a sum over `count` elements: the same on every card, so that its bits
/// are too.
constexpr std::int64_t blocks_of_sum(std::int64_t count) {
  const std::int64_t blocks = (count + 4095) / 4096;
  return blocks < 1024 ? blocks : 1024;
}

/// Where sums go: to[s] += scale * (part of block 0 + part of block 1 + ...). A grid of one block (x) adds at
/// once; a greater one leaves `parts` [sums][gridDim.x] to strata_add_parts.
struct SumTarget {
  double scale;
  double *to, *parts;
};

struct AddPartsParameters {
  std::int64_t blocks;
  SumTarget target;
};

struct SumParameters {
  std::int64_t count;
  const float* x;
  bool squares;
  SumTarget target;
};

struct AddScalarParameters {
  double alpha;
  const double* x;
  double* to;
};

/// Predictions<float> (tensor/metric_sums.hpp).
struct PredictionParameters {
  std::int64_t rows, classes;
  const float *values, *target, *sample_weight;
};

/// RowMetricKind for kernels; sums.ipp checks that they agree.
namespace row_metric_kind {
inline constexpr int binary_accuracy = 0, categorical_accuracy = 1, sparse_categorical_accuracy = 2,
                     top_k_categorical_accuracy = 3, sparse_top_k_categorical_accuracy = 4,
                     mean_absolute_error = 5, mean_squared_error = 6;
}

struct RowMetricParameters {
  int kind;  ///< one of row_metric_kind
  float threshold;
  std::int64_t k;
  PredictionParameters of;
  SumTarget target;
};

struct ConfusionParameters {
  float threshold, intervals;
  std::int64_t sums;
  PredictionParameters of;
  SumTarget target;
};

}}}  // namespace strata::STRATA_ABI::cuda
