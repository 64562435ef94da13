// A case of the race as Strata's network.
#pragma once

#include <strata/strata.hpp>

#include "case.hpp"

namespace strata_bench {

struct NetworkCase {
  strata::Sequential model;
  strata::Tensor<float> input;
};

inline NetworkCase load_network(const std::string& folder, int threads) {
  using namespace strata;
  const Case race = load_case(folder);
  const Shape input(race.shape.begin(), race.shape.end());
  std::vector<Layer> layers{Input({.shape = input.without_batch()})};
  std::vector<Tensor<float>> weights;
  for (const CaseLayer& layer : race.layers) {
    const Activation function =
        layer.activation == "leaky_relu" ? Activation::leaky_relu(0.1) : activation(layer.activation);
    const Padding padding = layer.same ? Padding::same : Padding::valid;
    const std::int64_t size = layer.size, channels = layer.output.back();
    Shape kernel{size, size, layer.input.back(), channels};
    if (layer.kind == "conv") {
      layers.push_back(Conv2D({.filters = channels,
                               .kernel_size = size,
                               .strides = layer.stride,
                               .padding = padding,
                               .activation = function}));
    } else if (layer.kind == "depthwise") {
      kernel = {size, size, channels, 1};
      layers.push_back(DepthwiseConv2D(
          {.kernel_size = size, .strides = layer.stride, .padding = padding, .activation = function}));
    } else if (layer.kind == "pool") {
      layers.push_back(MaxPooling2D({.padding = padding}));
    } else if (layer.kind == "flatten") {
      layers.push_back(Flatten());
    } else {
      kernel = {layer.input.back(), channels};
      layers.push_back(Dense({.units = channels, .activation = function}));
    }
    if (layer.frozen) layers.back().set_trainable(false);
    if (layer.kernel.empty()) continue;
    weights.emplace_back(kernel, std::span<const float>(layer.kernel));
    weights.emplace_back(Shape{channels}, std::span<const float>(layer.bias));
  }
  NetworkCase out{Sequential(layers), Tensor<float>(input, std::span<const float>(race.input))};
  out.model.set_weights(weights);
  out.model.to(
      cpu::device({.threads = threads,
                   .policy = race.precision == "bfloat16" ? Policy::mixed_bfloat16 : Policy::float32}));
  return out;
}

}  // namespace strata_bench
