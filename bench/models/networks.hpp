#pragma once

#include <strata/strata.hpp>

namespace strata_bench {

/// Of the book's section 5.2.
inline strata::Sequential small_convnet() {
  using namespace strata;
  Sequential model{Input({.shape = {150, 150, 3}})};
  for (const std::int64_t filters : {32, 64, 128, 128}) {
    model.add(Conv2D({.filters = filters, .kernel_size = 3, .activation = Activation::relu}));
    model.add(MaxPooling2D());
  }
  model.add(Flatten());
  model.add(Dense({.units = 512, .activation = Activation::relu}));
  model.add(Dense({.units = 1, .activation = Activation::sigmoid}));
  return model;
}

/// The head of section 5.3 on a base.
inline strata::Sequential with_head(const strata::Model& base) {
  using namespace strata;
  return {base, Flatten(), Dense({.units = 256, .activation = Activation::relu}),
          Dense({.units = 1, .activation = Activation::sigmoid})};
}

}  // namespace strata_bench
