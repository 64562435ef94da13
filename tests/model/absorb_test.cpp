#include <catch2/catch.hpp>

#include <utility>

#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/model/compare_devices.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/saving.hpp>

#include "support/device_training.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using strata_test::check_close;
using strata_test::check_inference;
using strata_test::random_tensor;
using strata_test::residual_blocks;

namespace {

constexpr double tolerance = 5e-6;  // relative L2 error, of seventeen convolutions one behind the other
using Chains = std::vector<std::vector<std::string>>;

/// The layers whose work others do, behind those that do it.
Chains chains(const Model& model, const RunMode& mode = {.batch_size = 2}) {
  Chains out;
  const auto& nodes = model.model().graph().nodes();
  const GraphPlan plan = model.model().graph().plan(mode);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (plan.nodes[i].absorbs.empty()) continue;
    out.push_back({nodes[i].layer->name()});
    for (const int node : plan.nodes[i].absorbs)
      out.back().push_back(nodes[static_cast<std::size_t>(node)].layer->name());
  }
  return out;
}

Tensor<float> pictures() {
  return random_tensor({3, 11, 9, 5}, 6).cast<float>();
}

/// Both have the same weights from now on, and predict the same.
void check_same(const Model& together, Model& apart) {
  for (const auto& layer : together.model().graph().layers())
    apart.layer(layer->name()).set_weights(Layer(layer).get_weights());
  check_close("prediction", together.predict(pictures()), apart.predict(pictures()), tolerance);
}

Symbol convolved(const Symbol& x, const std::string& name, std::int64_t filters = 4) {
  return Conv2D({.filters = filters, .kernel_size = 1, .name = name})(x);
}

}  // namespace

TEST_CASE("Blocks of ResNet and MobileNet do the work of the layers behind convolutions", "[plan]") {
  const Model together = residual_blocks<float>(), apart = residual_blocks<float>(true);
  CHECK(chains(apart).empty());
  // Per block, of how many layers each convolution does the work.
  std::vector<std::size_t> lengths;
  for (const auto& chain : chains(together)) lengths.push_back(chain.size() - 1);
  std::size_t layers = 0, convolutions = 0;
  for (const auto& node : together.model().graph().nodes()) {
    const std::string type = node.layer->class_name();
    convolutions += type.find("Conv2D") != std::string::npos;
    layers += type.find("Conv2D") == std::string::npos && type != "InputLayer";
  }
  CHECK(convolutions == 18);
  CHECK(lengths.size() == convolutions);
  std::size_t absorbed = 0;
  for (const std::size_t length : lengths) absorbed += length;
  CHECK(absorbed == layers);

  check_inference<float>(cpu::device(), cpu::device(), tolerance);
  check_inference<float>(cpu::device({.threads = 3}), strata_test::reference_device(), 1e-5);
  check_inference<float>(strata_test::reference_device({.host_accessible = false}), cpu::device(), 1e-5);
  check_inference<double>(strata_test::reference_device({.host_accessible = false}),
                          strata_test::reference_device(), 1e-12);
  CHECK(together.predict(Tensor<float>({0, 11, 9, 5})).shape()[0] == 0);
}

TEST_CASE("What a convolution does on the way out equals what the layers behind it do", "[plan]") {
  const Tensor<float> input = random_tensor({2, 9, 8, 6}, 1).cast<float>();
  const auto block = [](const Layer& layer, const Activation& f, bool pool, bool apart) {
    const auto left_alone = [&](const Symbol& x) { return apart ? Dropout(0)(x) : x; };
    const Symbol x = Input({.shape = {9, 8, 6}});
    Symbol y = Add()({x, left_alone(BatchNormalization()(left_alone(layer(x))))});
    y = ActivationLayer(f)(left_alone(y));
    if (pool) y = MaxPooling2D()(left_alone(y));
    Model model(x, y);
    std::uint64_t seed = 0;
    for (const auto& weight : model.weights())
      weight->mutate() = random_tensor(weight->shape(), ++seed, -1, 1).cast<float>();
    Tensor<float>& variance = model.weights().back()->mutate();
    for (float& value : variance.values()) value = value * value + 0.01f;
    return model;
  };
  using enum Activation::Kind;
  for (const auto kind : {linear, relu, leaky_relu, elu, sigmoid, tanh, relu6, silu, gelu, selu, softplus,
                          softsign, hard_sigmoid, mish, softmax})
    for (const bool pool : {false, true})
      for (const bool use_bias : {false, true}) {
        const Layer layers[] = {
            Conv2D({.filters = 6, .kernel_size = 1, .use_bias = use_bias}),
            Conv2D({.filters = 6, .kernel_size = 3, .padding = Padding::same, .use_bias = use_bias}),
            Conv2D({.filters = 6, .kernel_size = 3, .padding = Padding::same, .groups = 2}),
            DepthwiseConv2D({.kernel_size = 3, .padding = Padding::same, .use_bias = use_bias}),
            SeparableConv2D({.filters = 6, .kernel_size = 3, .padding = Padding::same})};
        for (const Layer& layer : layers) {
          const Activation f{kind};
          INFO(layer.class_name() << ", " << name_of(f) << (pool ? ", pooling" : ""));
          const Model together = block(layer, f, pool, false);
          // A linear activation passes its input through, which ends the chain.
          CHECK(chains(together).at(0).size() == (pool ? kind == linear ? 3u : 5u : 4u));
          check_close("block", together.predict(input),
                      block(Layer(layer.impl()->copy()), f, pool, true).predict(input), 1e-6);
        }
      }
}

