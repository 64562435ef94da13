#pragma once

#include <cmath>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_COLD STRATA_INLINE void CpuBackend::batch_norm(const BatchNormSpec<float>& spec, double momentum,
                                                      const float* x, Moments<float> batch,
                                                      Moments<float> moving, float* y) {
  const std::int64_t rows = spec.rows, channels = spec.channels;
  const double count = static_cast<double>(rows);
  const auto store = [&](const std::vector<double>& sums, float* now, float* average) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const double value = sums[static_cast<std::size_t>(c)] / count;
      now[c] = static_cast<float>(value);
      average[c] = static_cast<float>(momentum * static_cast<double>(average[c]) + (1 - momentum) * value);
    }
  };
  // Deviations from the mean, not E[x^2] - E[x]^2: that difference cancels for a large mean.
  const auto sums = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_sums(n, channels, x + first * channels, out);
  });
  store(sums, batch.mean, moving.mean);
  const auto squares = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_squares(n, channels, x + first * channels, batch.mean, out);
  });
  store(squares, batch.variance, moving.variance);
  batch_norm_inference(spec, x, {batch.mean, batch.variance}, y);
}

STRATA_COLD STRATA_INLINE void CpuBackend::batch_norm_inference(const BatchNormSpec<float>& spec,
                                                                const float* x, Moments<const float> moments,
                                                                float* y) {
  const std::int64_t channels = spec.channels;
  const Activation& f = spec.activation;
  const ProductEpilogue epilogue = epilogue_of({.activation = f}, channels);
  const auto coefficients = workspace_.lease(2 * channels);
  float* scale = coefficients.data();
  float* offset = scale + channels;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double gamma = spec.gamma ? static_cast<double>(spec.gamma[c]) : 1.0;
    scale[c] = static_cast<float>(gamma / std::sqrt(static_cast<double>(moments.variance[c]) + spec.epsilon));
    offset[c] = spec.beta ? spec.beta[c] : 0.f;
  }
  // A few rows at a time, so that the activation finds them in the cache.
  pool_.for_range(spec.rows, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    float* const to = y + begin * channels;
    kernels_.normalize(end - begin, channels, moments.mean, scale, offset, x + begin * channels, to);
    kernels_.finish(epilogue, end - begin, channels, channels, to);
  });
  if (f.kind == Activation::Kind::softmax) activation(f, spec.rows, channels, y, y);
}

STRATA_COLD STRATA_INLINE void CpuBackend::batch_norm_backward(const BatchNormSpec<float>& spec,
                                                               const float* x, Moments<const float> moments,
                                                               bool fixed, const float* dy, float* dx,
                                                               Gradient<float> dgamma,
                                                               Gradient<float> dbeta) {
  const std::int64_t rows = spec.rows, channels = spec.channels;
  const auto beta_sums = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_sums(n, channels, dy + first * channels, out);
  });
  const auto products = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_products(n, channels, x + first * channels, moments.mean, dy + first * channels, out);
  });
  const auto coefficients = workspace_.lease(3 * channels);
  float* a = coefficients.data();
  float* b = a + channels;
  float* d = b + channels;
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double inverse = 1 / std::sqrt(static_cast<double>(moments.variance[c]) + spec.epsilon);
    const double gamma_gradient = products[i] * inverse;
    if (dgamma.data)
      dgamma.data[c] = static_cast<float>(gamma_gradient +
                                          (dgamma.accumulate ? static_cast<double>(dgamma.data[c]) : 0.0));
    if (dbeta.data)
      dbeta.data[c] =
          static_cast<float>(beta_sums[i] + (dbeta.accumulate ? static_cast<double>(dbeta.data[c]) : 0.0));
    // dx = scale (dy - mean(dy) - x^ mean(dy x^)), x^ = (x - mean) / sqrt(variance + epsilon).
    const double scale = (spec.gamma ? static_cast<double>(spec.gamma[c]) : 1.0) * inverse;
    const double count = static_cast<double>(rows);
    const double slope = fixed ? 0 : -scale * inverse * gamma_gradient / count;
    a[c] = static_cast<float>(scale);
    b[c] = static_cast<float>(slope);
    d[c] = static_cast<float>(fixed ? 0 : beta_sums[i] / count);
  }
  if (!dx) return;
  pool_.for_range(rows, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t at = begin * channels;
    kernels_.normalize_backward(end - begin, channels, moments.mean, a, b, d, dy + at, x + at, dx + at);
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
