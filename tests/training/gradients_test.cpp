#include <catch2/catch.hpp>

#include <strata/applications/grad_cam.hpp>
#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/gradients.hpp>

#include "support/device_gradients.hpp"
#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

TEST_CASE("Gradients are those of Keras's tape, on the CPU", "[golden]") {
  check_gradients_golden<float>(cpu::device(), 3e-6);
}

TEST_CASE("Gradients are those of Keras's tape, on a device the host cannot see", "[golden]") {
  check_gradients_golden<float>(reference_device({.host_accessible = false}), 3e-6);
  check_gradients_golden<double>(reference_device({.host_accessible = false}), 3e-7);
}

namespace {

/// Two inputs; a model inside the model that is called twice and holds one that is called twice; dropout.
BasicModel<double> nested() {
  const BasicSequential<double> inner({BasicInput<double>({.shape = {4, 4, 2}}),
                                       BasicConv2D<double>({.filters = 2,
                                                            .kernel_size = 3,
                                                            .padding = Padding::same,
                                                            .activation = Activation::tanh,
                                                            .name = "conv"}),
                                       BasicDropout<double>({.rate = 0.4, .name = "drop"})},
                                      {.name = "inner"});
  const BasicInput<double> from({.shape = {4, 4, 2}});
  const BasicModel<double> middle(
      from,
      inner(BasicActivationLayer<double>({.activation = Activation::silu, .name = "silu"})(inner(from))),
      {.name = "middle"});
  const BasicInput<double> a({.shape = {4, 4, 2}, .name = "a"}), b({.shape = {4, 4, 2}, .name = "b"});
  const auto sum = BasicAdd<double>({.name = "sum"})({middle(a), middle(b)});
  const auto y = BasicDense<double>({.units = 3, .activation = Activation::sigmoid, .name = "dense"})(
      BasicFlatten<double>()(sum));
  return BasicModel<double>({.inputs = {a, b}, .outputs = {y}, .seed = 4});
}

const std::vector<std::string> nested_layers{"a",
                                             "middle",
                                             "middle#1",
                                             "middle/silu",
                                             "middle#1/silu",
                                             "middle/inner/conv",
                                             "sum",
                                             "middle#1/inner#1/conv",
                                             "middle/inner#1/drop",
                                             "dense",
                                             "middle#1/inner/conv"};

}  // namespace

