#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/model/compare_devices.hpp>

#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using strata_test::random_tensor;

namespace {

const DevicePtr wrong_device = cpu::device({.threads = 1});

struct FaultyOptions {
  bool forward = false, backward = false, weight = false;
  std::string name = {};
  template <class Fields>
  void fields(Fields& f) {
    f("forward", forward);
    f("backward", backward);
    f("weight", weight);
  }
};

/// y = x + offset, with an error in element 5 of one of its results on one device.
class FaultyImpl final : public LayerBase<FaultyImpl, float, FaultyOptions> {
 public:
  static constexpr const char* type = "Faulty";
  explicit FaultyImpl(FaultyOptions options) : LayerBase(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  void build(Shapes inputs) override {
    offset_ = add_weight("offset", {inputs[0].back()}, initializers::constant(0.5));
  }
  void forward(Inputs x, Output y, Context& context) const override {
    const std::int64_t channels = offset_->shape()[0];
    for (std::int64_t i = 0; i < y.size(); ++i)
      y.data()[i] = x[0].data()[i] + offset_->value().data()[i % channels];
    if (options().forward && wrong(context)) y.data()[5] += 1e-2f;
  }
  void backward(Inputs, View, View dy, InputGradients dx, Context& context) const override {
    const std::int64_t channels = offset_->shape()[0];
    std::copy_n(dy.data(), dy.size(), dx[0].data());
    if (options().backward && wrong(context)) dx[0].data()[5] += 1e-2f;
    const auto gradient = context.gradient(*offset_);
    if (!gradient.accumulate) std::fill_n(gradient.data, channels, 0.0f);
    for (std::int64_t i = 0; i < dy.size(); ++i) gradient.data[i % channels] += dy.data()[i];
    if (options().weight && wrong(context)) gradient.data[5] += 1e-2f;
  }

 private:
  static bool wrong(const Context& context) { return context.device() == wrong_device; }
  ParameterPtr<float> offset_;
};
using Faulty = LayerHandle<FaultyImpl>;

Sequential network(const FaultyOptions& options) {
  return Sequential(
      {Input({.shape = {8, 8, 3}}),
       Conv2D({.filters = 6, .kernel_size = 3, .activation = Activation::relu, .name = "below"}),
       Faulty(options), MaxPooling2D(), Flatten(),
       Dense({.units = 5, .activation = Activation::softmax, .name = "above"})},
      {.seed = 2});
}

Tensor<float> input() {
  return random_tensor({2, 8, 8, 3}).cast<float>();
}

}  // namespace

TEST_CASE("A layer that is wrong on one device is the row that stands out") {
  const DevicePtr right = cpu::device();
  const Sequential model = network({.forward = true});
  const auto weights = model.get_weights();
  const DeviceComparison found = compare_devices(model, input(), wrong_device, right);
  INFO(found.text());

  REQUIRE(found.layers.size() == 4);  // Input and Flatten compute nothing
  CHECK(found.a == wrong_device->description());
  const LayerDifference& worst = found.worst();
  CHECK(worst.path == "faulty");
  CHECK(worst.class_name == "Faulty");
  CHECK(worst.shape == Shape{2, 6, 6, 6});
  CHECK(worst.output.index == 5);
  CHECK(worst.output.largest > 1e-3);
  for (const TensorDifference& gradient : worst.gradients) CHECK(gradient.largest < 1e-6);
  for (const char* other : {"below", "max_pooling2d", "above"}) CHECK(found.at(other).largest() < 1e-5);
  CHECK_THROWS_AS(found.at("flatten"), ConfigError);
  CHECK_THAT(found.text(), Catch::Contains("faulty (Faulty)") && Catch::Contains("[2,6,6,6]") &&
                               Catch::Contains(" at 5") && Catch::Contains("Most in 'faulty'"));
  CHECK(model.get_weights() == weights);
  CHECK(model.device() == default_device());
}

TEST_CASE("Layers are compared one by one, whatever devices do in one call") {
  const Sequential model{Input({.shape = {8, 8, 3}}),
                         Conv2D({.filters = 6, .kernel_size = 3, .activation = Activation::relu}),
                         MaxPooling2D(), Flatten(), Dense(2)};
  const DeviceComparison found =
      compare_devices(model, input(), cpu::device(), strata_test::reference_device());
  REQUIRE(found.layers.size() == 3);
  for (const char* layer : {"conv2d", "max_pooling2d", "dense"}) CHECK(found.at(layer).largest() < 1e-5);
}

TEST_CASE("A wrong gradient is found in the layer that computed it") {
  const DevicePtr right = cpu::device();
  for (const bool weight : {false, true}) {
    Sequential model = network({.backward = !weight, .weight = weight});
    model.set_trainable(false);  // makes no difference
    const DeviceComparison found = compare_devices(model, input(), wrong_device, right);
    INFO(found.text());
    const LayerDifference& worst = found.worst();
    REQUIRE(worst.path == "faulty");
    REQUIRE(worst.gradients.size() == 2);
    CHECK(worst.gradients[0].name == "input");
    CHECK(worst.gradients[1].name == "offset");
    CHECK(worst.gradients[weight].largest > 1e-4);
    CHECK(worst.gradients[weight].index == 5);
    CHECK(worst.gradients[!weight].largest < 1e-5);
    CHECK(found.at("below").largest() < 1e-5);
  }
}

TEST_CASE("Devices are compared through models in models, shared layers and several inputs") {
  const Sequential base({Input({.shape = {6, 6, 2}}),
                         Conv2D({.filters = 4, .kernel_size = 3, .padding = Padding::same, .name = "conv"}),
                         BatchNormalization({.name = "norm"}), ActivationLayer(Activation::elu)},
                        {.name = "base"});
  const Input a({.shape = {6, 6, 2}}), b({.shape = {6, 6, 2}});
  const Conv2D same({.filters = 2, .kernel_size = 1, .name = "shared"});
  const Symbol sum = Add({.name = "sum"})({same(a), same(b)});
  const Model model({.inputs = {a, b}, .outputs = {Dense({.units = 1})(Flatten()(base(sum)))}});
  const std::vector<Tensor<float>> x{random_tensor({3, 6, 6, 2}, 1).cast<float>(),
                                     random_tensor({3, 6, 6, 2}, 2).cast<float>()};
  const DeviceComparison found =
      compare_devices(model, x, cpu::device(), strata_test::reference_device({.host_accessible = false}));
  INFO(found.text());
  std::vector<std::string> paths;
  for (const auto& layer : found.layers) paths.push_back(layer.path);
  CHECK(paths == std::vector<std::string>{"shared", "shared#1", "sum", "base/conv", "base/norm",
                                          "dense"});  // "norm" does the activation
  CHECK(found.at("shared").gradients.size() == 3);    // input, kernel, bias
  CHECK(found.at("shared#1").gradients.size() == 1);  // the weights are there already
  CHECK(found.at("sum").gradients.at(1).name == "input 1");
  CHECK(found.at("base/norm").gradients.size() == 3);  // moving statistics have none
  CHECK(found.worst().largest() > 0);
  CHECK(found.worst().largest() < 1e-5);
}

TEST_CASE("What cannot be compared is refused") {
  const DevicePtr device = cpu::device();
  CHECK_THROWS_AS(compare_devices(Sequential{Dense(3)}, input(), device, device), ConfigError);
  CHECK_THROWS_AS(compare_devices(network({}), Tensor<float>({2, 8, 8, 4}), device, device), ShapeError);
  CHECK_THROWS_AS(compare_devices(network({}), std::vector<Tensor<float>>{}, device, device), ShapeError);
  const Input x({.shape = {3}});
  const Model two({.inputs = {x}, .outputs = {Dense(1)(x), Dense(2)(x)}});
  CHECK_THROWS_AS(compare_devices(two, Tensor<float>({2, 3}), device, device), ConfigError);
  const BasicSequential<double> in_double{BasicInput<double>({.shape = {2}}), BasicDense<double>(1)};
  CHECK_THROWS_AS(compare_devices(in_double, Tensor<double>({1, 2}), device, device), DeviceError);
}
