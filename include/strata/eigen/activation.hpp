#pragma once

#include <cmath>
#include <numbers>

#include <strata/eigen/map.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

// Eigen's min and max may drop NaN; these keep it, so that it is seen in the loss.

/// The larger of two numbers each.
template <class A, class B>
auto maximum(const A& a, const B& b) {
  return (a > b || a.isNaN()).select(a, b);
}
/// x cut to [low, high].
template <class X, class T = typename X::Scalar>
auto clip(const X& x, T low, T high) {
  return (x < low).select(low, (x > high).select(high, x));
}

/// Of one number: beyond the range of Eigen's exp, what multiplies these would show its error.
template <class T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}
/// Probability of less than x under the standard normal distribution.
template <class T>
T normal_cdf(T x) {
  return std::erfc(-x / std::numbers::sqrt2_v<T>) / 2;
}

/// log(1 + e^x), without overflow.
template <class T>
T softplus(T x) {
  return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::abs(x)));
}

/// e^x / sum(e^x) of one row, in place.
template <class RowExpression>
void softmax(RowExpression&& row) {
  row = (row - row.template maxCoeff<Eigen::PropagateNaN>()).exp();
  row /= row.sum();
}

/// y = f(x), both [rows, channels]; y may be x.
template <class T>
void activate(const Activation& f, ArrayMap<const T> x, ArrayMap<T> y) {
  const T slope = T(f.negative_slope);
  switch (f.kind) {
    case Activation::Kind::linear:
      y = x;
      break;
    case Activation::Kind::relu:
      y = (x < T(0)).select(T(0), x);
      break;
    case Activation::Kind::leaky_relu:
      y = (x < T(0)).select(slope * x, x);
      break;
    case Activation::Kind::elu:
      y = (x < T(0)).select(x.expm1(), x);
      break;
    case Activation::Kind::sigmoid:
      y = (T(1) + (-x).exp()).inverse();  // in float, logistic() is off by 6e-4 near -9
      break;
    case Activation::Kind::tanh:
      y = x.tanh();
      break;
    case Activation::Kind::relu6:
      y = clip(x, T(0), T(6));
      break;
    case Activation::Kind::silu:
      y = x.unaryExpr([](T v) { return v * sigmoid(v); });
      break;
    case Activation::Kind::gelu:
      y = x.unaryExpr([](T v) { return v * normal_cdf(v); });
      break;
    case Activation::Kind::selu:
      y = T(selu_scale) * (x < T(0)).select(T(selu_alpha) * x.expm1(), x);
      break;
    case Activation::Kind::softplus:
      y = x.unaryExpr([](T v) { return softplus(v); });
      break;
    case Activation::Kind::softsign:
      y = x / (T(1) + x.abs());
      break;
    case Activation::Kind::hard_sigmoid:
      y = clip(x + T(3), T(0), T(6)) / T(6);
      break;
    case Activation::Kind::mish:
      y = x.unaryExpr([](T v) { return v * std::tanh(softplus(v)); });
      break;
    case Activation::Kind::softmax:
      y = x;
      for (Index r = 0; r < y.rows(); ++r) softmax(y.row(r));
      break;
  }
}

/// dx = f'(x) * dy, where f' follows from x or y = f(x); all [rows, channels], dx may be dy.
template <class T>
void activate_backward(const Activation& f, ArrayMap<const T> x, ArrayMap<const T> y, ArrayMap<const T> dy,
                       ArrayMap<T> dx) {
  const T slope = T(f.negative_slope);
  switch (f.kind) {
    case Activation::Kind::linear:
      dx = dy;
      break;
    case Activation::Kind::relu:
      dx = (y > T(0)).select(dy, T(0));
      break;
    case Activation::Kind::leaky_relu:
      dx = (y > T(0)).select(dy, slope * dy);
      break;
    case Activation::Kind::elu:
      dx = (y < T(0)).select((y + T(1)) * dy, dy);
      break;
    case Activation::Kind::sigmoid:
      dx = y * (T(1) - y) * dy;
      break;
    case Activation::Kind::tanh:
      dx = (T(1) - y.square()) * dy;
      break;
    case Activation::Kind::relu6:
      dx = (y > T(0) && y < T(6)).select(dy, T(0));
      break;
    case Activation::Kind::silu:
      dx = x.unaryExpr([](T v) { return sigmoid(v) * (T(1) + v * sigmoid(-v)); }) * dy;
      break;
    case Activation::Kind::gelu:
      dx = (x.unaryExpr([](T v) { return normal_cdf(v); }) +
            x * (x.square() / T(-2)).exp() / std::sqrt(2 * std::numbers::pi_v<T>)) *
           dy;
      break;
    case Activation::Kind::selu:
      dx = (y < T(0)).select(y + T(selu_scale * selu_alpha), T(selu_scale)) * dy;
      break;
    case Activation::Kind::softplus:
      dx = -(-y).expm1() * dy;
      break;
    case Activation::Kind::softsign:
      dx = (T(1) - y.abs()).square() * dy;
      break;
    case Activation::Kind::hard_sigmoid:
      dx = (y > T(0) && y < T(1)).select(dy / T(6), T(0));
      break;
    case Activation::Kind::mish:
      dx = x.unaryExpr([](T v) {
        const T t = std::tanh(softplus(v));
        return t + v * (1 - t * t) * sigmoid(v);
      }) * dy;
      break;
    case Activation::Kind::softmax:
      for (Index r = 0; r < y.rows(); ++r) dx.row(r) = y.row(r) * (dy.row(r) - (y.row(r) * dy.row(r)).sum());
      break;
  }
}

/// All that follows a product [rows, channels], in place. Pooling is the convolution's.
template <class T>
void finish(const Epilogue<T>& epilogue, ArrayMap<T> y) {
  if (epilogue.scale) y.rowwise() *= Eigen::Map<const Row<T>>(epilogue.scale, y.cols());
  if (epilogue.bias) y.rowwise() += Eigen::Map<const Row<T>>(epilogue.bias, y.cols());
  if (epilogue.residual) y += ArrayMap<const T>(epilogue.residual, y.rows(), y.cols());
  activate<T>(epilogue.activation, {y.data(), y.rows(), y.cols()}, y);
}

}}}  // namespace strata::STRATA_ABI::eigen
