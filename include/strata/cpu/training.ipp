#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/tasks.hpp>
#include <strata/tensor/nadam.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

// Losses are a vanishing part of the work: plain double arithmetic, exactness first. They follow
// keras.losses: probabilities are clipped as Keras clips them, in float, and nothing flows back through what
// was clipped.
namespace losses {

inline constexpr double lowest = static_cast<double>(1e-7f);
inline constexpr double highest = static_cast<double>(1.0f - 1e-7f);

inline double clip(double p) {
  return p < lowest ? lowest : p > highest ? highest : p;
}
inline bool inside(double p) {
  return !(p < lowest || p > highest);
}

/// One row: prediction p and target t as functions of the class; returns the loss and hands its derivatives
/// to gradient(class, value).
template <class P, class T, class G>
double binary_crossentropy(bool from_logits, std::int64_t classes, P p, T t, G gradient) {
  double sum = 0;
  const double mean = 1.0 / static_cast<double>(classes);
  for (std::int64_t c = 0; c < classes; ++c) {
    const double x = p(c), z = t(c);
    if (from_logits) {
      const double e = std::exp(-std::abs(x));
      sum += (x < 0 ? 0 : x) - x * z + std::log1p(e);
      gradient(c, mean * ((x < 0 ? e : 1) / (1 + e) - z));
    } else {
      const double q = clip(x);
      sum -= z * std::log(q) + (1 - z) * std::log(1 - q);
      gradient(c, inside(x) ? mean * ((1 - z) / (1 - q) - z / q) : 0.0);
    }
  }
  return sum * mean;
}

/// log(sum(exp(p))), without overflow.
template <class P>
double log_sum_exp(std::int64_t classes, P p) {
  double largest = p(0), sum = 0;
  for (std::int64_t c = 1; c < classes; ++c) largest = std::max(largest, p(c));
  for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(p(c) - largest);
  return largest + std::log(sum);
}

template <class P, class T, class G>
double categorical_crossentropy(bool from_logits, std::int64_t classes, P p, T t, G gradient) {
  double loss = 0;
  if (from_logits) {
    const double normalizer = log_sum_exp(classes, p);
    double mass = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      mass += t(c);
      loss -= t(c) * (p(c) - normalizer);
    }
    for (std::int64_t c = 0; c < classes; ++c) gradient(c, mass * std::exp(p(c) - normalizer) - t(c));
    return loss;
  }
  double total = 0;  // Keras divides by the sum before it clips, so the derivative has a second term
  for (std::int64_t c = 0; c < classes; ++c) total += p(c);
  double through_total = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double q = p(c) / total;
    loss -= t(c) * std::log(clip(q));
    if (inside(q)) through_total += t(c);
  }
  for (std::int64_t c = 0; c < classes; ++c) {
    const double q = p(c) / total;
    gradient(c, (through_total - (inside(q) ? t(c) / q : 0.0)) / total);
  }
  return loss;
}

/// A target that is no class gives NaN, as in TensorFlow.
template <class P, class G>
double sparse_categorical_crossentropy(bool from_logits, std::int64_t classes, P p, double target,
                                       G gradient) {
  if (!(target >= 0 && target < static_cast<double>(classes))) {
    for (std::int64_t c = 0; c < classes; ++c) gradient(c, std::numeric_limits<double>::quiet_NaN());
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto label = static_cast<std::int64_t>(target);
  // Probabilities become logits by the logarithm, and those are normalised again.
  const auto logit = [&](std::int64_t c) { return from_logits ? p(c) : std::log(clip(p(c))); };
  const double normalizer = log_sum_exp(classes, logit);
  for (std::int64_t c = 0; c < classes; ++c) {
    const double d = std::exp(logit(c) - normalizer) - (c == label ? 1 : 0);
    gradient(c, from_logits ? d : inside(p(c)) ? d / p(c) : 0.0);
  }
  return normalizer - logit(label);
}

}  // namespace losses

STRATA_COLD STRATA_INLINE void CpuBackend::loss(const LossSpec& spec, const Predictions<float>& of,
                                                double gradient_scale, float* losses_out,
                                                float* gradient_out) {
  const std::int64_t classes = of.classes;
  const bool sparse = spec.kind == LossKind::sparse_categorical_crossentropy;
  const double smoothing = spec.label_smoothing;
  const double share = spec.kind == LossKind::binary_crossentropy ? 0.5 : 1.0 / static_cast<double>(classes);
  const auto row_loss = [&](std::int64_t row) {
    const float* x = of.values + row * classes;
    const float* labels = of.target + (sparse ? row : row * classes);
    const double weight = of.weight(row);
    const auto p = [&](std::int64_t c) { return static_cast<double>(x[c]); };
    const auto t = [&](std::int64_t c) {
      return static_cast<double>(labels[c]) * (1 - smoothing) + share * smoothing;
    };
    const auto gradient = [&](std::int64_t c, double d) {
      if (gradient_out) gradient_out[row * classes + c] = static_cast<float>(gradient_scale * weight * d);
    };
    double loss = 0;
    switch (spec.kind) {
      case LossKind::binary_crossentropy:
        loss = losses::binary_crossentropy(spec.from_logits, classes, p, t, gradient);
        break;
      case LossKind::categorical_crossentropy:
        loss = losses::categorical_crossentropy(spec.from_logits, classes, p, t, gradient);
        break;
      case LossKind::sparse_categorical_crossentropy:
        loss = losses::sparse_categorical_crossentropy(spec.from_logits, classes, p,
                                                       static_cast<double>(*labels), gradient);
        break;
      case LossKind::mean_squared_error:
        for (std::int64_t c = 0; c < classes; ++c) {
          const double d = p(c) - static_cast<double>(labels[c]);
          loss += d * d / static_cast<double>(classes);
          gradient(c, 2 * d / static_cast<double>(classes));
        }
        break;
      case LossKind::mean_absolute_error:
        for (std::int64_t c = 0; c < classes; ++c) {
          const double d = p(c) - static_cast<double>(labels[c]);
          loss += std::abs(d) / static_cast<double>(classes);
          gradient(c, (d > 0 ? 1 : d < 0 ? -1 : d) / static_cast<double>(classes));
        }
        break;
      case LossKind::huber:
        for (std::int64_t c = 0; c < classes; ++c) {
          const double d = p(c) - static_cast<double>(labels[c]), size = std::abs(d), delta = spec.delta;
          loss += (size > delta ? delta * (size - delta / 2) : d * d / 2) / static_cast<double>(classes);
          gradient(c, std::clamp(d, -delta, delta) / static_cast<double>(classes));
        }
        break;
    }
    losses_out[row] = static_cast<float>(weight * loss);
  };
  pool_.for_range(of.rows, row_grain(16 * classes), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) row_loss(row);
  });
}