TEST_CASE("A plan says which convolution does the work", "[plan]") {
  const Symbol x = Input({.shape = {6, 6, 4}});
  const Symbol y = ReLU({.name = "relu"})(
      Add({.name = "sum"})({BatchNormalization({.name = "norm"})(convolved(x, "conv")), x}));
  const Model model(x, y);
  CHECK(chains(model) == Chains{{"conv", "norm", "sum", "relu"}});
  const ModelPlan plan = model.plan({.batch_size = 2});
  for (const char* name : {"norm", "sum", "relu"}) {
    CHECK(plan.at(name).fused_into == "conv");
    CHECK(plan.at(name).activation_bytes == 0);
  }
  CHECK_THAT(plan.to_string(), Catch::Contains("fused into conv"));
  // Devices are compared layer by layer, forward and backward: what has a gradient of its own has a row.
  const DeviceComparison found = compare_devices(model, random_tensor({2, 6, 6, 4}).cast<float>(),
                                                 cpu::device(), strata_test::reference_device());
  for (const char* name : {"conv", "norm", "sum"}) CHECK(found.at(name).largest() < 1e-5);
}

TEST_CASE("What a convolution does for a batch normalization follows its weights", "[plan]") {
  Model together = residual_blocks<float>(), apart = residual_blocks<float>(true);
  check_same(together, apart);
  SECTION("each alone") {
    std::uint64_t seed = 100;
    for (const auto& weight : together.weights()) {
      if (weight->shape().rank() != 1) continue;
      weight->mutate() = random_tensor(weight->shape(), ++seed, 0.3, 2).cast<float>();
      check_same(together, apart);
    }
  }
  SECTION("in a training step") {
    together.compile({.optimizer = SGD({.learning_rate = 0.01}), .loss = MeanSquaredError()});
    const Tensor<float> target({3, 5, 4, 7});
    for (int step = 0; step < 2; ++step) {
      const auto before = together.get_weights();
      together.train_on_batch(pictures(), target);
      CHECK(together.get_weights() != before);
      check_same(together, apart);
    }
    together.set_trainable(false);
    check_same(together, apart);
    together.set_trainable(true);
    together.train_on_batch(pictures(), target);
    check_same(together, apart);
  }
  SECTION("copied, and saved and loaded") {
    Model copy = together.clone();
    for (const auto& weight : copy.weights())
      if (weight->shape().rank() == 1)
        weight->mutate() = random_tensor(weight->shape(), 7, 0.3, 2).cast<float>();
    const Tensor<float> before = together.predict(pictures());
    check_same(copy, apart);
    CHECK(together.predict(pictures()) == before);
    const TemporaryDirectory directory;
    save_model(copy, directory / "blocks.safetensors");
    CHECK(load_model(directory / "blocks.safetensors").predict(pictures()) == copy.predict(pictures()));
  }
  SECTION("on another device") {
    const Tensor<float> before = together.predict(pictures());
    together.to(strata_test::reference_device({.host_accessible = false}));
    check_close("prediction", together.predict(pictures()), before, 1e-5);
    together.to(cpu::device());
    CHECK(together.predict(pictures()) == before);
  }
}

TEST_CASE("A batch normalization that trains works on its own, a frozen one does not", "[plan]") {
  const RunMode training{.batch_size = 3, .training = true, .recording = true};
  const Symbol x = Input({.shape = {11, 9, 5}});
  // The second has no weights that train.
  const BatchNormalization norm({.name = "norm"}), plain({.center = false, .scale = false, .name = "plain"});
  const Symbol y = plain(convolved(norm(convolved(x, "a")), "b", 5));
  Model base(x, ReLU({.name = "relu"})(y), {.name = "base"});
  CHECK(chains(base) == Chains{{"a", "norm"}, {"b", "plain", "relu"}});
  CHECK(chains(base, training) == Chains{{"plain", "relu"}});
  base.set_trainable(false);
  CHECK(chains(base, training) == chains(base));
  base.set_trainable(true);

  // Statistics of the batch are used by those that are not frozen, and by no others: as Keras's, one by one.
  Sequential model{base, Flatten(), Dense({.units = 1})};
  model.compile({.optimizer = SGD({.learning_rate = 0}), .loss = MeanSquaredError()});
  const auto moved = [&](const BatchNormalization& layer) {
    const Tensor<float> before = layer.get_weights()[layer.weights().size() - 2];
    model.train_on_batch(pictures(), Tensor<float>({3, 1}));
    return layer.get_weights()[layer.weights().size() - 2] != before;
  };
  base.set_trainable(false);
  CHECK_FALSE(moved(norm));
  CHECK_FALSE(moved(plain));
  base.layer("plain").set_trainable(true);
  CHECK(moved(plain));
  CHECK_FALSE(moved(norm));
  base.layer("norm").set_trainable(true);
  CHECK(moved(norm));
  base.layer("plain").set_trainable(false);
  base.layer("norm").set_trainable(false);
  CHECK_FALSE(moved(norm));
  CHECK_FALSE(moved(plain));
}