TEST_CASE("Gradients pass through several inputs, and models in models that are called twice") {
  const DevicePtr device = reference_device();
  BasicModel<double> model = nested();
  model.to(device);
  const std::vector<Tensor<double>> x{random_tensor({2, 4, 4, 2}, 1), random_tensor({2, 4, 4, 2}, 2)};
  const Tensor<double> y = random_tensor({2, 3}, 3);
  for (const bool training : {false, true}) {
    INFO("training " << training);
    const auto run = [&](const std::vector<std::string>& layers) {
      return gradients<double>(model, x, y,
                               {.loss = "mse", .layers = layers, .training = training, .step = 7});
    };
    const auto plain = run({}), probed = run(nested_layers);
    // Probes change nothing: neither numbers nor draws.
    CHECK(probed.value == plain.value);
    CHECK(probed.output == plain.output);
    CHECK(probed.inputs == plain.inputs);
    CHECK(probed.weights == plain.weights);
    CHECK((plain.output == model.predict(x)[0]) == !training);
    CHECK(probed.layers.size() == nested_layers.size());
    REQUIRE(probed.inputs.size() == 2);

    // Against central differences of the loss, of inputs and weights.
    const double step = 1e-5;
    const auto loss_at = [&](Tensor<double>& values, std::int64_t i, double value,
                             const std::vector<Tensor<double>>& inputs) {
      const double before = std::exchange(values.data()[i], value);
      const double loss =
          gradients<double>(model, inputs, y, {.loss = "mse", .training = training, .step = 7}).value;
      values.data()[i] = before;
      return loss;
    };
    std::vector<Tensor<double>> moved = x;
    for (std::size_t k = 0; k < 2; ++k)
      for (std::int64_t i = 0; i < x[k].size(); i += 5)
        CHECK(plain.inputs[k].data()[i] == Approx((loss_at(moved[k], i, x[k].data()[i] + step, moved) -
                                                   loss_at(moved[k], i, x[k].data()[i] - step, moved)) /
                                                  (2 * step))
                                               .margin(1e-9));
    CHECK(plain.weights.size() == 4);  // conv and dense, each shared weight once
    for (const auto& [name, weight] : named_weights<double>(model)) {
      const Tensor<double> values = weight->value();
      for (std::int64_t i = 0; i < values.size(); i += 3) {
        double slope = 0;
        for (const double sign : {1.0, -1.0}) {
          weight->mutate().data()[i] = values.data()[i] + sign * step;
          slope += sign / (2 * step) *
                   gradients<double>(model, x, y, {.loss = "mse", .training = training, .step = 7}).value;
        }
        weight->mutate() = values;
        CHECK(plain.weights.at(name).data()[i] == Approx(slope).margin(1e-9));
      }
    }
    if (training) {
      // What is drawn is what a training step draws: by the model's seed and the step.
      Session<double> session(device);
      const std::vector<TensorView<const double>> inputs(x.begin(), x.end());
      Tensor<double> drawn({2, 3});
      const TensorView<double> output = drawn.view();
      model.impl()->forward(inputs, output, session.begin({.training = true, .seed = 4, .step = 7}));
      check_close("output", plain.output, drawn, 1e-14);
      continue;
    }

    // A layer's gradient is that of the rest of the network, and calls are told apart.
    const auto& layers = probed.layers;
    CHECK(layers.at("a").output == x[0]);
    CHECK(layers.at("a").gradient == probed.inputs[0]);
    CHECK(layers.at("middle").gradient == layers.at("sum").gradient);
    CHECK(layers.at("middle/inner#1/drop").output == layers.at("middle").output);
    BasicModel<double> middle(
        BasicNetwork<double>(std::static_pointer_cast<ModelImpl<double>>(model.layer("middle").impl())));
    middle.to(device);
    for (const std::string call : {"middle", "middle#1"}) {
      const auto& input = x[call == "middle#1"];
      const auto inside = gradients<double>(
          middle, input,
          {.output_gradient = layers.at(call).gradient, .layers = {"silu", "inner/conv", "inner#1/conv"}});
      check_close(call + " output", layers.at(call).output, inside.output, 1e-14);
      for (const auto& [path, expected] : inside.layers) {
        if (!layers.contains(call + "/" + path)) continue;
        check_close(call + "/" + path + " output", layers.at(call + "/" + path).output, expected.output,
                    1e-14);
        check_close(call + "/" + path, layers.at(call + "/" + path).gradient, expected.gradient, 1e-12);
      }
    }
  }
}

TEST_CASE("Gradients flow through what is frozen, which gets none") {
  Sequential base({Input({.shape = {6, 6, 2}}),
                   Conv2D({.filters = 3, .kernel_size = 3, .activation = Activation::relu, .name = "conv"}),
                   BatchNormalization({.name = "norm"})},
                  {.name = "base"});
  const Sequential model({base, Flatten(), Dense({.units = 2, .name = "dense"})}, {.seed = 1});
  const Tensor<float> x = random_tensor({3, 6, 6, 2}).cast<float>();
  const auto all = gradients(model, x, {.class_index = 1, .layers = {"base/conv"}});
  CHECK(all.weights.size() == 6);
  base.set_trainable(false);
  const auto frozen = gradients(model, x, {.class_index = 1, .layers = {"base/conv"}});
  CHECK(frozen.weights.size() == 2);
  for (const auto& [name, gradient] : frozen.weights) CHECK(gradient == all.weights.at(name));
  check_close("input", frozen.inputs.at(0), all.inputs.at(0), 1e-6);
  // Where nothing below trains, and no gradient of the input is wanted, the layer gets its own all the same.
  const auto only =
      gradients(model, x, {.class_index = 1, .layers = {"base/conv"}, .inputs = false, .weights = false});
  CHECK(only.inputs.empty());
  CHECK(only.weights.empty());
  for (const auto* found : {&frozen, &only}) {
    check_close("output", found->layers.at("base/conv").output, all.layers.at("base/conv").output, 1e-6);
    check_close("gradient", found->layers.at("base/conv").gradient, all.layers.at("base/conv").gradient,
                1e-6);
  }
}

