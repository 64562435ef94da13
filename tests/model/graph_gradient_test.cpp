#include <catch2/catch.hpp>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using strata_test::check_gradients;
using strata_test::check_training_gradients;
using strata_test::random_tensor;

using Symbol64 = BasicSymbol<double>;
using Model64 = BasicModel<double>;
using Sequential64 = BasicSequential<double>;
using Input64 = BasicInput<double>;
using Conv2D64 = BasicConv2D<double>;
using Dense64 = BasicDense<double>;
using Add64 = BasicAdd<double>;
using Concatenate64 = BasicConcatenate<double>;
using Flatten64 = BasicFlatten<double>;
using Dropout64 = BasicDropout<double>;
using MaxPooling2D64 = BasicMaxPooling2D<double>;
using BatchNormalization64 = BasicBatchNormalization<double>;

namespace {
Conv2D64 conv(std::int64_t filters, const char* name = "") {
  return Conv2D64({.filters = filters,
                   .kernel_size = 3,
                   .padding = Padding::same,
                   .activation = Activation::elu,
                   .name = name});
}
Model64 small_base(const char* name = "base") {
  return Sequential64(
      {Input64({.shape = {6, 6, 2}}), conv(3, "conv1"), MaxPooling2D64(), conv(4, "conv2"), MaxPooling2D64()},
      {.name = name});
}
}  // namespace

TEST_CASE("Gradients through a convnet") {
  const Sequential64 model({Input64({.shape = {6, 6, 2}}), conv(3), BatchNormalization64(), MaxPooling2D64(),
                            conv(2), Dropout64(0.3), Flatten64(),
                            Dense64({.units = 4, .activation = Activation::tanh}), Dropout64(0.5),
                            Dense64({.units = 2, .activation = Activation::softmax})});
  check_gradients(model);
  check_gradients(model, {.training = false});
}

TEST_CASE("A pooling takes its gradient through the activation in front of it", "[plan]") {
  const auto behind = [](const Model64& model) {
    std::vector<std::string> out;
    const auto& graph = model.model().graph();
    const GraphPlan plan = graph.plan({.batch_size = 2, .training = true, .recording = true});
    for (std::size_t i = 0; i < plan.nodes.size(); ++i)
      if (plan.nodes[i].behind) out.push_back(graph.nodes()[i].layer->name());
    return out;
  };
  using Names = std::vector<std::string>;
  const Input64 x({.shape = {7, 6, 2}});
  const auto convolved = [&](const Activation& f) {
    return Conv2D64({.filters = 3, .kernel_size = 3, .activation = f, .name = "conv"})(x);
  };
  const auto pool = [](std::int64_t size) {
    return MaxPooling2D64({.pool_size = size, .strides = 2, .padding = Padding::same});
  };
  for (const Activation& f : {Activation::relu, Activation::leaky_relu(0.2), Activation::elu,
                              Activation::sigmoid, Activation::tanh, Activation::relu6})
    for (const std::int64_t size : {2, 3}) {
      const Model64 model(x, Flatten64()(pool(size)(convolved(f))));
      CHECK(behind(model) == Names{"conv"});
      check_gradients(model);
    }
  const BasicReLU<double> relu({.name = "relu"});
  const Model64 apart(x, Flatten64()(pool(2)(relu(convolved(Activation::linear)))));
  CHECK(behind(apart) == Names{"relu"});
  check_gradients(apart);
  const Model64 average(x, BasicGlobalAveragePooling2D<double>()(convolved(Activation::relu)));
  CHECK(behind(average) == Names{"conv"});
  check_gradients(average);

  // Not where the derivative needs the input or other channels, where somebody else reads the result, or
  // where it is the model's.
  for (const Activation& f : {Activation::linear, Activation::silu, Activation::softmax}) {
    const Model64 model(x, Flatten64()(pool(2)(convolved(f))));
    CHECK(behind(model).empty());
    check_gradients(model);
  }
  const Symbol64 twice = convolved(Activation::relu);
  const Model64 two(x, Add64()({Flatten64()(pool(2)(twice)), Flatten64()(pool(3)(twice))}));
  CHECK(behind(two).empty());
  check_gradients(two);
  CHECK(behind(Model64({.inputs = {x}, .outputs = {twice, pool(2)(twice)}})).empty());
}

