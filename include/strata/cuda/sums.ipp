#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/sums.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

static_assert(row_metric_kind::binary_accuracy == int(RowMetricKind::binary_accuracy) &&
              row_metric_kind::categorical_accuracy == int(RowMetricKind::categorical_accuracy) &&
              row_metric_kind::sparse_categorical_accuracy ==
                  int(RowMetricKind::sparse_categorical_accuracy) &&
              row_metric_kind::top_k_categorical_accuracy == int(RowMetricKind::top_k_categorical_accuracy) &&
              row_metric_kind::sparse_top_k_categorical_accuracy ==
                  int(RowMetricKind::sparse_top_k_categorical_accuracy) &&
              row_metric_kind::mean_absolute_error == int(RowMetricKind::mean_absolute_error) &&
              row_metric_kind::mean_squared_error == int(RowMetricKind::mean_squared_error));

namespace detail {

inline PredictionParameters prediction_parameters(const Predictions<float>& of) {
  return {.rows = of.rows,
          .classes = of.classes,
          .values = of.values,
          .target = of.target,
          .sample_weight = of.sample_weight};
}

}  // namespace detail

STRATA_INLINE void CudaBackend::add_parts(const SumParts& parts) {
  launch("strata_add_parts", parts.second_grid(), threads_per_block, parts.second());
}

STRATA_INLINE void CudaBackend::sum(std::int64_t count, double scale, bool squares, const float* x,
                                    double* to) {
  const std::int64_t blocks = blocks_of_sum(count);
  const SumParts parts(blocks, 1, scale, to, stream_);
  launch_sums("strata_sum", dim3(static_cast<unsigned>(blocks)), parts,
              SumParameters{.count = count, .x = x, .squares = squares, .target = parts.target()});
}
STRATA_INLINE void CudaBackend::add_sum(std::int64_t count, double scale, const float* x, double* to) {
  sum(count, scale, false, x, to);
}
STRATA_INLINE void CudaBackend::add_sum_of_squares(std::int64_t count, const float* x, double* to) {
  sum(count, 1, true, x, to);
}

STRATA_INLINE void CudaBackend::add_scalar(double alpha, const double* x, double* to) {
  launch("strata_add_scalar", dim3(1), 1, AddScalarParameters{.alpha = alpha, .x = x, .to = to});
}

STRATA_INLINE void CudaBackend::add_row_metric(const RowMetricSpec& spec, const Predictions<float>& of,
                                               double* sums) {
  constexpr std::int64_t at_once = threads_per_block / 32;  // rows of a block
  const std::int64_t blocks = of.rows < 1024 * at_once ? (of.rows + at_once - 1) / at_once : 1024;
  const SumParts parts(blocks, 2, 1, sums, stream_);
  launch_sums("strata_add_row_metric", dim3(static_cast<unsigned>(blocks)), parts,
              RowMetricParameters{.kind = static_cast<int>(spec.kind),
                                  .threshold = static_cast<float>(spec.threshold),
                                  .k = spec.k,
                                  .of = detail::prediction_parameters(of),
                                  .target = parts.target()});
}

STRATA_INLINE void CudaBackend::add_confusion(const ConfusionSpec& spec, const Predictions<float>& of,
                                              double* sums) {
  const std::int64_t blocks = blocks_of_sum(of.rows * of.classes), lines = spec.sums();
  const SumParts parts(blocks, lines, 1, sums, stream_);
  const auto y = static_cast<unsigned>(lines < 65535 ? lines : 65535);  // the most that a grid has
  launch_sums("strata_add_confusion", dim3(static_cast<unsigned>(blocks), y), parts,
              ConfusionParameters{.threshold = static_cast<float>(spec.threshold),
                                  .intervals = static_cast<float>(spec.intervals),
                                  .sums = lines,
                                  .of = detail::prediction_parameters(of),
                                  .target = parts.target()});
}

}}}  // namespace strata::STRATA_ABI::cuda
