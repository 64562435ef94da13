#include "activation.cuh"
#include "columns.cuh"
#include "common.cuh"

#include <strata/cuda/kernels/normalization.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

__device__ inline void store_gradient(double value, bool accumulate, float* to) {
  *to = float(accumulate ? double(*to) + value : value);
}

STRATA_KERNEL(strata_bias_gradient_sums, BiasGradient) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns);
  double sums[1];
  sum_columns(columns, slice_begin(columns), slice_end(columns), sums,
              [&](Int row, double(&to)[1]) { to[0] += double(p.dy[row * columns.channels + channel]); });
  store_partial(columns, sums, p.partial);
}

STRATA_KERNEL(strata_bias_gradient, BiasGradient) {
  double sums[1];
  sum_partial(p.columns, p.partial, sums);
  if (owns_channel(p.columns)) store_gradient(sums[0], p.accumulate, &p.dbias[own_channel(p.columns)]);
}

// Mean and variance come from one pass over x: x less its first row has its mean within a few deviations of
// 0, so that nothing is lost, in double, when the mean's square is taken off the mean square.

STRATA_KERNEL(strata_batch_moments_sums, BatchMoments) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns);
  const double center = channel < columns.channels ? double(p.x[channel]) : 0;
  double sums[2];
  sum_columns(columns, slice_begin(columns), slice_end(columns), sums, [&](Int row, double(&to)[2]) {
    const double value = double(p.x[row * columns.channels + channel]) - center;
    to[0] += value;
    to[1] += value * value;
  });
  store_partial(columns, sums, p.partial);
}

STRATA_KERNEL(strata_batch_moments, BatchMoments) {
  const Columns& columns = p.columns;
  double sums[2];
  sum_partial(columns, p.partial, sums);
  if (!owns_channel(columns)) return;
  const Int c = own_channel(columns);
  const double rows = double(columns.rows), offset = sums[0] / rows, mean = double(p.x[c]) + offset;
  const double difference = sums[1] / rows - offset * offset, variance = difference < 0 ? 0 : difference;
  p.exact_mean[c] = mean;
  p.mean[c] = float(mean);
  p.variance[c] = float(variance);
  p.moving_mean[c] = float(p.momentum * double(p.moving_mean[c]) + (1 - p.momentum) * mean);
  p.moving_variance[c] = float(p.momentum * double(p.moving_variance[c]) + (1 - p.momentum) * variance);
}

STRATA_KERNEL(strata_batch_norm, BatchNorm) {
  const Int c = own_channel(p.columns);
  if (c >= p.columns.channels) return;
  const double mean = p.exact_mean ? p.exact_mean[c] : double(p.mean[c]);
  const float high = float(mean), low = float(mean - double(high));  // together as good as the double
  const double gamma = p.gamma ? double(p.gamma[c]) : 1;
  const float scale = float(gamma / sqrt(double(p.variance[c]) + p.epsilon)),
              beta = p.beta ? p.beta[c] : 0.0f;
  for_slice(
      p.columns, [&](Int i) { return p.x[i]; },
      [&](Int i, float x) {
        p.y[i] = activate(p.activation, p.negative_slope, (x - high - low) * scale + beta);
      });
}

STRATA_KERNEL(strata_batch_norm_backward_sums, BatchNormBackward) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns);
  const double mean = channel < columns.channels ? double(p.mean[channel]) : 0;
  double sums[2];
  sum_columns(columns, slice_begin(columns), slice_end(columns), sums, [&](Int row, double(&to)[2]) {
    const Int i = row * columns.channels + channel;
    const double dy = double(p.dy[i]);
    to[0] += dy;
    to[1] += dy * (double(p.x[i]) - mean);
  });
  store_partial(columns, sums, p.partial);
}

STRATA_KERNEL(strata_batch_norm_gradients, BatchNormBackward) {
  const Columns& columns = p.columns;
  double sums[2];
  sum_partial(columns, p.partial, sums);
  if (!owns_channel(columns)) return;
  const Int c = own_channel(columns);
  sums[1] /= sqrt(double(p.variance[c]) + p.epsilon);
  if (p.dbeta) store_gradient(sums[0], p.accumulate_dbeta, &p.dbeta[c]);
  if (p.dgamma) store_gradient(sums[1], p.accumulate_dgamma, &p.dgamma[c]);
  for (int k = 0; k < 2; ++k) p.sums[k * columns.channels + c] = sums[k];
}

STRATA_KERNEL(strata_batch_norm_backward, BatchNormBackward) {
  struct Pair {
    float x, dy;
  };
  const Int c = own_channel(p.columns), channels = p.columns.channels;
  if (c >= channels) return;
  const double inverse_deviation = 1 / sqrt(double(p.variance[c]) + p.epsilon), rows = double(p.columns.rows);
  const float mean = p.mean[c], scale = float(inverse_deviation * (p.gamma ? double(p.gamma[c]) : 1));
  // What every row shares, and what goes with x - mean.
  const float shared = p.fixed ? 0.0f : float(p.sums[c] / rows);
  const float slope = p.fixed ? 0.0f : float(p.sums[channels + c] / rows * inverse_deviation);
  for_slice(
      p.columns,
      [&](Int i) {
        return p.fixed ? Pair{0, p.dy[i]} : Pair{p.x[i], p.dy[i]};
      },
      [&](Int i, Pair from) {
        p.dx[i] = (p.fixed ? from.dy : from.dy - shared - (from.x - mean) * slope) * scale;
      });
}

}}}  // namespace strata::STRATA_ABI::cuda
