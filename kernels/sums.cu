// Sums in two steps of a fixed order: blocks leave their parts, then one block per sum adds them up.

#include "sums.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// A block per sum.
STRATA_KERNEL(strata_add_parts, AddPartsParameters) {
  const double* const parts = p.target.parts + blockIdx.x * p.blocks;
  double sum = 0;
  for (Int i = threadIdx.x; i < p.blocks; i += blockDim.x) sum += parts[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) p.target.to[blockIdx.x] += p.target.scale * sum;
}

STRATA_KERNEL(strata_sum, SumParameters) {
  double sum = 0;
  for (Int i = first(); i < p.count; i += stride()) {
    const double value = p.x[i];
    sum += p.squares ? value * value : value;
  }
  hand_in(p.target, 0, sum);
}

/// One thread.
STRATA_KERNEL(strata_add_scalar, AddScalarParameters) {
  *p.to += p.alpha * *p.x;
}

__device__ inline double sample_weight(const PredictionParameters& of, Int row) {
  return of.sample_weight ? double(of.sample_weight[row]) : 1.0;
}

/// The place of a row's largest value, as std::max_element finds it: the first of equals, and NaN counts only
/// at the row's head, where nothing is greater. Threads of a warp together; each gets it.
__device__ inline int largest_place(const float* row, Int classes) {
  float value = row[0];
  int place = 0;
  for (Int c = threadIdx.x % 32; c < classes; c += 32)
    if (row[c] > value) value = row[c], place = int(c);
  for (int offset = 16; offset; offset /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, value, offset);
    const int other_place = __shfl_xor_sync(0xffffffffu, place, offset);
    if (other > value || (other == value && other_place < place)) value = other, place = other_place;
  }
  return place;
}

/// The sum of f(class) over a row. Threads of a warp together; each gets it.
template <class F>
__device__ inline double row_sum(Int classes, F f) {
  double part = 0;
  for (Int c = threadIdx.x % 32; c < classes; c += 32) part += f(c);
  return lane_sum(part);
}

/// Whether fewer than k outputs exceed the label's. Threads of a warp together.
__device__ inline bool in_top_k(const RowMetricParameters& p, const float* values, float label) {
  if (!(label >= 0 && label < float(p.of.classes))) return false;
  const float chosen = values[Int(label)];
  return row_sum(p.of.classes, [&](Int c) { return values[c] <= chosen ? 0.0 : 1.0; }) < double(p.k);
}

/// The figure of a row. Threads of a warp together.
__device__ inline double row_figure(const RowMetricParameters& p, Int row) {
  const Int classes = p.of.classes;
  const float *values = p.of.values + row * classes, *target = p.of.target + row * classes;
  const auto mean = [&](auto f) { return row_sum(classes, f) / double(classes); };
  const auto error = [&](Int c) { return double(values[c]) - double(target[c]); };
  switch (p.kind) {
    case row_metric_kind::binary_accuracy:
      return mean([&](Int c) { return (values[c] > p.threshold ? 1.0f : 0.0f) == target[c] ? 1.0 : 0.0; });
    case row_metric_kind::categorical_accuracy:
      return largest_place(values, classes) == largest_place(target, classes);
    case row_metric_kind::sparse_categorical_accuracy:
      return float(largest_place(values, classes)) == p.of.target[row];
    case row_metric_kind::top_k_categorical_accuracy:
      return in_top_k(p, values, float(largest_place(target, classes)));
    case row_metric_kind::sparse_top_k_categorical_accuracy:
      return in_top_k(p, values, p.of.target[row]);
    case row_metric_kind::mean_absolute_error:
      return mean([&](Int c) { return fabs(error(c)); });
    default:
      return mean([&](Int c) { return error(c) * error(c); });
  }
}

/// A warp per row.
STRATA_KERNEL(strata_add_row_metric, RowMetricParameters) {
  double sum = 0, total = 0;
  for (Int row = first() / 32; row < p.of.rows; row += stride() / 32) {
    const double figure = row_figure(p, row);
    if (threadIdx.x % 32 != 0) continue;  // the warp's first thread counts for all
    const double weight = sample_weight(p.of, row);
    sum += weight * figure;
    total += weight;
  }
  hand_in(p.target, 0, sum);
  hand_in(p.target, 1, total);
}

/// A line of blocks (y) per sum, each of which looks at all outputs: that takes neither atomics nor an order
/// of its own.
STRATA_KERNEL(strata_add_confusion, ConfusionParameters) {
  const Int count = p.of.rows * p.of.classes;
  for (Int s = blockIdx.y; s < p.sums; s += gridDim.y) {
    double sum = 0;
    for (Int i = first(); i < count; i += stride()) {
      const float value = p.of.values[i];
      Int above = 1;  // how many thresholds the output exceeds
      if (p.intervals == 0)
        above = value > p.threshold;
      else if (value > 0)  // the rounding of the product is Keras's
        above = Int(ceilf(__fmul_rn(fminf(value, 1.0f), p.intervals)));
      if (s == 2 * above + (p.of.target[i] != 0)) sum += sample_weight(p.of, i / p.of.classes);
    }
    hand_in(p.target, s, sum);
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
