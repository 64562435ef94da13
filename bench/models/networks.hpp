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

/// Three bottlenecks of ResNet50's second stage, the first with a convolution on its shortcut.
inline strata::Model resnet_stage() {
  using namespace strata;
  const auto convolve = [](const Symbol& x, std::int64_t filters, int size) {
    return BatchNormalization()(
        Conv2D({.filters = filters, .kernel_size = size, .padding = Padding::same})(x));
  };
  const Symbol input = Input({.shape = {28, 28, 256}});
  Symbol x = input;
  for (int block = 0; block < 3; ++block) {
    const Symbol shortcut = block ? x : convolve(x, 512, 1);
    const Symbol y = ReLU()(convolve(ReLU()(convolve(x, 128, 1)), 128, 3));
    x = ReLU()(Add()({shortcut, convolve(y, 512, 1)}));
  }
  return Model(input, x);
}

/// Three inverted residual blocks of MobileNetV2.
inline strata::Model mobilenet_stage() {
  using namespace strata;
  const auto relu6 = [](const Symbol& x) { return ActivationLayer(Activation::relu6)(x); };
  const auto point = [](const Symbol& x, std::int64_t filters) {
    return BatchNormalization()(Conv2D({.filters = filters, .kernel_size = 1, .use_bias = false})(x));
  };
  const Symbol input = Input({.shape = {28, 28, 32}});
  Symbol x = input;
  for (int block = 0; block < 3; ++block) {
    const DepthwiseConv2D deep({.kernel_size = 3, .padding = Padding::same, .use_bias = false});
    x = Add()({x, point(relu6(BatchNormalization()(deep(relu6(point(x, 192))))), 32)});
  }
  return Model(input, x);
}

}  // namespace strata_bench
