#pragma once

#include <strata/eigen/map.hpp>
#include <strata/tensor/backend.hpp>

// Batch normalization of x [rows, channels] per channel. Statistics are summed in double.

namespace strata { inline namespace STRATA_ABI { namespace eigen {

/// One number per channel in double; `otherwise` where there are none.
template <class T>
Row<double> channel_row(const T* values, Index channels, double otherwise = 0) {
  if (!values) return Row<double>::Constant(channels, otherwise);
  return Eigen::Map<const Row<T>>(values, channels).template cast<double>();
}

/// Writes a gradient per channel, or adds it.
template <class T>
void store(const Row<double>& values, Gradient<T> gradient) {
  Eigen::Map<Row<T>> to(gradient.data, values.size());
  if (gradient.accumulate)
    to = (to.template cast<double>() + values).template cast<T>();
  else
    to = values.template cast<T>();
}

/// Sums of the columns of dy [rows, channels].
template <class T>
Row<double> column_sums(ArrayMap<const T> dy) {
  return dy.template cast<double>().colwise().sum();
}

/// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta
template <class T>
void normalize(double epsilon, ArrayMap<const T> x, const T* gamma, const T* beta, const Row<double>& mean,
               const Row<double>& variance, ArrayMap<T> y) {
  const Row<double> scale = channel_row(gamma, x.cols(), 1) / (variance + epsilon).sqrt();
  const Row<double> offset = channel_row(beta, x.cols(), 0);
  y = (((x.template cast<double>().rowwise() - mean).rowwise() * scale).rowwise() + offset)
          .template cast<T>();
}

/// Normalises with the mean and the biased variance of the rows, and writes these.
template <class T>
void batch_norm(double epsilon, ArrayMap<const T> x, const T* gamma, const T* beta, T* mean, T* variance,
                ArrayMap<T> y) {
  const double rows = double(x.rows());
  const Row<double> means = column_sums<T>(x) / rows;
  const Row<double> variances = (x.template cast<double>().rowwise() - means).square().colwise().sum() / rows;
  normalize<T>(epsilon, x, gamma, beta, means, variances, y);
  store<T>(means, {mean});
  store<T>(variances, {variance});
}

/// With n = (x - mean) / deviation: dgamma = sum(dy * n), dbeta = sum(dy), and dx = gamma / deviation * dy,
/// less (dbeta + n * dgamma) / rows within the brackets where mean and variance are functions of x too.
template <class T>
void batch_norm_backward(double epsilon, bool fixed_statistics, ArrayMap<const T> x, const T* gamma,
                         const T* mean, const T* variance, ArrayMap<const T> dy, T* dx, Gradient<T> dgamma,
                         Gradient<T> dbeta) {
  const Index channels = x.cols();
  const Row<double> inverse = (channel_row(variance, channels) + epsilon).sqrt().inverse();
  const Array<double> normalized =
      (x.template cast<double>().rowwise() - channel_row(mean, channels)).rowwise() * inverse;
  const Row<double> sum_dy = column_sums<T>(dy);
  const Row<double> sum_dy_n = (dy.template cast<double>() * normalized).colwise().sum();
  if (dx) {
    Array<double> gradient = dy.template cast<double>();
    if (!fixed_statistics)
      gradient -= ((normalized.rowwise() * sum_dy_n).rowwise() + sum_dy) / double(x.rows());
    const Row<double> scale = inverse * channel_row(gamma, channels, 1);
    ArrayMap<T>(dx, x.rows(), channels) = (gradient.rowwise() * scale).template cast<T>();
  }
  if (dgamma.data) store(sum_dy_n, dgamma);
  if (dbeta.data) store(sum_dy, dbeta);
}

}}}  // namespace strata::STRATA_ABI::eigen