STRATA_COLD STRATA_INLINE double CpuBackend::sum_parts(std::int64_t count,
                                                       FunctionRef<double(std::int64_t, std::int64_t)> part) {
  std::vector<double> parts(static_cast<std::size_t>(divide_up(count, elementwise_grain)));
  pool_.for_range(count, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / elementwise_grain)] = part(begin, end - begin);
  });
  double sum = 0;
  for (const double one : parts) sum += one;
  return sum;
}

STRATA_COLD STRATA_INLINE void CpuBackend::add_sum(std::int64_t count, double scale, const float* x,
                                                   double* to) {
  *to += scale * sum_parts(count, [&](std::int64_t begin, std::int64_t n) {
           double sum = 0;
           for (std::int64_t i = begin; i < begin + n; ++i) sum += static_cast<double>(x[i]);
           return sum;
         });
}

STRATA_COLD STRATA_INLINE void CpuBackend::add_sum_of_squares(std::int64_t count, const float* x,
                                                              double* to) {
  *to += sum_parts(count,
                   [&](std::int64_t begin, std::int64_t n) { return kernels_.sum_of_squares(n, x + begin); });
}

STRATA_COLD STRATA_INLINE void CpuBackend::l1_l2_penalty(std::int64_t count, double l1, double l2,
                                                         const float* w, float* gradient, double* to) {
  *to += sum_parts(count, [&](std::int64_t begin, std::int64_t n) {
    return kernels_.l1_l2(n, l1, l2, w + begin, gradient ? gradient + begin : nullptr);
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                                                          std::span<const OptimizerUpdate<float>> updates) {
  const double step = state->iteration += 1;
  OptimizerCoefficients common{};
  common.momentum = static_cast<float>(spec.momentum);
  common.rho = static_cast<float>(spec.rho);
  common.one_minus_rho = static_cast<float>(1 - spec.rho);
  common.one_minus_beta_1 = static_cast<float>(1 - spec.beta_1);
  common.one_minus_beta_2 = static_cast<float>(1 - spec.beta_2);
  common.epsilon = static_cast<float>(spec.epsilon);
  common.decay = static_cast<float>(state->learning_rate * spec.weight_decay);
  common.clip_value = static_cast<float>(spec.clip_value);
  common.nesterov = spec.nesterov;
  common.centered = spec.centered;
  common.amsgrad = spec.amsgrad;
  double rate = state->learning_rate;
  if (spec.kind == OptimizerKind::adam)
    rate *= std::sqrt(1 - std::pow(spec.beta_2, step)) / (1 - std::pow(spec.beta_1, step));
  if (spec.kind == OptimizerKind::adagrad)
    common.rho = common.one_minus_rho = 1;  // RMSprop that forgets nothing
  if (spec.kind == OptimizerKind::nadam) {
    const NadamMomentum u(spec.beta_1, step);
    const double root = std::sqrt(1 - std::pow(spec.beta_2, step));
    common.gradient_rate = static_cast<float>(rate * root * (1 - u.now) / (1 - u.product));
    common.epsilon = static_cast<float>(spec.epsilon * root);
    rate *= root * u.next / (1 - u.product * u.next);
  }
  common.learning_rate = static_cast<float>(rate);

  struct Chunk {
    std::size_t update;
    std::int64_t begin, end;
  };
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < updates.size(); ++i)
    for (std::int64_t begin = 0; begin < updates[i].size; begin += elementwise_grain)
      chunks.push_back({i, begin, std::min(updates[i].size, begin + elementwise_grain)});

  pool_.run(static_cast<std::int64_t>(chunks.size()), [&](std::int64_t task, int) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(task)];
    const OptimizerUpdate<float>& u = updates[chunk.update];
    OptimizerCoefficients c = common;
    const double norm = spec.clip_norm > 0 ? std::sqrt(*u.squares) : 0;
    c.gradient_scale = norm > spec.clip_norm ? static_cast<float>(spec.clip_norm / norm) : 1.f;
    const auto slot = [&](int i) { return u.slots[i] ? u.slots[i] + chunk.begin : nullptr; };
    const std::int64_t count = chunk.end - chunk.begin;
    const float* gradient = u.gradient + chunk.begin;
    float* value = u.value + chunk.begin;
    switch (spec.kind) {
      case OptimizerKind::sgd:
        return kernels_.sgd(c, count, gradient, value, slot(0));
      case OptimizerKind::rmsprop:
      case OptimizerKind::adagrad:
        return kernels_.rmsprop(c, count, gradient, value, slot(0), slot(1), slot(2));
      case OptimizerKind::adam:
      case OptimizerKind::nadam:
        return kernels_.adam(c, count, gradient, value, slot(0), slot(1), slot(2));
    }
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