TEST_CASE("Gradients go through the poolings that convolutions absorbed", "[plan]") {
  const Padding padding = GENERATE(Padding::valid, Padding::same);
  const Activation f = GENERATE(Activation(Activation::linear), Activation(Activation::relu),
                                Activation(Activation::tanh), Activation::leaky_relu(0.3));
  INFO(name_of(f));
  const auto convolution = [&](std::int64_t filters) {
    return Conv2D64({.filters = filters, .kernel_size = 3, .padding = padding, .activation = f});
  };
  const auto activation = [&] { return BasicActivationLayer<double>(f); };
  const auto check = [](const Symbol64& x, const Symbol64& y) {
    check_gradients(Model64(x, Dense64({.units = 2})(Flatten64()(y))));
  };
  const auto pool = [](const Symbol64& x) { return MaxPooling2D64(2)(x); };
  const Input64 x({.shape = {11, 12, 2}});
  check(x, pool(convolution(3)(x)));
  check(x, activation()(pool(Conv2D64({.filters = 3, .kernel_size = 2, .use_bias = false})(x))));
  check(x, pool(convolution(3)(pool(activation()(convolution(4)(x))))));
  const Conv2D64 shared({.filters = 2, .kernel_size = 3, .padding = Padding::same, .name = "again"});
  check(x, pool(shared(pool(activation()(shared(x))))));
  const Symbol64 stem = convolution(3)(x);  // which others read, too
  check(x, Concatenate64()({pool(conv(2)(stem)), pool(stem), pool(conv(2)(stem))}));
}

TEST_CASE("Gradients through branches that join") {
  const Input64 x({.shape = {4, 4, 3}});
  const Symbol64 stem = conv(3)(x);
  const Symbol64 left = conv(3)(stem), right = conv(2)(conv(2)(stem));
  const Symbol64 sum = Add64()({left, stem, stem});  // a residual, and the same result twice
  const Symbol64 joined = Concatenate64()({sum, right, x});
  check_gradients(Model64(x, Dense64({.units = 2})(Flatten64()(joined))));
  // Branches behind layers that only pass their input on.
  const Symbol64 flat = Flatten64()(stem), thinned = Dropout64(0.4)(flat);
  const Symbol64 both = Concatenate64()({flat, thinned, Dense64({.units = 3})(flat)});
  check_gradients(Model64(x, both));
  check_gradients(Model64(x, both), {.training = false});
}

TEST_CASE("Gradients of models that hardly compute") {
  const Input64 x({.shape = {3, 2}});
  check_gradients(Model64(x, Flatten64()(x)));
  check_gradients(Model64(x, Add64()({x, x})));
  const Symbol64 flat = Flatten64()(x);
  check_gradients(Model64(x, Add64()({flat, flat})));
  check_gradients(Model64(x, Flatten64()(Flatten64()(Dense64({.units = 2})(x)))));
}

TEST_CASE("Gradients of shared layers add up") {
  const Dense64 shared({.units = 3, .activation = Activation::sigmoid});
  const Input64 a({.shape = {3}}), b({.shape = {3}});
  const Model64 siamese(
      {.inputs = {a, b}, .outputs = {Concatenate64()({shared(a), shared(b), shared(shared(a))})}});
  CHECK(siamese.weights().size() == 2);
  check_gradients(siamese);

  const Conv2D64 block = conv(2);
  const Input64 image({.shape = {4, 3, 2}});
  Symbol64 y = image;
  for (int i = 0; i < 4; ++i) y = Add64()({y, block(y)});  // an unrolled recurrence
  const Model64 recurrent(image, y);
  CHECK(recurrent.weights().size() == 2);
  check_gradients(recurrent);
  check_gradients(recurrent, {.training = false, .batch = 1});

  const BatchNormalization64 normalize;
  const Input64 u({.shape = {4}});
  check_gradients(Model64(u, Add64()({normalize(u), normalize(Dense64({.units = 4})(u))})));
}

