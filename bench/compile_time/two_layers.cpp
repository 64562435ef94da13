// A small program as a user writes it: trains a network of two layers.
#include <strata/strata.hpp>

#include <cstdio>

int main() {
  using namespace strata;
  Tensor<float> x({64, 8}), y({64, 1});
  for (std::int64_t i = 0; i < 64; ++i) {
    for (std::int64_t j = 0; j < 8; ++j) x(i, j) = static_cast<float>((i * 7 + j * 3) % 11) / 11;
    y(i, 0) = x(i, 0) > x(i, 1) ? 1.0f : 0.0f;
  }
  Sequential model{Dense({.units = 16, .activation = Activation::relu}),
                   Dense({.units = 1, .activation = Activation::sigmoid})};
  model.compile(
      {.optimizer = RMSprop({.learning_rate = 1e-2}), .loss = BinaryCrossentropy(), .metrics = {Accuracy()}});
  const History history = model.fit(x, y, {.batch_size = 16, .epochs = 5});
  std::printf("%g\n", history["loss"].back());
}
