#include <catch2/catch.hpp>

#include <cmath>
#include <utility>

#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/layers/registry.hpp>
#include <strata/training/fit.hpp>

#include "support/device_training.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/reference/memory.hpp"
#include "support/reference/reference.hpp"
#include "support/skip.hpp"

using namespace strata;
using namespace strata_test;

namespace {

const char* const without = "this processor has no AVX512-BF16";
bool available() {
  return cpu::bfloat16_product(cpu::kernels()) != nullptr;
}

Tensor<float> part(const Tensor<float>& all, std::int64_t at) {
  const auto slice = all.slice(at, at + 1);
  return Tensor<float>(slice.shape().without_batch(), {slice.data(), static_cast<std::size_t>(slice.size())});
}

/// The model of the golden file with its weights.
Sequential model_of(const Golden& golden, const Json& of) {
  Sequential model;
  model.add(Input({.shape = of.get<Shape>("input_shape")}));
  for (const Json& layer : of.at("layers").as_array()) model.add(Layer(layer_from_config<float>(layer)));
  for (const Layer& layer : model.layers())
    for (const auto& weight : layer.weights())
      weight->mutate() = golden.read<float>(of, "weights/" + layer.name() + "/" + weight->name());
  return model;
}

double distance(const Tensor<float>& a, const Tensor<float>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    sum += std::pow(static_cast<double>(a.data()[i] - b.data()[i]), 2);
  return std::sqrt(sum);
}

/// Convolutions that alone read what others leave, with poolings and activations between them, and results
/// that others read too. That of layer `other` is an output, too.
Model chain(const std::string& other = "") {
  const auto convolution = [](const char* name, std::int64_t filters, int size, const Activation& f) {
    return Conv2D(
        {.filters = filters, .kernel_size = size, .padding = Padding::same, .activation = f, .name = name});
  };
  const std::vector<Layer> layers{convolution("a", 8, 3, Activation::relu),
                                  MaxPooling2D(),
                                  convolution("b", 6, 1, Activation::linear),
                                  MaxPooling2D({.padding = Padding::same}),
                                  convolution("c", 34, 3, Activation::silu),
                                  convolution("d", 32, 1, Activation::linear),
                                  BatchNormalization(),
                                  convolution("e", 64, 1, Activation::linear),
                                  ActivationLayer({.activation = Activation::leaky_relu(0.1)}),
                                  Dropout(0.5),
                                  convolution("odd", 7, 1, Activation::relu),
                                  convolution("f", 16, 3, Activation::relu),
                                  convolution("g", 16, 1, Activation::relu),
                                  Add(),
                                  DepthwiseConv2D({.kernel_size = 2, .name = "h"}),
                                  convolution("i", 5, 1, Activation::relu),
                                  Flatten(),
                                  Dense({.units = 3, .name = "j"})};
  const Symbol input = Input({.shape = {9, 8, 4}});
  Symbol before, x = input;
  std::vector<Symbol> outputs;
  for (const Layer& layer : layers) {
    const Symbol y = layer.class_name() == "Add" ? Add()({before, x}) : layer(x);
    before = x;
    x = y;
    if (!other.empty() && layer.name() == other) outputs.push_back(x);
  }
  outputs.push_back(x);
  return Model({.inputs = {input}, .outputs = outputs});
}

struct Watcher : RunObserver<float> {
  int seen = 0;
  void after_forward(const std::string&, const LayerImpl&, TensorView<float>) override { ++seen; }
  void after_backward(const std::string&, const LayerImpl&, std::span<const TensorView<float>>) override {}
};

}  // namespace