TEST_CASE("Gradients through models inside models") {
  const Model64 base = small_base();
  const Sequential64 model({base, Flatten64(), Dense64({.units = 3})});
  check_gradients(model);

  // Activations whose derivative needs their input: of layers, of a model inside, of the output.
  for (const Activation& f : {Activation::silu, Activation::gelu, Activation::mish}) {
    const Dense64 last({.units = 3, .activation = f});
    const Sequential64 inner({Input64({.shape = {4}}), Dense64({.units = 3, .activation = f}),
                              BasicActivationLayer<double>(f), last},
                             {.name = "inner"});
    const Sequential64 only({Input64({.shape = {3}}), BasicActivationLayer<double>(f)}, {.name = "only"});
    check_gradients(Sequential64({inner, only, last, Dense64({.units = 2, .activation = f})}));
  }

  // One base, twice in a graph, and once more inside a model inside it.
  const Input64 a({.shape = {6, 6, 2}}), b({.shape = {6, 6, 2}});
  const Sequential64 head({base, Flatten64(), Dense64({.units = 2})}, {.name = "head"});
  const Symbol64 y = Concatenate64()({Flatten64()(base(a)), Flatten64()(base(b)), head(a)});
  const Model64 pair({.inputs = {a, b}, .outputs = {y}});
  CHECK(pair.weights().size() == 6);
  check_gradients(pair);

  // A model of two inputs as a layer, one of which needs no gradient.
  const Input64 u({.shape = {2, 2}}), v({.shape = {4}});
  const Model64 join(
      {.inputs = {u, v}, .outputs = {Add64()({Flatten64()(u), Dropout64(0.5)(v)})}, .name = "join"});
  const Input64 s({.shape = {2, 2}}), t({.shape = {4}});
  check_gradients(Model64({.inputs = {s, t}, .outputs = {join({s, Dense64({.units = 4})(t)})}}));
  Model64 trained({.inputs = {s}, .outputs = {join({s, Dense64({.units = 4})(Flatten64()(s))})}});
  trained.to(strata_test::reference_device({.host_accessible = false}));
  trained.compile({.optimizer = SGD({.learning_rate = 1}), .loss = BasicMeanSquaredError<double>()});
  CHECK_NOTHROW(trained.train_on_batch(random_tensor({2, 2, 2}), random_tensor({2, 4})));
}

TEST_CASE("Gradients around frozen parts") {
  const Model64 base = small_base();
  Sequential64 model({base, Flatten64(), Dense64({.units = 3})});
  for (const char* name : {"conv1", "conv2"}) {
    Model64 part = base;
    part.set_trainable(true);
    part.trainable_from(name);
    CHECK(model.trainable_weights().size() == (name[4] == '1' ? 6 : 4));
    check_gradients(model);
  }
  Model64(base).set_trainable(false);
  CHECK(model.trainable_weights().size() == 2);
  check_gradients(model);

  // Frozen in the middle: gradients pass through to what lies in front.
  const Sequential64 sandwich({Input64({.shape = {4, 4, 2}}), conv(2, "first"), conv(2, "middle"),
                               BatchNormalization64({.name = "norm"}), conv(1, "last")});
  sandwich.layer("middle").set_trainable(false);
  sandwich.layer("norm").set_trainable(false);
  CHECK(sandwich.trainable_weights().size() == 4);
  check_gradients(sandwich);

  // A shared layer that is frozen in front of and behind a trained one.
  const Dense64 shared({.units = 3}), free({.units = 3});
  const Input64 x({.shape = {3}});
  const Model64 around(x, shared(free(shared(x))));
  shared.impl()->set_trainable(false);
  CHECK(around.trainable_weights().size() == 2);
  check_gradients(around);
}

