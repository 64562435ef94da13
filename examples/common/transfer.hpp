#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <strata/layers/layers.hpp>
#include <strata/training/model.hpp>

#include "flags.hpp"

/// The network of the two examples that train a pretrained base and a new head end to end.
namespace examples {

/// Frozen base, new head: Dense(256) and a sigmoid, with `conv_head` behind a Conv2D(32). The random layers
/// are in front of it, so that no gradient has to pass them.
inline strata::Model transfer_network(const strata::Model& base, bool augment, bool conv_head,
                                      std::uint64_t seed) {
  using namespace strata;
  Sequential model({.name = "augmented_training", .seed = seed});
  model.add(Input({.shape = base.input_shape()}));
  if (augment) {
    model.add(RandomFlip(FlipMode::horizontal));
    model.add(RandomRotation(0.1));
    model.add(RandomZoom(0.2));
  }
  model.add(base);
  if (conv_head) model.add(Conv2D({.filters = 32, .kernel_size = 3, .activation = Activation::relu}));
  model.add(Flatten());
  model.add(Dense({.units = 256, .activation = Activation::relu}));
  model.add(Dense({.units = 1, .activation = Activation::sigmoid}));
  return model;
}

/// The base inside a model that `transfer_network` made. Throws UsageError, naming `file`, for any other.
inline strata::Network base_of(const strata::Model& model, const std::string& file) {
  std::string found;
  for (const strata::Layer& layer : model.layers()) {
    if (layer.name() == "vgg16" || layer.name() == "tiny_darknet")
      if (const auto base = std::dynamic_pointer_cast<strata::ModelImpl<float>>(layer.impl()))
        return strata::Network(base);
    found += (found.empty() ? "" : ", ") + layer.name();
  }
  throw UsageError(
      "--from takes a checkpoint of augmented_training, with a layer 'vgg16' or 'tiny_darknet'; '" + file +
      "' holds the model '" + model.name() + "' of " + found);
}

/// Unfreezes what is fine-tuned: VGG16's block 5, Tiny Darknet's last three convolutions.
inline void unfreeze_top(strata::Network base) {
  base.trainable_from(base.name() == "vgg16" ? "block5_conv1" : "conv13");
}

}  // namespace examples