TEST_CASE("ten steps in mixed_bfloat16 stay as near to float64 as Keras's") {
  if (!available()) STRATA_SKIP(without);
  const Golden golden("mixed_bfloat16");
  const Tensor<float> x = golden.read<float>("x"), y = golden.read<std::int32_t>("y").cast<float>();
  // Whose errors, summed over all steps: rounding once is chance.
  double ours = 0, keras = 0, float32 = 0, ours_at_end = 0, keras_at_end = 0;
  for (const Json& of : golden.cases()) {
    const auto exact = of.at("losses").get<std::vector<double>>("float64"),
               rounded = of.at("losses").get<std::vector<double>>("mixed_bfloat16");
    for (const char* policy : {"float32", "mixed_bfloat16"}) {
      Sequential model = model_of(golden, of);
      model.set_policy(policy);
      model.compile({.optimizer = SGD({.learning_rate = of.get<double>("learning_rate"), .momentum = 0.9}),
                     .loss = "sparse_categorical_crossentropy"});
      double& error = policy == std::string("float32") ? float32 : ours;
      for (std::size_t step = 0; step < exact.size(); ++step) {
        const auto at = static_cast<std::int64_t>(step);
        error += std::abs(model.train_on_batch(part(x, at), part(y, at))["loss"] - exact[step]);
      }
      if (&error == &ours)
        ours_at_end += distance(model.predict(part(x, 0)), golden.read<float>(of, "prediction"));
    }
    for (std::size_t step = 0; step < exact.size(); ++step) keras += std::abs(rounded[step] - exact[step]);
    keras_at_end += of.get<double>("prediction_error");
  }
  CAPTURE(float32, ours, keras, ours_at_end, keras_at_end);
  CHECK(ours < keras);
  CHECK(ours_at_end < keras_at_end);
  CHECK(ours > 10 * float32);  // it was bfloat16
}

TEST_CASE("in mixed_bfloat16 a convolution trains through the pooling that it does, too") {
  if (!available()) STRATA_SKIP(without);
  const auto make = [](bool apart) {  // apart: by a Dropout that drops nothing
    Sequential model({Input({.shape = {12, 13, 16}})}, {.seed = 4});
    for (const char* name : {"a", "b"}) {
      model.add(Conv2D({.filters = 32, .kernel_size = 3, .activation = Activation::relu, .name = name}));
      if (apart) model.add(Dropout(0));
      model.add(MaxPooling2D());
    }
    model.add(Flatten());
    model.add(Dense({.units = 3, .name = "c"}));
    model.compile({.optimizer = SGD({.learning_rate = 0.1}), .loss = MeanSquaredError()});
    model.set_policy("mixed_bfloat16");
    return model;
  };
  Sequential together = make(false), alone = make(true);
  alone.set_weights(together.get_weights());
  const Tensor<float> x = random_tensor({5, 12, 13, 16}).cast<float>(), y({5, 3});
  for (int step = 0; step < 3; ++step) {
    const auto before = alone.get_weights();
    together.train_on_batch(x, y);
    alone.train_on_batch(x, y);
    const auto a = together.get_weights(), b = alone.get_weights();
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK(distance(a[i], b[i]) <= 1e-2 * distance(b[i], before[i]));
  }
}

TEST_CASE("a policy belongs to the model: to its clone, its plan and to every device it moves to") {
  if (!available()) STRATA_SKIP(without);
  const Golden golden("mixed_bfloat16");
  const Json& of = golden.cases().at(0);
  Sequential model = model_of(golden, of);
  const Tensor<float> x = part(golden.read<float>("x"), 0), plain = model.predict(x);
  const std::string before = model.plan({.batch_size = 8}).to_string();
  CHECK(before.find("bfloat16") == std::string::npos);

  const Tensor<float> narrow = model.set_policy("mixed_bfloat16").predict(x);
  CHECK(distance(narrow, plain) > 1e-5);
  CHECK(distance(narrow, plain) < 1e-2);
  CHECK(model.plan({.batch_size = 8}).to_string().find("direct, bfloat16") != std::string::npos);
  CHECK(distance(model.clone().predict(x), narrow) == 0);
  const DevicePtr of_its_own = cpu::device({.threads = 1, .policy = Policy::mixed_bfloat16});
  model.to(of_its_own);
  CHECK(distance(model.predict(x), narrow) == 0);
  model.set_policy("float32");  // whatever the device does by default
  CHECK(distance(model.predict(x), plain) == 0);

  Sequential without_policy = model_of(golden, of);
  without_policy.to(of_its_own);
  CHECK(distance(without_policy.predict(x), narrow) == 0);
  CHECK_THROWS_WITH(model.set_policy("half"),
                    "[policy] 'half' is not a policy; there are float32, mixed_bfloat16");
}