TEST_CASE("Training steps follow the gradient of the whole loss") {
  const auto compiled = [](Sequential64 model, BasicLoss<double> loss) {
    model.to(strata_test::reference_device({.host_accessible = false}));
    model.compile({.optimizer = SGD({.learning_rate = 1}), .loss = std::move(loss)});
    return model;
  };
  const Tensor<double> x = random_tensor({5, 4});
  const auto one_hot = [](std::int64_t rows, std::int64_t classes) {
    Tensor<double> y({rows, classes});
    for (std::int64_t r = 0; r < rows; ++r) y(r, r % classes) = 1;
    return y;
  };
  const auto stack = [](std::int64_t units, Activation last) {
    return Sequential64(
        {Input64({.shape = {4}}),
         Dense64({.units = 6, .activation = Activation::tanh, .kernel_regularizer = L1L2(0.02, 0.05)}),
         Dense64({.units = units, .activation = last})},
        {.seed = 8});
  };
  const Tensor<double> weights({5}, {1, 0, 2, 0.5, 3});
  for (const Tensor<double>& weight : {Tensor<double>(), weights}) {
    Sequential64 binary = compiled(stack(1, Activation::sigmoid), BasicBinaryCrossentropy<double>());
    check_training_gradients(binary, x, Tensor<double>({5, 1}, {0, 1, 1, 0, 1}), weight);
    Sequential64 smooth =
        compiled(stack(2, Activation::sigmoid), BasicBinaryCrossentropy<double>({.label_smoothing = 0.1}));
    check_training_gradients(smooth, x, one_hot(5, 2), weight);
    Sequential64 logits =
        compiled(stack(1, Activation::linear), BasicBinaryCrossentropy<double>({.from_logits = true}));
    check_training_gradients(logits, x, Tensor<double>({5, 1}, {0, 1, 1, 0, 1}), weight);
    // No logits to be had: from probabilities, softmax differentiated on its own.
    Sequential64 odd = compiled(stack(3, Activation::softmax), BasicBinaryCrossentropy<double>());
    check_training_gradients(odd, x, one_hot(5, 3), weight);
    Sequential64 categorical =
        compiled(stack(3, Activation::softmax), BasicCategoricalCrossentropy<double>());
    check_training_gradients(categorical, x, one_hot(5, 3), weight);
    Sequential64 sums = compiled(stack(3, Activation::sigmoid),
                                 BasicCategoricalCrossentropy<double>({.label_smoothing = 0.2}));
    check_training_gradients(sums, x, one_hot(5, 3), weight);
    Sequential64 sparse =
        compiled(stack(3, Activation::softmax), BasicSparseCategoricalCrossentropy<double>());
    check_training_gradients(sparse, x, Tensor<double>({5}, {0, 2, 1, 1, 0}), weight);
    Sequential64 clipped =
        compiled(stack(3, Activation::sigmoid), BasicSparseCategoricalCrossentropy<double>());
    check_training_gradients(clipped, x, Tensor<double>({5}, {0, 2, 1, 1, 0}), weight);
    Sequential64 squares = compiled(stack(2, Activation::linear), BasicMeanSquaredError<double>());
    check_training_gradients(squares, x, random_tensor({5, 2}), weight);
  }

  // The last activation as a layer of its own, and inside a nested model: both leave it to the loss.
  Sequential64 apart = compiled({Input64({.shape = {4}}), Dense64({.units = 3}), BasicSoftmax<double>()},
                                BasicCategoricalCrossentropy<double>());
  check_training_gradients(apart, x, one_hot(5, 3));
  Sequential64 nested =
      compiled({Input64({.shape = {4}}), Dense64({.units = 4}), stack(1, Activation::sigmoid)},
               BasicBinaryCrossentropy<double>());
  check_training_gradients(nested, x, Tensor<double>({5, 1}, {0, 1, 1, 0, 1}));
  // The last layer appears twice; only its last call may go without its activation.
  const Dense64 twice({.units = 4, .activation = Activation::sigmoid});
  Sequential64 shared = compiled({Input64({.shape = {4}}), twice, twice}, BasicBinaryCrossentropy<double>());
  check_training_gradients(shared, x, random_tensor({5, 4}, 1, 0, 1));
  // Frozen parts keep their weights, and their penalties do not count.
  Sequential64 frozen = compiled(stack(1, Activation::sigmoid), BasicBinaryCrossentropy<double>());
  frozen.layers()[1].set_trainable(false);
  check_training_gradients(frozen, x, Tensor<double>({5, 1}, {0, 1, 1, 0, 1}));
}
