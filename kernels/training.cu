#include <strata/cuda/kernels/training.hpp>
#include <strata/tensor/nadam.hpp>

#include "sums.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

// Losses follow keras.losses, in double: probabilities are clipped as Keras clips them, in float, and nothing
// flows back through what was clipped.

constexpr double lowest_probability = double(1e-7f), highest_probability = double(1.0f - 1e-7f);

__device__ inline double clip_probability(double p) {
  return p < lowest_probability ? lowest_probability : p > highest_probability ? highest_probability : p;
}

/// The maximum over the `lanes` threads of a row, as lane_sum; NaN wins.
__device__ inline double row_maximum(double value, int lanes) {
  for (int offset = lanes / 2; offset; offset /= 2) {
    const double other = __shfl_xor_sync(0xffffffffu, value, offset);
    value = value != value || value > other ? value : other;
  }
  return value;
}

/// This thread's share of a row: every `lanes`th class from its own lane on. Beyond the last row there are
/// none.
struct LossRow {
  const Loss& p;
  Int row;
  int lane;
  Int label = -1;  ///< of sparse targets
  double weight = 1;

  __device__ Int element(Int c) const { return row * p.classes + c; }
  __device__ double prediction(Int c) const { return double(p.prediction[element(c)]); }
  __device__ double target(Int c) const {
    if (p.kind == loss_kind::sparse_categorical_crossentropy) return c == label ? 1 : 0;
    return double(p.target[element(c)]) * p.target_scale + p.target_offset;
  }
  template <class F>
  __device__ void for_classes(F f) const {
    if (row < p.rows)
      for (Int c = lane; c < p.classes; c += p.lanes) f(c);
  }
  /// The sum of f(class) over the row.
  template <class F>
  __device__ double sum(F f) const {
    double part = 0;
    for_classes([&](Int c) { part += f(c); });
    return lane_sum(part, p.lanes);
  }
  /// Writes the derivatives f(class).
  template <class F>
  __device__ void store_gradient(F f) const {
    if (!p.gradient) return;
    for_classes([&](Int c) { p.gradient[element(c)] = float(f(c) * weight * p.gradient_scale); });
  }
};

__device__ inline double mean_squared_error(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) { return 2 * (row.prediction(c) - row.target(c)) / count; });
  return row.sum([&](Int c) {
    const double difference = row.prediction(c) - row.target(c);
    return difference * difference / count;
  });
}

__device__ inline double mean_absolute_error(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) {
    const double d = row.prediction(c) - row.target(c);
    return (d > 0 ? 1 : d < 0 ? -1 : d) / count;
  });
  return row.sum([&](Int c) { return fabs(row.prediction(c) - row.target(c)) / count; });
}

__device__ inline double huber(const LossRow& row) {
  const double count = double(row.p.classes), delta = row.p.delta;
  row.store_gradient([&](Int c) {
    const double d = row.prediction(c) - row.target(c);
    return (d < -delta ? -delta : d > delta ? delta : d) / count;
  });
  return row.sum([&](Int c) {
    const double size = fabs(row.prediction(c) - row.target(c));
    return (size > delta ? delta * (size - delta / 2) : size * size / 2) / count;
  });
}

__device__ inline double binary_crossentropy_from_logits(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) {
    const double z = row.prediction(c), e = exp(-fabs(z));
    return ((z < 0 ? e : 1) / (1 + e) - row.target(c)) / count;
  });
  return row.sum([&](Int c) {
    const double z = row.prediction(c);
    return ((z < 0 ? 0 : z) - z * row.target(c) + log1p(exp(-fabs(z)))) / count;
  });
}

__device__ inline double binary_crossentropy(const LossRow& row) {
  const double count = double(row.p.classes);
  row.store_gradient([&](Int c) {
    const double p = row.prediction(c), t = row.target(c);
    return clip_probability(p) == p ? ((1 - t) / (1 - p) - t / p) / count : p * 0;
  });
  return row.sum([&](Int c) {
    const double q = clip_probability(row.prediction(c)), t = row.target(c);
    return -(t * log(q) + (1 - t) * log(1 - q)) / count;
  });
}

