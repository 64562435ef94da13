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
void normalize(const BatchNormSpec<T>& spec, ArrayMap<const T> x, Moments<const T> moments, ArrayMap<T> y) {
  const Index channels = x.cols();
  const Row<double> mean = channel_row(moments.mean, channels);
  const Row<double> scale =
      channel_row(spec.gamma, channels, 1) / (channel_row(moments.variance, channels) + spec.epsilon).sqrt();
  const Row<double> offset = channel_row(spec.beta, channels, 0);
  y = (((x.template cast<double>().rowwise() - mean).rowwise() * scale).rowwise() + offset)
          .template cast<T>();
}

/// Mean and biased variance of the rows, towards which the moving ones go.
template <class T>
void take_moments(ArrayMap<const T> x, double momentum, Moments<T> batch, Moments<T> moving) {
  const double rows = double(x.rows());
  const auto store_both = [&](const Row<double>& values, T* now, T* average) {
    store<T>(momentum * channel_row<T>(average, x.cols()) + (1 - momentum) * values, {average});
    store<T>(values, {now});
  };
  store_both(column_sums<T>(x) / rows, batch.mean, moving.mean);
  const Row<double> mean = channel_row<T>(batch.mean, x.cols());
  store_both((x.template cast<double>().rowwise() - mean).square().colwise().sum() / rows, batch.variance,
             moving.variance);
}

/// With n = (x - mean) / deviation: dgamma = sum(dy * n), dbeta = sum(dy), and dx = gamma / deviation * dy,
/// less (dbeta + n * dgamma) / rows within the brackets where mean and variance are functions of x too.
template <class T>
void batch_norm_backward(const BatchNormSpec<T>& spec, ArrayMap<const T> x, Moments<const T> moments,
                         bool fixed, ArrayMap<const T> dy, T* dx, Gradient<T> dgamma, Gradient<T> dbeta) {
  const Index channels = x.cols();
  const Row<double> inverse = (channel_row(moments.variance, channels) + spec.epsilon).sqrt().inverse();
  const Array<double> normalized =
      (x.template cast<double>().rowwise() - channel_row(moments.mean, channels)).rowwise() * inverse;
  const Row<double> sum_dy = column_sums<T>(dy);
  const Row<double> sum_dy_n = (dy.template cast<double>() * normalized).colwise().sum();
  if (dx) {
    Array<double> gradient = dy.template cast<double>();
    if (!fixed) gradient -= ((normalized.rowwise() * sum_dy_n).rowwise() + sum_dy) / double(x.rows());
    const Row<double> scale = inverse * channel_row(spec.gamma, channels, 1);
    ArrayMap<T>(dx, x.rows(), channels) = (gradient.rowwise() * scale).template cast<T>();
  }
  if (dgamma.data) store(sum_dy_n, dgamma);
  if (dbeta.data) store(sum_dy, dbeta);
}

}}}  // namespace strata::STRATA_ABI::eigen