TEST_CASE("Scores may be before the last activation, or any product with the output") {
  const Sequential model(
      {Input({.shape = {5}}), Dense({.units = 3, .activation = Activation::softmax, .name = "d"})});
  const Tensor<float> x = random_tensor({2, 5}).cast<float>();
  const auto found = gradients(model, x, {.class_index = 1, .logits = true});
  const Tensor<float> kernel = model.layer("d").get_weights()[0];
  for (std::int64_t i = 0; i < 5; ++i) CHECK(found.inputs[0](0, i) == kernel(i, 1));
  CHECK(found.output == model.predict(x));
  const Sequential linear({Input({.shape = {5}}), Dense(3)});
  CHECK(gradients(linear, x, {.class_index = 1, .logits = true}).inputs ==
        gradients(linear, x, {.class_index = 1}).inputs);
  Tensor<float> dy({2, 3});
  dy(1, 2) = -2;
  const auto product = gradients(model, x, {.output_gradient = dy});
  const auto score = gradients(model, x, {.class_index = 2});
  CHECK(product.value == Approx(-2 * found.output(1, 2)));
  for (std::int64_t i = 0; i < 5; ++i) {
    CHECK(product.inputs[0](0, i) == 0);
    CHECK(product.inputs[0](1, i) == Approx(-2 * score.inputs[0](1, i)));
  }
}

TEST_CASE("What has no gradient is refused, with what there is") {
  const Sequential model({Input({.shape = {8, 8, 3}}),
                          Conv2D({.filters = 2, .kernel_size = 3, .name = "block_conv1"}),
                          Conv2D({.filters = 2, .kernel_size = 3, .name = "block_conv2"}),
                          Flatten({.name = "flat"}), Dense({.units = 4, .name = "top"})});
  const Tensor<float> x({2, 8, 8, 3}), y({2});
  const auto with = [&](const LossGradientOptions& options) { return gradients(model, x, y, options); };
  const auto score = [&](const ScoreGradientOptions& options) { return gradients(model, x, options); };
  CHECK_THROWS_MATCHES(
      score({.layers = {"blok_conv2"}}), ConfigError,
      Catch::Message(
          "[sequential] layer 'sequential': there is no layer 'blok_conv2'; the nearest are 'block_conv2', "
          "'block_conv1', 'flat', 'top', 'input_layer'"));
  const Sequential softmax(
      {Input({.shape = {8, 8, 3}}), Flatten(), Dense({.units = 2, .activation = "softmax", .name = "top"})});
  CHECK_THROWS_WITH(with({}), Contains("need one"));
  CHECK_THROWS_WITH(with({.loss = "mse"}), Contains("[mean_squared_error] a target of shape [2]") &&
                                               Contains("predictions of shape [2,4]"));
  Tensor<float> classes({2}, {1, 4});
  CHECK_THROWS_AS(gradients(model, x, classes, {.loss = "sparse_categorical_crossentropy"}), DataError);
  CHECK_THROWS_WITH(score({.class_index = 4}), Contains("class_index below 4") && Contains("found 4"));
  CHECK_THROWS_WITH(score({.class_index = -2}), Contains("found -2"));
  CHECK_THROWS_WITH(score({.output_gradient = Tensor<float>({2, 3})}),
                    Contains("[2,4]") && Contains("[2,3]"));
  CHECK_THROWS_WITH(gradients(softmax, x, {.logits = true, .layers = {"top"}}),
                    Contains("layer 'top' with .logits"));
  CHECK_THROWS_WITH(gradients(model, Tensor<float>({2, 8, 8, 4}), {}),
                    Contains("[2,8,8,3]") && Contains("[2,8,8,4]"));
  CHECK_THROWS_WITH(gradients(model, std::vector<Tensor<float>>{x, x}),
                    Contains("expected 1 input 'input_layer', found 2"));
  CHECK_THROWS_WITH(gradients(model, Tensor<float>({0, 8, 8, 3}), {}), Contains("at least one sample"));
  CHECK_THROWS_WITH(gradients(Sequential{Dense(3)}, x, {}), Contains("not known yet"));
  const Input in({.shape = {3}});
  const Model two({.inputs = {in}, .outputs = {Dense(1)(in), Dense(2)(in)}});
  CHECK_THROWS_WITH(gradients(two, Tensor<float>({2, 3}), {}), Contains("found 2"));
  CHECK_THROWS_AS(
      gradients(BasicSequential<double>{BasicInput<double>({.shape = {2}}), BasicDense<double>(1)},
                Tensor<double>({1, 2}), {}),
      DeviceError);
}
