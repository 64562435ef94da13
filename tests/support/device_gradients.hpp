#pragma once

#include <strata/applications/grad_cam.hpp>
#include <strata/layers/layers.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/gradients.hpp>

#include "support/golden.hpp"

namespace strata_test {

/// The convnet of the golden group "gradients".
template <class T>
strata::BasicModel<T> golden_gradients_model(const Golden& golden, const strata::DevicePtr& device) {
  using namespace strata;
  using Conv = BasicConv2D<T>;
  const BasicInput<T> x({.shape = {9, 9, 3}});
  auto y =
      Conv({.filters = 8, .kernel_size = 3, .padding = Padding::same, .use_bias = false, .name = "conv1"})(x);
  y = BasicActivationLayer<T>({.activation = Activation::relu, .name = "relu1"})(
      BasicBatchNormalization<T>({.name = "norm1"})(y));
  const auto left = Conv({.filters = 6,
                          .kernel_size = 3,
                          .padding = Padding::same,
                          .activation = Activation::relu,
                          .name = "left"})(y);
  const auto right =
      Conv({.filters = 6, .kernel_size = 1, .activation = Activation::gelu, .name = "right"})(y);
  y = BasicMaxPooling2D<T>({.name = "pool"})(BasicAdd<T>({.name = "add"})({left, right}));
  y = Conv({.filters = 12, .kernel_size = 3, .activation = Activation::relu, .name = "conv2"})(y);
  y = BasicDense<T>({.units = 4, .activation = Activation::softmax, .name = "dense"})(
      BasicFlatten<T>({.name = "flatten"})(y));
  BasicModel<T> model(x, y);
  model.to(device);
  for (const auto& [name, weight] : named_weights<T>(model))
    weight->mutate() = golden.read<T>("weights/" + name).to(device);
  return model;
}

/// Gradients of inputs, weights and layers, and heat maps, are those of Keras on `device`.
template <class T>
void check_gradients_golden(const strata::DevicePtr& device, double tolerance) {
  using namespace strata;
  const Golden golden("gradients");
  const Tensor<T> x = golden.read<T>("x"), y = golden.read<std::int32_t>("y").template cast<T>();
  for (const Json& golden_case : golden.cases()) {
    const std::string name = Golden::name(golden_case);
    INFO(device->description() << ", " << name);
    const BasicModel<T> model = golden_gradients_model<T>(golden, device);
    if (name.starts_with("frozen"))
      for (const char* layer : {"conv1", "norm1", "left"}) model.layer(layer).set_trainable(false);
    std::vector<std::string> watched;
    for (const std::string& tensor : golden.list(golden_case, "layers"))
      if (tensor.ends_with("/output")) watched.push_back(tensor.substr(0, tensor.find('/')));
    REQUIRE(watched.size() == 9);
    const bool training = golden_case.at("training").as_bool();
    const Json* const class_index = golden_case.find("class_index");
    // One layer at a time as well: what others fuse around it must not hide it.
    std::vector<std::vector<std::string>> sets{watched};
    for (const std::string& layer : watched) sets.push_back({layer});
    for (const auto& layers : sets) {
      const BasicModel<T> fresh = training ? golden_gradients_model<T>(golden, device) : model;
      if (training && name.starts_with("frozen"))
        for (const char* layer : {"conv1", "norm1", "left"}) fresh.layer(layer).set_trainable(false);
      const BasicGradients<T> found =
          class_index
              ? gradients<T>(fresh, x, {.class_index = class_index->as_int(), .layers = layers})
              : gradients<T>(
                    fresh, x, y,
                    {.loss = "sparse_categorical_crossentropy", .layers = layers, .training = training});
      CHECK(found.value == Approx(golden_case.at("value").as_double()).epsilon(tolerance));
      check_close("output", found.output, golden.read<T>(golden_case, "output"), tolerance);
      check_close("input", found.inputs.at(0), golden.read<T>(golden_case, "input"), tolerance);
      const auto weights = golden.list(golden_case, "gradients");
      CHECK(found.weights.size() == weights.size());
      for (const std::string& weight : weights)
        check_close(weight, found.weights.at(weight), golden.read<T>(golden_case, "gradients/" + weight),
                    tolerance);
      CHECK(found.layers.size() == layers.size());
      for (const std::string& layer : layers) {
        check_close(layer + " output", found.layers.at(layer).output,
                    golden.read<T>(golden_case, "layers/" + layer + "/output"), tolerance);
        check_close(layer + " gradient", found.layers.at(layer).gradient,
                    golden.read<T>(golden_case, "layers/" + layer + "/gradient"), tolerance);
      }
    }
    for (const std::string& layer : golden.list(golden_case, "grad_cam")) {
      const Tensor<T> expected = golden.read<T>(golden_case, "grad_cam/" + layer);
      GradCamOptions options{.layer = layer, .class_index = class_index->as_int()};
      check_close("grad_cam " + layer, grad_cam(model, x, options), expected, 3 * tolerance);
      if (layer != "conv2") continue;
      options.layer = "";
      check_close("grad_cam of the last convolution", grad_cam(model, x, options), expected, 3 * tolerance);
    }
  }
}

}  // namespace strata_test
