#pragma once

#include <cmath>
#include <limits>

#include <strata/eigen/activation.hpp>

// Keras's losses of one row, in double: predictions p and targets t, [classes] each.

namespace strata { inline namespace STRATA_ABI { namespace eigen {

struct RowLoss {
  double value;
  Row<double> gradient;  ///< by the prediction
};

/// Keras's epsilon(), rounded as its tensors are: in float the upper bound is 1 - 2^-23.
struct ClipBounds {
  double low, high;
};
template <class T>
inline constexpr ClipBounds clip_bounds{double(T(1e-7)), double(T(1 - 1e-7))};

inline RowLoss mean_squared_error(const Row<double>& p, const Row<double>& t) {
  return {(p - t).square().mean(), 2 * (p - t) / double(p.size())};
}

inline RowLoss mean_absolute_error(const Row<double>& p, const Row<double>& t) {
  const Row<double> d = p - t;  // where there is none, d itself is the slope: 0 or NaN
  return {d.abs().mean(), (d > 0).select(1, (d < 0).select(-1, d)) / double(p.size())};
}
inline RowLoss huber(double delta, const Row<double>& p, const Row<double>& t) {
  const Row<double> d = p - t;
  const double value = (d.abs() > delta).select(delta * (d.abs() - delta / 2), d.square() / 2).mean();
  return {value, clip(d, -delta, delta) / double(p.size())};
}

inline RowLoss binary_crossentropy(ClipBounds bounds, const Row<double>& p, const Row<double>& t) {
  const Row<double> q = clip(p, bounds.low, bounds.high);
  const double value = -(t * q.log() + (1 - t) * (1 - q).log()).mean();
  // What was clipped has no slope; p * 0 keeps NaN.
  const Row<double> gradient = (q == p).select((1 - t) / (1 - q) - t / q, p * 0);
  return {value, gradient / double(p.size())};
}
inline RowLoss binary_crossentropy_from_logits(const Row<double>& z, const Row<double>& t) {
  const double value = ((z < 0).select(0, z) - z * t + (-z.abs()).exp().log1p()).mean();
  return {value, (z.logistic() - t) / double(z.size())};
}

inline RowLoss categorical_crossentropy_from_logits(const Row<double>& z, const Row<double>& t) {
  const double top = z.maxCoeff<Eigen::PropagateNaN>();
  const Row<double> powers = (z - top).exp();
  const double log_sum = top + std::log(powers.sum());
  const double value = (t != 0).select(t * (log_sum - z), 0).sum();
  return {value, t.sum() * powers / powers.sum() - t};
}
/// Probabilities are divided by their sum, then clipped.
inline RowLoss categorical_crossentropy(ClipBounds bounds, const Row<double>& p, const Row<double>& t) {
  const double sum = p.sum();
  const Row<double> q = p / sum, clipped = clip(q, bounds.low, bounds.high);
  const Row<double> dq = (q == clipped).select(-t / clipped, q * 0);
  return {-(t * clipped.log()).sum(), (dq - (dq * q).sum()) / sum};
}
/// Unlike its dense sister it takes the logarithm of clipped probabilities for logits.
inline RowLoss sparse_categorical_crossentropy(ClipBounds bounds, const Row<double>& p,
                                               const Row<double>& t) {
  const Row<double> clipped = clip(p, bounds.low, bounds.high);
  RowLoss loss = categorical_crossentropy_from_logits(clipped.log(), t);
  loss.gradient = (clipped == p).select(loss.gradient / p, p * 0).eval();
  return loss;
}

inline RowLoss row_loss(const LossSpec& spec, ClipBounds bounds, const Row<double>& p, Row<double> t) {
  const double kept = 1 - spec.label_smoothing;
  switch (spec.kind) {
    case LossKind::mean_squared_error:
      return mean_squared_error(p, t);
    case LossKind::mean_absolute_error:
      return mean_absolute_error(p, t);
    case LossKind::huber:
      return huber(spec.delta, p, t);
    case LossKind::binary_crossentropy:
      t = t * kept + spec.label_smoothing / 2;
      return spec.from_logits ? binary_crossentropy_from_logits(p, t) : binary_crossentropy(bounds, p, t);
    case LossKind::categorical_crossentropy:
      t = t * kept + spec.label_smoothing / double(t.size());
      return spec.from_logits ? categorical_crossentropy_from_logits(p, t)
                              : categorical_crossentropy(bounds, p, t);
    case LossKind::sparse_categorical_crossentropy:
      return spec.from_logits ? categorical_crossentropy_from_logits(p, t)
                              : sparse_categorical_crossentropy(bounds, p, t);
  }
  return {};
}

/// As Backend<T>::loss says.
template <class T>
void loss(const LossSpec& spec, const Predictions<T>& of, double gradient_scale, T* losses, T* gradient) {
  const Index classes = of.classes;
  const T* const target = of.target;
  for (Index r = 0; r < of.rows; ++r) {
    const Row<double> p = Eigen::Map<const Row<T>>(of.values + r * classes, classes).template cast<double>();
    Row<double> t = Row<double>::Zero(classes);
    bool known = true;
    if (spec.kind == LossKind::sparse_categorical_crossentropy) {
      known = target[r] >= 0 && target[r] < T(classes);
      if (known) t(Index(target[r])) = 1;
    } else {
      t = Eigen::Map<const Row<T>>(target + r * classes, classes).template cast<double>();
    }
    RowLoss row = row_loss(spec, clip_bounds<T>, p, t);
    if (!known) {  // no such class
      row.value = std::numeric_limits<double>::quiet_NaN();
      row.gradient.setConstant(row.value);
    }
    losses[r] = T(row.value * of.weight(r));
    if (gradient)
      Eigen::Map<Row<T>>(gradient + r * classes, classes) =
          (row.gradient * (of.weight(r) * gradient_scale)).template cast<T>();
  }
}

}}}  // namespace strata::STRATA_ABI::eigen