/// Keras divides by the sum before it clips, so the derivative has a second term.
__device__ inline double categorical_crossentropy(const LossRow& row) {
  const double total = row.sum([&](Int c) { return row.prediction(c); });
  const auto derivative = [&](Int c) {
    const double q = row.prediction(c) / total;
    return clip_probability(q) == q ? -row.target(c) / q : q * 0;
  };
  if (row.p.gradient) {
    const double through_total = row.sum([&](Int c) { return derivative(c) * (row.prediction(c) / total); });
    row.store_gradient([&](Int c) { return (derivative(c) - through_total) / total; });
  }
  return row.sum([&](Int c) { return -row.target(c) * log(clip_probability(row.prediction(c) / total)); });
}

/// Of logits(class), whose derivatives by the prediction are derivative(class, derivative by the logit).
template <class Logit, class Derivative>
__device__ inline double softmax_crossentropy(const LossRow& row, Logit logit, Derivative derivative) {
  double top = -double(INFINITY);
  row.for_classes([&](Int c) {
    const double z = logit(c);
    top = top != top || top > z ? top : z;
  });
  top = row_maximum(top, row.p.lanes);
  const double powers = row.sum([&](Int c) { return exp(logit(c) - top); }), log_sum = top + log(powers);
  if (row.p.gradient) {
    const double total = row.sum([&](Int c) { return row.target(c); });
    row.store_gradient(
        [&](Int c) { return derivative(c, total * (exp(logit(c) - top) / powers) - row.target(c)); });
  }
  return row.sum([&](Int c) {
    const double t = row.target(c);
    return t != 0 ? t * (log_sum - logit(c)) : 0;
  });
}

STRATA_KERNEL(strata_loss, Loss) {
  LossRow row{p, first() / p.lanes, int(threadIdx.x) % p.lanes};
  const bool inside = row.row < p.rows, sparse = p.kind == loss_kind::sparse_categorical_crossentropy;
  const float target = inside && sparse ? p.target[row.row] : 0.0f;
  const bool known = !sparse || (target >= 0 && target < float(p.classes));
  if (sparse && known) row.label = Int(target);
  if (inside && p.sample_weight) row.weight = double(p.sample_weight[row.row]);
  const auto probability_or_logit = [&](Int c) { return row.prediction(c); };

  double value = 0;
  if (p.kind == loss_kind::mean_squared_error)
    value = mean_squared_error(row);
  else if (p.kind == loss_kind::mean_absolute_error)
    value = mean_absolute_error(row);
  else if (p.kind == loss_kind::huber)
    value = huber(row);
  else if (p.kind == loss_kind::binary_crossentropy)
    value = p.from_logits ? binary_crossentropy_from_logits(row) : binary_crossentropy(row);
  else if (p.from_logits)
    value =
        softmax_crossentropy(row, probability_or_logit, [](Int, double derivative) { return derivative; });
  else if (!sparse)
    value = categorical_crossentropy(row);
  else  // unlike its dense sister it takes the logarithm of clipped probabilities for logits
    value = softmax_crossentropy(
        row, [&](Int c) { return log(clip_probability(row.prediction(c))); },
        [&](Int c, double derivative) {
          const double q = row.prediction(c);
          return clip_probability(q) == q ? derivative / q : q * 0;
        });

  if (!known) {  // no such class
    value = NAN;
    row.store_gradient([](Int) { return double(NAN); });
  }
  if (inside && row.lane == 0) p.losses[row.row] = float(value * row.weight);
}

STRATA_KERNEL(strata_penalty, Penalty) {
  double sum = 0;
  for (Int i = first(); i < p.count; i += stride()) {
    const double w = double(p.w[i]);
    sum += p.l1 * fabs(w) + p.l2 * w * w;
    if (p.gradient)
      p.gradient[i] = float(double(p.gradient[i]) + p.l1 * double((w > 0) - (w < 0)) + 2 * p.l2 * w);
  }
  hand_in(p.target, 0, sum);
}

