#pragma once

#include <cmath>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_INLINE void CpuBackend::batch_norm(std::int64_t rows, std::int64_t channels, double epsilon,
                                          const float* x, const float* gamma, const float* beta, float* mean,
                                          float* variance, float* y) {
  const double count = static_cast<double>(rows);
  // Deviations from the mean, not E[x^2] - E[x]^2: that difference cancels for a large mean.
  const auto sums = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_sums(n, channels, x + first * channels, out);
  });
  for (std::int64_t c = 0; c < channels; ++c)
    mean[c] = static_cast<float>(sums[static_cast<std::size_t>(c)] / count);
  const auto squares = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_squares(n, channels, x + first * channels, mean, out);
  });
  for (std::int64_t c = 0; c < channels; ++c)
    variance[c] = static_cast<float>(squares[static_cast<std::size_t>(c)] / count);
  batch_norm_inference(rows, channels, epsilon, x, gamma, beta, mean, variance, y);
}

STRATA_INLINE void CpuBackend::batch_norm_inference(std::int64_t rows, std::int64_t channels, double epsilon,
                                                    const float* x, const float* gamma, const float* beta,
                                                    const float* mean, const float* variance, float* y) {
  const auto coefficients = workspace_.lease(2 * channels);
  float* scale = coefficients.data();
  float* offset = scale + channels;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double factor =
        (gamma ? static_cast<double>(gamma[c]) : 1.0) / std::sqrt(static_cast<double>(variance[c]) + epsilon);
    scale[c] = static_cast<float>(factor);
    offset[c] = beta ? beta[c] : 0.f;
  }
  pool_.for_range(rows, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    kernels_.normalize(end - begin, channels, mean, scale, offset, x + begin * channels,
                       y + begin * channels);
  });
}

STRATA_INLINE void CpuBackend::batch_norm_backward(std::int64_t rows, std::int64_t channels, double epsilon,
                                                   bool fixed_statistics, const float* x, const float* gamma,
                                                   const float* mean, const float* variance, const float* dy,
                                                   float* dx, Gradient<float> dgamma, Gradient<float> dbeta) {
  const auto beta_sums = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_sums(n, channels, dy + first * channels, out);
  });
  const auto products = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t n, double* out) {
    kernels_.column_products(n, channels, x + first * channels, mean, dy + first * channels, out);
  });
  const auto coefficients = workspace_.lease(3 * channels);
  float* a = coefficients.data();
  float* b = a + channels;
  float* d = b + channels;
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double inverse = 1 / std::sqrt(static_cast<double>(variance[c]) + epsilon);
    const double gamma_gradient = products[i] * inverse;
    if (dgamma.data)
      dgamma.data[c] = static_cast<float>(gamma_gradient +
                                          (dgamma.accumulate ? static_cast<double>(dgamma.data[c]) : 0.0));
    if (dbeta.data)
      dbeta.data[c] =
          static_cast<float>(beta_sums[i] + (dbeta.accumulate ? static_cast<double>(dbeta.data[c]) : 0.0));
    // dx = scale (dy - mean(dy) - x^ mean(dy x^)), x^ = (x - mean) / sqrt(variance + epsilon).
    const double scale = (gamma ? static_cast<double>(gamma[c]) : 1.0) * inverse;
    const double count = static_cast<double>(rows);
    const double slope = fixed_statistics ? 0 : -scale * inverse * gamma_gradient / count;
    a[c] = static_cast<float>(scale);
    b[c] = static_cast<float>(slope);
    d[c] = static_cast<float>(fixed_statistics ? 0 : beta_sums[i] / count);
  }
  if (!dx) return;
  pool_.for_range(rows, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t at = begin * channels;
    kernels_.normalize_backward(end - begin, channels, mean, a, b, d, dy + at, x + at, dx + at);
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