TEST_CASE("a device without products in bfloat16 computes as before") {
  const Golden golden("mixed_bfloat16");
  const Json& of = golden.cases().at(0);
  Sequential model = model_of(golden, of);
  const cpu::KernelTable& least = *cpu::available_kernels().back();
  if (cpu::bfloat16_product(least)) STRATA_SKIP("these kernels are all there are");
  model.to(cpu::device({.threads = 1, .instruction_set = least.name}));
  const Tensor<float> x = part(golden.read<float>("x"), 0), plain = model.predict(x);
  CHECK(distance(model.set_policy("mixed_bfloat16").predict(x), plain) == 0);
}

TEST_CASE("a result that one convolution alone reads lies in bfloat16, and that changes no bit") {
  const DevicePtr reference = reference_device({.host_accessible = false});
  std::vector<DevicePtr> devices{reference};
  if (available()) devices.push_back(cpu::device({.threads = 2}));
  std::int64_t& narrow = memory_of(reference).counts.narrow_inputs;
  const Tensor<float> x = random_tensor({3, 9, 8, 4}, 7).cast<float>();
  for (const DevicePtr& device : devices) {
    CAPTURE(device->description());
    const auto taken = [&](std::int64_t expected) {
      const std::int64_t found = std::exchange(narrow, 0);
      if (device == reference) CHECK(found == expected);
    };
    Model model = chain();
    model.to(device);
    model.predict(x);
    taken(0);
    model.set_policy("mixed_bfloat16");
    Session<float> session(device);
    session.backend().set_policy(Policy::mixed_bfloat16);
    const Graph<float>& graph = model.model().graph();
    const Tensor<float> on_device = x.to(device);
    Tensor<float> y({3, 3}, device);
    const TensorView<const float> input[] = {on_device};
    const TensorView<float> output[] = {y};
    const auto run = [&](const Session<float>::Options& options) {
      graph.forward(input, output, session.begin(options));
      return y.to(nullptr);
    };
    Watcher watcher;  // sees floats
    const Tensor<float> expected = run({.observer = &watcher});
    CHECK(watcher.seen > 8);
    taken(0);
    CHECK(distance(model.predict(x), expected) == 0);
    taken(5);             // of b, behind a pooling, of c, of d, of e, behind a normalization, and of f
    model.predict(x, 2);  // another plan
    taken(10);

    // What a run ends with is whole, here c's result. Where it is given, d reads floats.
    const int path[] = {5};
    REQUIRE(graph.node_at(path).name() == "c");
    const Tensor<float> c = session.download(graph.forward_prefix(input, path, session.begin({})));
    taken(2);
    const Tensor<float> given = c.to(device);
    CHECK(distance(run({.given = {path, given}}), expected) == 0);
    taken(2);
    CHECK(graph.first_non_finite(input, session.begin({})) == "");
    taken(0);

    // An output is whole, whoever reads it.
    Model two = chain("c");
    two.to(device);
    const std::vector<Tensor<float>> plain = two.predict(std::vector<Tensor<float>>{x});
    two.set_policy("mixed_bfloat16");
    taken(0);
    const std::vector<Tensor<float>> rounded = two.predict(std::vector<Tensor<float>>{x});
    taken(4);
    CHECK(distance(rounded[0], plain[0]) > 0);
    CHECK(distance(rounded[0], plain[0]) < 0.1);

    // A convolution that trains reads floats, as its gradient does.
    model.compile({.loss = "mse"});
    for (const Layer& layer : model.layers())
      Layer(layer).set_trainable(layer.name() == "d" || layer.name() == "j");
    model.train_on_batch(x, Tensor<float>({3, 3}));
    taken(2);
  }
}
