#pragma once

#include <algorithm>
#include <cmath>

#include <strata/layers/layers.hpp>
#include <strata/training/saving.hpp>

#include "fuzz/fuzz.hpp"

namespace strata_fuzz {

/// Small models with every kind of layer, compiled, so that their files hold an optimizer.
inline std::vector<strata::Model> models() {
  using namespace strata;
  Sequential base({Input({.shape = {8, 8, 3}}), Rescaling({.scale = 0.5}), ZeroPadding2D(),
                   Conv2D({.filters = 4, .kernel_size = 3, .activation = Activation::relu}),
                   BatchNormalization(), MaxPooling2D()},
                  {.name = "base"});
  Sequential sequence{base, Dropout(0.25), AveragePooling2D({.pool_size = 2}), Flatten(),
                      Dense({.units = 3, .activation = Activation::softmax})};
  const Symbol x = Input({.shape = {6}});
  const Symbol a = Dense({.units = 4, .name = "a"})(x), b = Dense({.units = 4, .name = "b"})(x);
  const Symbol y = Dense({.units = 2})(Concatenate()({Add()({a, b}), a}));
  std::vector<Model> out{sequence, Model(x, y)};
  const CosineDecay rate{.initial_learning_rate = 0.1, .decay_steps = 5, .warmup_target = 0.2};
  out[0].compile({.optimizer = Adam(), .loss = "mse"});
  out[1].compile({.optimizer = SGD({.learning_rate = rate}), .loss = "mse"});
  return out;
}

/// Loads, predicts and trains one step.
inline void use_model(const std::string& path) {
  using namespace strata;
  Model model = load_model(path, {.loss = MeanSquaredError()});
  const Shape in = model.input_shape().with_batch(1), out = model.output_shape().with_batch(1);
  // Large inputs are a user's right, but take long.
  if (in.size() > 1 << 16 || out.size() > 1 << 16) return;
  const Tensor<float> x(in), y(out);
  model.predict(x);
  model.train_on_batch(x, y);
}

}  // namespace strata_fuzz