/// Counts the step and finds what all weights share, in one thread.
STRATA_KERNEL(strata_begin_step, OptimizerStep) {
  const double step = p.state->iteration += 1, learning_rate = p.state->learning_rate;
  double rate = learning_rate;
  double gradient_rate = 0, epsilon = p.epsilon;
  if (p.kind == optimizer_kind::adam) rate *= sqrt(1 - pow(p.beta_2, step)) / (1 - pow(p.beta_1, step));
  if (p.kind == optimizer_kind::nadam) {
    const NadamMomentum u(p.beta_1, step);
    const double root = sqrt(1 - pow(p.beta_2, step));
    gradient_rate = rate * root * (1 - u.now) / (1 - u.product);
    epsilon *= root;
    rate *= root * u.next / (1 - u.product * u.next);
  }
  p.rates->rate = float(rate);
  p.rates->gradient_rate = float(gradient_rate);
  p.rates->epsilon = float(epsilon);
  p.rates->keep = float(1 - learning_rate * p.weight_decay);
}

/// Formulas are Keras's: what is added to a weight with gradient g; updates the slots s.
__device__ inline float optimizer_delta(const OptimizerStep& p, const StepRates& rates, float g,
                                        float (&s)[3]) {
  const float rate = rates.rate;
  if (p.kind == optimizer_kind::sgd) {
    if (p.momentum == 0) return -rate * g;
    s[0] = p.momentum * s[0] - rate * g;
    return p.nesterov ? p.momentum * s[0] - rate * g : s[0];
  }
  if (p.kind == optimizer_kind::rmsprop || p.kind == optimizer_kind::adagrad) {
    s[0] = p.rho * s[0] + p.one_minus_rho * (g * g);
    if (p.centered) s[2] = p.rho * s[2] + p.one_minus_rho * g;
    const float increment = rate * g / sqrtf(s[0] - (p.centered ? s[2] * s[2] : 0.0f) + p.epsilon);
    if (p.momentum == 0) return -increment;
    s[1] = p.momentum * s[1] + increment;
    return -s[1];
  }
  s[0] += p.one_minus_beta_1 * (g - s[0]);
  s[1] += p.one_minus_beta_2 * (g * g - s[1]);
  if (p.amsgrad) s[2] = s[2] < s[1] ? s[1] : s[2];
  return -(rate * s[0] + rates.gradient_rate * g) / (sqrtf(p.amsgrad ? s[2] : s[1]) + rates.epsilon);
}

/// A block has OptimizerStep::block_size elements of one weight.
STRATA_KERNEL(strata_optimizer_step, OptimizerStep) {
  int index = 0;
  while (p.updates[index].end_block <= blockIdx.x) ++index;
  const WeightUpdate& u = p.updates[index];
  const Int begin = (blockIdx.x - (index ? p.updates[index - 1].end_block : 0)) * OptimizerStep::block_size;
  const Int rest = u.size - begin,
            count = rest < OptimizerStep::block_size ? rest : OptimizerStep::block_size;

  const StepRates rates = *p.rates;
  const float keep = rates.keep, bound = p.clip_value;
  const double norm = p.clip_norm > 0 ? sqrt(*u.squares) : 0;
  const float gradient_scale = norm > p.clip_norm ? float(p.clip_norm / norm) : 1.0f;

  constexpr int together = 4;  // elements of a thread whose way from memory overlaps
  for (Int start = threadIdx.x; start < count; start += together * blockDim.x) {
    float w[together] = {}, g[together] = {}, s[together][3] = {};
    for (int k = 0; k < together; ++k) {
      const Int offset = start + k * Int(blockDim.x), i = begin + offset;
      if (offset >= count) continue;
      w[k] = u.value[i];
      g[k] = u.gradient[i];
      for (int slot = 0; slot < 3; ++slot)
        if (u.slots[slot]) s[k][slot] = u.slots[slot][i];
    }
    for (int k = 0; k < together; ++k) {
      const Int offset = start + k * Int(blockDim.x), i = begin + offset;
      if (offset >= count) continue;
      float gradient = g[k] * gradient_scale;
      if (bound > 0) gradient = gradient < -bound ? -bound : gradient > bound ? bound : gradient;
      u.value[i] = w[k] * keep + optimizer_delta(p, rates, gradient, s[k]);
      for (int slot = 0; slot < 3; ++slot)
        if (u.slots[slot]) u.slots[slot][i] = s[k][slot];
    }
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
