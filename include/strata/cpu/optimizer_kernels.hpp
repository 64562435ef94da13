#pragma once

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// Calls step(w, g, s) for vectors of weights, of gradients (scaled and clipped), and of the slots, and
/// writes w and the slots back. Weights decay before the step, as in Keras. Slots may be null.
template <class Step>
STRATA_ALWAYS_INLINE void for_weights(const OptimizerCoefficients& c, long count, const float* gradient,
                                      float* value, float* slot_0, float* slot_1, float* slot_2, Step step) {
  float* const slots[3] = {slot_0, slot_1, slot_2};
  const Vec keep = splat(1.f - c.decay);
  for (long i = 0; i < count; i += width) {
    const long rest = count - i < width ? count - i : 0;
    const auto read = [&](const float* p) { return load_some(p + i, rest); };
    const auto write = [&](float* p, Vec v) { store_some(p + i, v, rest); };
    Vec w = read(value) * keep, g = read(gradient) * c.gradient_scale, s[3] = {};
    if (c.clip_value > 0) g = clamp(g, -c.clip_value, c.clip_value);
    STRATA_UNROLL
    for (int j = 0; j < 3; ++j)
      if (slots[j]) s[j] = read(slots[j]);
    step(w, g, s);
    write(value, w);
    STRATA_UNROLL
    for (int j = 0; j < 3; ++j)
      if (slots[j]) write(slots[j], s[j]);
  }
}

inline void sgd(const OptimizerCoefficients& c, long count, const float* gradient, float* value,
                float* momentum) {
  const bool moves = momentum != nullptr, nesterov = c.nesterov;
  const float rate = c.learning_rate, keep = c.momentum;
  for_weights(c, count, gradient, value, momentum, nullptr, nullptr, [=](Vec& w, Vec g, Vec* s) {
    const Vec step = g * rate;
    if (moves) s[0] = s[0] * keep - step;
    w += !moves ? -step : nesterov ? s[0] * keep - step : s[0];
  });
}

inline void rmsprop(const OptimizerCoefficients& c, long count, const float* gradient, float* value,
                    float* velocity, float* momentum, float* average) {
  const bool moves = momentum != nullptr, centered = c.centered;
  const float rate = c.learning_rate, keep = c.momentum, rho = c.rho, new_part = c.one_minus_rho,
              epsilon = c.epsilon;
  for_weights(c, count, gradient, value, velocity, momentum, average, [=](Vec& w, Vec g, Vec* s) {
    s[0] = s[0] * rho + g * g * new_part;
    Vec denominator = s[0] + epsilon;
    if (centered) {
      s[2] = s[2] * rho + g * new_part;
      denominator = s[0] - s[2] * s[2] + epsilon;
    }
    const Vec step = g * rate / sqrt(denominator);
    if (moves) s[1] = s[1] * keep + step;
    w -= moves ? s[1] : step;
  });
}

/// Adam, and Nadam, which adds the gradient itself. `learning_rate` is already corrected for the bias of the
/// moments.
inline void adam(const OptimizerCoefficients& c, long count, const float* gradient, float* value, float* m,
                 float* v, float* v_max) {
  const bool amsgrad = c.amsgrad;
  const float rate = c.learning_rate, direct = c.gradient_rate, new_1 = c.one_minus_beta_1,
              new_2 = c.one_minus_beta_2, epsilon = c.epsilon;
  for_weights(c, count, gradient, value, m, v, v_max, [=](Vec& w, Vec g, Vec* s) {
    s[0] += (g - s[0]) * new_1;
    s[1] += (g * g - s[1]) * new_2;
    if (amsgrad) s[2] = max(s[2], s[1]);
    w -= (s[0] * rate + g * direct) / (sqrt(amsgrad ? s[2] : s[1]) + epsilon);
  });
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
