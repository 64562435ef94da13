#pragma once

#include <cmath>
#include <limits>

#include <strata/eigen/activation.hpp>
#include <strata/tensor/nadam.hpp>

// Keras's optimizers, one weight w at a time. g is its gradient, an expression that is evaluated on the way.

namespace strata { inline namespace STRATA_ABI { namespace eigen {

template <class T>
using RowMap = Eigen::Map<Row<T>>;

template <class T, class G>
void sgd_step(const OptimizerSpec& spec, const OptimizerState& state, const G& g,
              const OptimizerUpdate<T>& update, RowMap<T> w) {
  const T rate = T(state.learning_rate), momentum = T(spec.momentum);
  if (spec.momentum == 0) {
    w -= rate * g;
    return;
  }
  RowMap<T> m(update.slots[0], update.size);
  m = momentum * m - rate * g;
  if (spec.nesterov)
    w += momentum * m - rate * g;
  else
    w += m;
}

template <class T, class G>
void rmsprop_step(const OptimizerSpec& spec, const OptimizerState& state, const G& g,
                  const OptimizerUpdate<T>& update, RowMap<T> w) {
  const T rate = T(state.learning_rate), rho = T(spec.rho), rest = T(1 - spec.rho), epsilon = T(spec.epsilon);
  RowMap<T> velocity(update.slots[0], update.size),
      average(update.slots[2], update.slots[2] ? update.size : 0);
  velocity = rho * velocity + rest * g.square();
  const auto apply = [&](const auto& increment) {
    if (spec.momentum == 0) {
      w -= increment;
      return;
    }
    RowMap<T> m(update.slots[1], update.size);
    m = T(spec.momentum) * m + increment;
    w -= m;
  };
  if (spec.centered) {
    average = rho * average + rest * g;
    apply(rate * g / (velocity - average.square() + epsilon).sqrt());
  } else {
    apply(rate * g / (velocity + epsilon).sqrt());
  }
}

template <class T, class G>
void adam_step(const OptimizerSpec& spec, const OptimizerState& state, const G& g,
               const OptimizerUpdate<T>& update, RowMap<T> w) {
  const T alpha = T(state.learning_rate * std::sqrt(1 - std::pow(spec.beta_2, state.iteration)) /
                    (1 - std::pow(spec.beta_1, state.iteration)));
  const T epsilon = T(spec.epsilon);
  RowMap<T> first(update.slots[0], update.size), second(update.slots[1], update.size);
  first += T(1 - spec.beta_1) * (g - first);
  second += T(1 - spec.beta_2) * (g.square() - second);
  if (spec.amsgrad) {
    RowMap<T> largest(update.slots[2], update.size);
    largest = maximum(largest, second);
    w -= alpha * first / (largest.sqrt() + epsilon);
  } else {
    w -= alpha * first / (second.sqrt() + epsilon);
  }
}

template <class T, class G>
void adagrad_step(const OptimizerSpec& spec, const OptimizerState& state, const G& g,
                  const OptimizerUpdate<T>& update, RowMap<T> w) {
  RowMap<T> squares(update.slots[0], update.size);
  squares += g.square();
  w -= T(state.learning_rate) * g / (squares + T(spec.epsilon)).sqrt();
}

template <class T, class G>
void nadam_step(const OptimizerSpec& spec, const OptimizerState& state, const G& g,
                const OptimizerUpdate<T>& update, RowMap<T> w) {
  const NadamMomentum u(spec.beta_1, state.iteration);
  const T of_first = T(state.learning_rate * u.next / (1 - u.product * u.next));
  const T of_gradient = T(state.learning_rate * (1 - u.now) / (1 - u.product));
  const T of_second = T(1 / (1 - std::pow(spec.beta_2, state.iteration)));
  RowMap<T> first(update.slots[0], update.size), second(update.slots[1], update.size);
  first += T(1 - spec.beta_1) * (g - first);
  second += T(1 - spec.beta_2) * (g.square() - second);
  w -= (of_first * first + of_gradient * g) / ((of_second * second).sqrt() + T(spec.epsilon));
}

/// Scales and clips the gradient, decays the weight, and takes the step.
template <class T>
void optimizer_step(const OptimizerSpec& spec, const OptimizerState& state,
                    const OptimizerUpdate<T>& update) {
  const double norm = spec.clip_norm > 0 ? std::sqrt(*update.squares) : 0;
  const T scale = norm > spec.clip_norm ? T(spec.clip_norm / norm) : T(1);
  const T bound = spec.clip_value > 0 ? T(spec.clip_value) : std::numeric_limits<T>::infinity();
  const Eigen::Map<const Row<T>> gradient(update.gradient, update.size);
  const auto g = clip(gradient * scale, -bound, bound);
  RowMap<T> w(update.value, update.size);
  if (spec.weight_decay != 0) w *= T(1 - state.learning_rate * spec.weight_decay);
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return sgd_step(spec, state, g, update, w);
    case OptimizerKind::rmsprop:
      return rmsprop_step(spec, state, g, update, w);
    case OptimizerKind::adam:
      return adam_step(spec, state, g, update, w);
    case OptimizerKind::adagrad:
      return adagrad_step(spec, state, g, update, w);
    case OptimizerKind::nadam:
      return nadam_step(spec, state, g, update, w);
  }
}

}}}  // namespace strata::STRATA_ABI::eigen
