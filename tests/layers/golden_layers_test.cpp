#include <catch2/catch.hpp>
#include <map>
#include <set>

#include <strata/cpu/device.hpp>
#include <strata/layers/registry.hpp>
#include <strata/model/model.hpp>

#include "support/golden.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;

namespace {

/// Collects the gradients of a layer's trainable weights by name.
template <class T>
class Gradients : public GradientSink<T> {
 public:
  Gradients(const BasicLayerImpl<T>& layer, const DevicePtr& device) {
    for (const auto& weight : layer.trainable_weights())
      tensors[weight->name()] = Tensor<T>::uninitialized(weight->shape(), device);
  }
  Gradient<T> gradient(const BasicParameter<T>& weight) override {
    const auto found = tensors.find(weight.name());
    return {found == tensors.end() ? nullptr : found->second.data()};
  }
  std::map<std::string, Tensor<T>> tensors;
};

/// One golden case: forward, backward, gradients of weights, moving statistics.
template <class T>
void check_layer(const Golden& golden, const Json& golden_case, const DevicePtr& device, double tolerance) {
  tolerance = std::max(tolerance, golden_case.get("tolerance", 0.0));
  INFO(device->description() << ", " << Golden::name(golden_case));
  const bool training = golden_case.get<bool>("training");
  const LayerPtr<T> layer = layer_from_config<T>(golden_case.at("layer"));

  std::vector<Tensor<T>> x, dx;
  std::vector<Shape> shapes;
  for (const auto& name : golden_case.get<std::vector<std::string>>("inputs")) {
    x.push_back(golden.read<T>(golden_case, name).to(device));
    dx.push_back(Tensor<T>::uninitialized(x.back().shape(), device));
    shapes.push_back(x.back().shape().without_batch());
  }
  layer->ensure_built(shapes, {.path = layer->name(), .device = device});
  REQUIRE(layer->weights().size() == golden.list(golden_case, "weights").size());
  for (const auto& weight : layer->weights())
    weight->mutate() = golden.read<T>(golden_case, "weights/" + weight->name()).to(device);

  const Tensor<T> expected = golden.read<T>(golden_case, "y");
  Tensor<T> dy = golden.read<T>(golden_case, "dy").to(device);
  REQUIRE(layer->output_shape(shapes).with_batch(x[0].shape()[0]).to_string() ==
          expected.shape().to_string());
  Tensor<T> y = Tensor<T>::uninitialized(expected.shape(), device);

  Session<T> session(device);
  Gradients<T> gradients(*layer, device);
  // Who calls `backward` takes the gradient through the final activation.
  const Activation f = layer->final_activation();
  const bool apart = derivative_needs_input(f.kind);
  auto& context = session.begin(
      {.training = training, .gradients = &gradients, .linear_output = apart, .input_gradient = true});
  const std::vector<TensorView<const T>> inputs(x.begin(), x.end());
  const std::vector<TensorView<T>> input_gradients(dx.begin(), dx.end());
  layer->forward(inputs, y, context);
  const std::int64_t channels = y.shape().back(), rows = y.size() / channels;
  const Tensor<T> linear = y;
  if (apart) context.backend().activation(f, rows, channels, linear.data(), y.data());
  context.backend().activation_backward(f, rows, channels, linear.data(), y.data(), dy.data(), dy.data());
  const bool differentiable = golden.contains(golden_case, "dx0");
  if (differentiable)
    layer->backward(inputs, y, dy, input_gradients, context);
  else
    CHECK_THROWS_AS(layer->backward(inputs, y, dy, input_gradients, context), ConfigError);

  check_close("y", y, expected, tolerance);
  for (std::size_t i = 0; differentiable && i < x.size(); ++i)
    check_close(concat("dx", i), dx[i], golden.read<T>(golden_case, concat("dx", i)), tolerance);
  REQUIRE(gradients.tensors.size() == golden.list(golden_case, "grads").size());
  for (const auto& [name, gradient] : gradients.tensors)
    check_close("gradient of " + name, gradient, golden.read<T>(golden_case, "grads/" + name), tolerance);
  for (const auto& weight : layer->weights()) {
    const bool updated = golden.contains(golden_case, "updated/" + weight->name());
    const std::string folder = updated ? "updated/" : "weights/";
    const Tensor<T> after = golden.read<T>(golden_case, folder + weight->name());
    if (updated)
      check_close("updated " + weight->name(), weight->value(), after, tolerance);
    else
      CHECK(weight->value() == after);
  }
}

/// The golden files hold float32 values, which is all that a double can be compared with.
template <class T>
constexpr double tolerance = std::is_same_v<T, double> ? 2e-7 : 1e-5;

constexpr const char* groups[] = {"conv2d",  "grouped_conv2d", "conv2d_transpose",
                                  "pooling", "layers",         "normalization"};

template <class T>
void check_group(const std::string& group, const DevicePtr& device) {
  const Golden golden(group);
  for (const Json& golden_case : golden.cases()) check_layer<T>(golden, golden_case, device, tolerance<T>);
}

}  // namespace

TEST_CASE("Layers compute what Keras computes, on the CPU", "[layers][golden]") {
  const int threads = GENERATE(1, 3);
  const DevicePtr device = cpu::device({.threads = threads});
  for (const char* group : groups) check_group<float>(group, device);
}

TEST_CASE("Every layer of the list has a case of Keras's", "[layers][golden]") {
  std::set<std::string> classes{InputImpl<float>::type};
  for (const char* group : groups) {
    const Golden golden(group);
    for (const Json& golden_case : golden.cases())
      classes.insert(golden_case.at("layer").get<std::string>("class_name"));
  }
  for (const auto& factory : builtin_layers<float>()) {
    INFO(factory.class_name);
    CHECK(classes.contains(factory.class_name));
  }
}

TEMPLATE_TEST_CASE("Layers compute what Keras computes, on the reference device", "[layers][golden]", float,
                   double) {
  const DevicePtr device = reference_device({.host_accessible = false});
  for (const char* group : groups) check_group<TestType>(group, device);
}