TEST_CASE("A frozen base does the work of its batch normalizations in a training step", "[plan]") {
  Model together = residual_blocks<float>(), apart = residual_blocks<float>(true);
  std::vector<double> losses[2];
  for (const bool alone : {false, true}) {
    Model& base = alone ? apart : together;
    base.set_trainable(false);
    Sequential model({base, Flatten(), Dense({.units = 1, .activation = Activation::sigmoid})}, {.seed = 4});
    model.compile({.optimizer = SGD({.learning_rate = 1e-3}), .loss = BinaryCrossentropy()});
    const ModelPlan plan = model.plan({.batch_size = 3, .training = true});
    std::size_t fused = 0;
    for (const auto& layer : plan.layers) fused += !layer.fused_into.empty();
    CHECK((alone ? fused == 0 : fused > 30));
    for (int step = 0; step < 3; ++step)
      losses[alone].push_back(model.train_on_batch(pictures(), Tensor<float>({3, 1}, {0, 1, 1}))["loss"]);
  }
  for (std::size_t step = 0; step < 3; ++step)
    CHECK(losses[0][step] == Approx(losses[1][step]).epsilon(1e-5));
  CHECK(losses[0][0] != losses[0][2]);
}

TEST_CASE("What cannot be done on the way out is not", "[plan]") {
  const Symbol x = Input({.shape = {6, 6, 4}});
  const auto behind = [&](const Symbol& y) { return chains(Model(x, y)); };
  const Symbol a = convolved(x, "a"), b = convolved(x, "b");
  const auto add = [](std::initializer_list<Symbol> of) { return Add({.name = "sum"})(of); };
  const auto norm = [](const Symbol& of, const char* name) { return BatchNormalization({.name = name})(of); };

  CHECK(behind(norm(norm(a, "n"), "m")) == Chains{{"a", "n"}});
  CHECK(behind(norm(ReLU({.name = "relu"})(a), "n")) == Chains{{"a", "relu"}});
  CHECK(behind(norm(MaxPooling2D({.name = "pool"})(a), "n")) == Chains{{"a", "pool"}});
  CHECK(behind(norm(add({x, a}), "n")) == Chains{{"a", "sum"}});
  CHECK(behind(add({x, ReLU({.name = "relu"})(a)})) == Chains{{"a", "relu"}});
  CHECK(behind(Add()({x, add({a, x})})) == Chains{{"a", "sum"}});
  // The one that is computed last does the sum.
  CHECK(behind(add({a, b})) == Chains{{"b", "sum"}});
  // Another operand that the sum repeats, or one more, or another merge.
  CHECK(behind(add({a, convolved(GlobalAveragePooling2D({.keepdims = true})(x), "b")})).empty());
  CHECK(behind(add({a, b, x})).empty());
  CHECK(behind(Subtract()({a, b})).empty());
  CHECK(behind(Multiply()({a, b})).empty());
  CHECK(behind(Average()({a, b})).empty());
  CHECK(behind(add({a, a})).empty());
  // A value that is computed behind the convolution.
  CHECK(behind(add({norm(a, "n"), MaxPooling2D({.pool_size = 1})(b)})) == Chains{{"a", "n"}});
  // A result that somebody asks for.
  const Symbol n = norm(a, "n");
  CHECK(chains(Model({.inputs = {x}, .outputs = {n, ReLU()(n)}})) == Chains{{"a", "n"}});
  CHECK(chains(Model({.inputs = {x}, .outputs = {a, n}})).empty());
}

TEST_CASE("Convolutions absorb poolings of padding same where all windows are whole", "[plan]") {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{8, 6}, {7, 6}, {8, 5}}) {
    CAPTURE(height, width);
    const Symbol input = Input({.shape = {height, width, 5}});
    const Layer convolution = Conv2D({.filters = 4, .kernel_size = 3, .padding = Padding::same, .name = "a"});
    const Layer pooling = MaxPooling2D({.padding = Padding::same, .name = "b"});
    const Model together(input, pooling(convolution(input))),
        apart(input, pooling(Dropout(0)(convolution(input))));
    CHECK(chains(together) == (height % 2 == 0 && width % 2 == 0 ? Chains{{"a", "b"}} : Chains{}));
    const Tensor<float> x = random_tensor({2, height, width, 5}, 8).cast<float>();
    check_close("prediction", together.predict(x), apart.predict(x), tolerance);
  }
}
