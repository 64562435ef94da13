#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/columns.hpp>
#include <strata/cuda/kernels/normalization.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

STRATA_INLINE void CudaBackend::bias_gradient(std::int64_t rows, std::int64_t channels, const float* dy,
                                              Gradient<float> dbias) {
  const Columns columns = columns_of(rows, channels);
  const auto partial = scratch<double>(columns.slices * channels);
  const BiasGradient p{columns, dy, partial.data(), dbias.data, dbias.accumulate};
  launch("strata_bias_gradient_sums", grid_of(columns, columns.slices), Columns::threads, p);
  launch("strata_bias_gradient", grid_of(columns, 1), Columns::threads, p);
}

namespace detail {
/// All but the activation where that is softmax, which needs whole rows.
inline BatchNorm batch_norm_parameters(const BatchNormSpec<float>& spec, Moments<const float> moments,
                                       const float* x, float* y) {
  const bool softmax = spec.activation.kind == Activation::Kind::softmax;
  const Activation& f = softmax ? Activation::linear : spec.activation;
  return {.columns = columns_of(spec.rows, spec.channels),
          .epsilon = spec.epsilon,
          .gamma = spec.gamma,
          .beta = spec.beta,
          .mean = moments.mean,
          .variance = moments.variance,
          .activation = static_cast<int>(f.kind),
          .negative_slope = static_cast<float>(f.negative_slope),
          .x = x,
          .y = y};
}
}  // namespace detail

STRATA_INLINE void CudaBackend::batch_norm_inference(const BatchNormSpec<float>& spec, const float* x,
                                                     Moments<const float> moments, float* y) {
  const BatchNorm p = detail::batch_norm_parameters(spec, moments, x, y);
  launch("strata_batch_norm", grid_of(p.columns, p.columns.slices), Columns::threads, p);
  if (spec.activation.kind == Activation::Kind::softmax)
    activation(spec.activation, spec.rows, spec.channels, y, y);
}

STRATA_INLINE void CudaBackend::batch_norm(const BatchNormSpec<float>& spec, double momentum, const float* x,
                                           Moments<float> batch, Moments<float> moving, float* y) {
  if (spec.rows == 0) return;
  BatchNorm p = detail::batch_norm_parameters(spec, {batch.mean, batch.variance}, x, y);
  const Columns& columns = p.columns;
  const auto partial = scratch<double>(columns.slices * 2 * spec.channels);
  const auto exact_mean = scratch<double>(spec.channels);
  p.exact_mean = exact_mean.data();
  const BatchMoments moments{.columns = columns,
                             .x = x,
                             .partial = partial.data(),
                             .momentum = momentum,
                             .exact_mean = exact_mean.data(),
                             .mean = batch.mean,
                             .variance = batch.variance,
                             .moving_mean = moving.mean,
                             .moving_variance = moving.variance};
  launch("strata_batch_moments_sums", grid_of(columns, columns.slices), Columns::threads, moments);
  launch("strata_batch_moments", grid_of(columns, 1), Columns::threads, moments);
  launch("strata_batch_norm", grid_of(columns, columns.slices), Columns::threads, p);
  if (spec.activation.kind == Activation::Kind::softmax)
    activation(spec.activation, spec.rows, spec.channels, y, y);
}

STRATA_INLINE void CudaBackend::batch_norm_backward(const BatchNormSpec<float>& spec, const float* x,
                                                    Moments<const float> moments, bool fixed, const float* dy,
                                                    float* dx, Gradient<float> dgamma,
                                                    Gradient<float> dbeta) {
  const Columns columns = columns_of(spec.rows, spec.channels);
  BatchNormBackward p{.columns = columns,
                      .epsilon = spec.epsilon,
                      .gamma = spec.gamma,
                      .mean = moments.mean,
                      .variance = moments.variance,
                      .x = x,
                      .dy = dy,
                      .fixed = fixed,
                      .dx = dx,
                      .dgamma = dgamma.data,
                      .dbeta = dbeta.data,
                      .accumulate_dgamma = dgamma.accumulate,
                      .accumulate_dbeta = dbeta.accumulate};
  const bool summed = dgamma.data || dbeta.data || (dx && !fixed);
  const auto sums = scratch<double>(summed ? (columns.slices + 1) * 2 * spec.channels : 0);
  if (summed) {
    p.sums = sums.data();
    p.partial = p.sums + 2 * spec.channels;
    launch("strata_batch_norm_backward_sums", grid_of(columns, columns.slices), Columns::threads, p);
    launch("strata_batch_norm_gradients", grid_of(columns, 1), Columns::threads, p);
  }
  if (dx) launch("strata_batch_norm_backward", grid_of(columns, columns.slices), Columns::threads, p);
}

}}}  // namespace strata::STRATA_ABI::cuda
