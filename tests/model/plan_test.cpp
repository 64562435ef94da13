#include <catch2/catch.hpp>

#include <strata/applications/vgg.hpp>
#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/gradient_check.hpp"
#include "support/reference/memory.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using strata_test::random_tensor;

namespace {

constexpr Activation relu = Activation::relu;

/// A frozen base inside a classifier.
struct Transfer {
  Sequential base{
      {Input({.shape = {8, 8, 2}}),
       Conv2D({.filters = 4, .kernel_size = 3, .activation = relu, .name = "low"}),
       Conv2D({.filters = 4, .kernel_size = 3, .activation = relu, .name = "high"}), MaxPooling2D()},
      {.name = "base"}};
  Sequential model{base, Flatten(), Dense({.units = 3}), Dense({.units = 1})};

  Transfer() { model.compile({.optimizer = SGD(), .loss = MeanSquaredError()}); }
  void train(std::int64_t batch = 4) {
    model.train_on_batch(random_tensor({batch, 8, 8, 2}).cast<float>(), Tensor<float>({batch, 1}));
  }
  void test() { model.test_on_batch(random_tensor({4, 8, 8, 2}).cast<float>(), Tensor<float>({4, 1})); }
  /// Plans that the model's one session made: one for the model and one for the base where both are new.
  std::int64_t plans() const { return model.model().session()->plans(); }
};

}  // namespace

TEST_CASE("A plan is made once for each batch size and kind of run", "[plan]") {
  Transfer t;
  CHECK(t.plans() == 0);
  for (int i = 0; i < 3; ++i) t.train();
  CHECK(t.plans() == 2);
  for (int i = 0; i < 3; ++i) t.test();
  CHECK(t.plans() == 4);
  t.train(3);
  CHECK(t.plans() == 6);
  for (int i = 0; i < 3; ++i) {
    t.train();
    t.train(3);
    t.test();
  }
  CHECK(t.plans() == 6);
  for (std::int64_t batch = 1; batch <= 12; ++batch) t.train(batch);  // forgotten at some time
  t.train();
}

TEST_CASE("Freezing makes another plan, wherever it happens", "[plan]") {
  Transfer t;
  t.train();
  CHECK(t.plans() == 2);
  t.base.layer("low").set_trainable(false);  // seen by the base alone
  t.train();
  CHECK(t.plans() == 3);
  t.base.set_trainable(false);
  t.train();
  CHECK(t.plans() == 5);
  t.base.layer("high").set_trainable(true);  // the base itself is frozen
  t.train();
  CHECK(t.plans() == 5);
  t.base.trainable_from("high");
  t.train();
  CHECK(t.plans() == 5);  // known from before
  t.test();
  CHECK(t.plans() == 7);
  t.base.set_trainable(true);
  t.test();
  CHECK(t.plans() == 7);  // nothing trains here
}

TEST_CASE("Another device has plans of its own", "[plan]") {
  Transfer t;
  t.train();
  t.model.to(strata_test::reference_device({.host_accessible = true}));
  CHECK(t.plans() == 0);
  t.train();
  t.train();
  CHECK(t.plans() == 2);
}

TEST_CASE("The plan of a graph says what is kept and where gradients go", "[plan]") {
  auto input = Input({.shape = {4, 4, 2}});
  const Conv2D left({.filters = 2, .kernel_size = 1}), right({.filters = 2, .kernel_size = 1});
  const Symbol a = left(input), b = right(a);
  Model model(input, Dense(1)(Flatten()(ReLU()(Add()({a, b})))));
  const auto& graph = model.model().graph();
  const auto node = [&](const GraphPlan& plan, const Layer& layer) -> const NodePlan& {
    std::size_t i = 0;
    while (graph.nodes()[i].layer != layer.impl()) ++i;
    return plan.nodes[i];
  };
  using enum GradientWay;

  const GraphPlan training = graph.plan({.batch_size = 5, .training = true, .recording = true});
  CHECK(training.nodes.front().shape == Shape{5, 4, 4, 2});
  CHECK(node(training, left).gradients == std::vector{none});
  CHECK(node(training, right).gradients == std::vector{added});
  CHECK(node(training, model.layer("add")).gradients == std::vector{first, first});
  CHECK(node(training, model.layer("re_lu")).gradients == std::vector{in_place});
  CHECK(node(training, model.layer("flatten")).gradients == std::vector{in_place});
  CHECK(node(training, model.layer("flatten")).passes);
  for (const NodePlan& p : training.nodes) CHECK(p.releases.empty());

  right.impl()->set_trainable(false);
  left.impl()->set_trainable(false);
  const GraphPlan frozen = graph.plan({.batch_size = 5, .training = true, .recording = true});
  CHECK_FALSE(node(frozen, model.layer("re_lu")).needs);
  CHECK(node(frozen, model.layer("dense")).gradients == std::vector{none});
  // The second convolution does the sum, and is the last to read the first one's result.
  CHECK(node(frozen, right).absorbs.size() == 2);
  CHECK(node(frozen, right).releases.size() == 1);
  CHECK(node(frozen, model.layer("add")).releases.empty());

  const GraphPlan watched =
      graph.plan({.batch_size = 5, .training = true, .recording = true, .input_gradient = true});
  CHECK(node(watched, left).gradients == std::vector{first});

  for (const NodePlan& p : graph.plan({.batch_size = 5}).nodes) CHECK((!p.needs && p.gradients.empty()));

  // A layer that cannot add to a gradient gets memory of its own.
  const Symbol pooled = MaxPooling2D({.strides = 1, .padding = Padding::same})(a);
  const Model other(input, Add()({a, pooled}));
  const GraphPlan plan =
      other.model().graph().plan({.batch_size = 5, .recording = true, .input_gradient = true});
  CHECK(plan.nodes[2].gradients == std::vector{apart});
}

namespace {

/// The same network twice: in one, a Dropout that drops nothing keeps activations and pooling apart from the
/// layers in front.
Sequential chain(const Activation& f, bool apart, std::int64_t channels = 3) {
  Sequential model({Input({.shape = {10, 10, channels}})}, {.seed = 5});
  const auto stage = [&](const Layer& layer, std::vector<Layer> behind) {
    model.add(layer);
    for (const Layer& next : behind) {
      if (apart) model.add(Dropout(0));
      model.add(next);
    }
  };
  stage(Conv2D({.filters = 16, .kernel_size = channels > 3 ? 2 : 3, .name = "a"}),
        {ActivationLayer(f), MaxPooling2D()});
  stage(BatchNormalization({.name = "n"}), {ActivationLayer(f)});
  stage(Conv2D({.filters = 8, .kernel_size = 2, .activation = f, .name = "b"}), {MaxPooling2D()});
  model.add(Flatten());
  stage(Dense({.units = 6, .name = "c"}), {ActivationLayer(f)});
  stage(Dense({.units = 3, .name = "d"}), {ActivationLayer(Activation::softmax)});
  model.compile(
      {.optimizer = SGD({.learning_rate = 0.1}), .loss = CategoricalCrossentropy(), .metrics = {"accuracy"}});
  return model;
}

/// On any device, or on the model's.
std::vector<std::vector<std::string>> absorbed(const Model& model, const RunMode& mode,
                                               bool on_device = false) {
  std::vector<std::vector<std::string>> out;
  const auto& nodes = model.model().graph().nodes();
  const auto session = model.model().session();
  const GraphPlan plan = model.model().graph().plan(mode, on_device ? &session->begin({}) : nullptr);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (plan.nodes[i].absorbs.empty()) continue;
    out.push_back({nodes[i].layer->name()});
    for (const int node : plan.nodes[i].absorbs) {
      CHECK(plan.nodes[static_cast<std::size_t>(node)].absorbed_by == static_cast<int>(i));
      out.back().push_back(nodes[static_cast<std::size_t>(node)].layer->name());
    }
  }
  return out;
}

}  // namespace

TEST_CASE("A layer does the work of those behind it, bit by bit what they do themselves", "[plan]") {
  const Activation f =
      Activation{GENERATE(Activation::Kind::relu, Activation::Kind::elu, Activation::Kind::sigmoid,
                          Activation::Kind::tanh, Activation::Kind::relu6, Activation::Kind::silu,
                          Activation::Kind::gelu, Activation::Kind::softplus, Activation::Kind::mish)};
  const std::int64_t channels = GENERATE(3, 20);
  CAPTURE(name_of(f), channels);
  const Tensor<float> x = random_tensor({4, 10, 10, channels}).cast<float>();
  const Tensor<float> y({4, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0});
  Sequential together = chain(f, false, channels), alone = chain(f, true, channels);
  for (int step = 0; step < 3; ++step) {
    CHECK(together.predict(x) == alone.predict(x));
    const Logs a = together.train_on_batch(x, y), b = alone.train_on_batch(x, y);
    CHECK(a["loss"] == b["loss"]);
    CHECK(a["accuracy"] == b["accuracy"]);
    // The gradient of a kernel of few channels is summed by rows, and these are pooled ones.
    if (channels == 3) alone.set_weights(together.get_weights());
  }
  CHECK(together.get_weights() == alone.get_weights());
  CHECK(together.evaluate(x, y, {.verbose = 0})["loss"] == alone.evaluate(x, y, {.verbose = 0})["loss"]);
}

TEST_CASE("What is absorbed depends on the kind of run", "[plan]") {
  using Chains = std::vector<std::vector<std::string>>;
  const Sequential model = chain(relu, false);
  const RunMode training{.batch_size = 2, .training = true, .recording = true, .linear_output = true};
  CHECK(absorbed(model, {.batch_size = 2}) == Chains{{"a", "activation", "max_pooling2d"},
                                                     {"n", "activation_1"},
                                                     {"b", "max_pooling2d_1"},
                                                     {"c", "activation_2"},
                                                     {"d", "activation_3"}});
  CHECK(absorbed(model, training) ==
        Chains{{"a", "activation"}, {"n", "activation_1"}, {"c", "activation_2"}, {"d", "activation_3"}});
  model.layer("a").impl()->set_trainable(false);
  CHECK(absorbed(model, training) == Chains{{"a", "activation", "max_pooling2d"},
                                            {"n", "activation_1"},
                                            {"c", "activation_2"},
                                            {"d", "activation_3"}});
  CHECK(absorbed(chain(relu, true), {.batch_size = 2}).empty());
  // A derivative that needs the input keeps it.
  CHECK(absorbed(chain(Activation::silu, false), training) == Chains{{"d", "activation_3"}});

  // Others read the result, or the pooling is another one.
  auto input = Input({.shape = {6, 6, 2}});
  const Symbol c = Conv2D({.filters = 2, .kernel_size = 3})(input);
  CHECK(absorbed(Model({.inputs = {input}, .outputs = {c, ReLU()(c)}}), {.batch_size = 2}).empty());
  CHECK(absorbed(Model(input, Add()({ReLU()(c), Softmax()(c)})), {.batch_size = 2}).empty());
  CHECK(absorbed(Model(input, Add()({c, c})), {.batch_size = 2}).empty());
  CHECK(absorbed(Model(input, MaxPooling2D(3)(c)), {.batch_size = 2}).empty());
  CHECK(absorbed(Model(input, AveragePooling2D(2)(c)), {.batch_size = 2}).empty());
  CHECK(absorbed(Model(input, ReLU()(MaxPooling2D(2)(c))), {.batch_size = 2}) ==
        Chains{{"conv2d", "max_pooling2d"}});
  CHECK(absorbed(Model(input, ReLU()(ReLU()(c))), {.batch_size = 2}) == Chains{{"conv2d", "re_lu"}});
}

TEST_CASE("In training a convolution does the work of a pooling whose maxima the device remembers",
          "[plan]") {
  using Chains = std::vector<std::vector<std::string>>;
  const RunMode training{.batch_size = 2, .training = true, .recording = true, .linear_output = true};
  const Chains all{{"a", "activation", "max_pooling2d"},
                   {"n", "activation_1"},
                   {"b", "max_pooling2d_1"},
                   {"c", "activation_2"},
                   {"d", "activation_3"}};
  CHECK(absorbed(chain(relu, false), training, true) == all);
  CHECK(absorbed(chain(Activation::tanh, false), training, true) == all);
  CHECK(absorbed(chain(Activation::silu, false), training, true) == Chains{{"d", "activation_3"}});
  RunMode observed = training;
  observed.observed = true;
  CHECK(absorbed(chain(relu, false), observed, true) == absorbed(chain(relu, false), training));

  auto input = Input({.shape = {6, 6, 2}});
  const Symbol c = Conv2D({.filters = 2, .kernel_size = 3, .padding = Padding::same})(input);
  const auto pool = [](const Symbol& x) { return MaxPooling2D(2)(x); };
  const auto chains = [&](const Symbol& y) { return absorbed(Model(input, y), training, true); };
  CHECK(chains(Flatten()(pool(c))) == Chains{{"conv2d", "max_pooling2d"}});
  CHECK(chains(Flatten()(ReLU()(pool(c)))) == Chains{{"conv2d", "max_pooling2d"}});
  CHECK(chains(Flatten()(pool(ReLU()(c)))) == Chains{{"conv2d", "re_lu", "max_pooling2d"}});
  CHECK(chains(pool(c)).empty());  // the result is an output
  CHECK(chains(Flatten()(pool(Softmax()(c)))) == Chains{{"conv2d", "softmax"}});
  CHECK(chains(Flatten()(pool(Add()({c, input})))).empty());
  CHECK(chains(Flatten()(MaxPooling2D({.strides = 1})(c))).empty());
  CHECK(chains(Flatten()(AveragePooling2D(2)(c))).empty());
  CHECK(chains(Flatten()(pool(DepthwiseConv2D({.kernel_size = 3})(input)))).empty());
  CHECK(chains(Flatten()(pool(BatchNormalization()(c)))).empty());
}

TEST_CASE("The CPU trains through absorbed poolings as the reference does", "[plan]") {
  const Activation f = GENERATE(Activation(Activation::relu), Activation(Activation::elu));
  const auto make = [&] {
    Sequential model(
        {Input({.shape = {30, 33, 3}}), Conv2D({.filters = 20, .kernel_size = 3, .activation = f}),
         MaxPooling2D(), Conv2D({.filters = 24, .kernel_size = 3, .padding = Padding::same, .activation = f}),
         MaxPooling2D(), Conv2D({.filters = 16, .kernel_size = 2}), ActivationLayer(f), MaxPooling2D(),
         Flatten(), Dense({.units = 3, .activation = Activation::softmax})},
        {.seed = 3});
    model.compile({.optimizer = SGD({.learning_rate = 0.05}), .loss = CategoricalCrossentropy()});
    return model;
  };
  Sequential here = make(), there = make();
  there.set_weights(here.get_weights());
  there.to(strata_test::reference_device({.host_accessible = false}));
  const Tensor<float> x = random_tensor({5, 30, 33, 3}).cast<float>();
  const Tensor<float> y({5, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0});
  for (int step = 0; step < 3; ++step)
    CHECK(here.train_on_batch(x, y)["loss"] == Approx(there.train_on_batch(x, y)["loss"]).epsilon(1e-5));
  const auto a = here.get_weights(), b = there.get_weights();
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::int64_t k = 0; k < a[i].size(); ++k)
      REQUIRE(a[i].data()[k] == Approx(b[i].data()[k]).margin(2e-5));
}

namespace {

Sequential convnet() {
  return Sequential({Input({.shape = {20, 20, 3}}), RandomFlip(), Dropout(0.1),
                     Conv2D({.filters = 8, .kernel_size = 3, .activation = relu}), BatchNormalization(),
                     ActivationLayer(Activation::silu), MaxPooling2D(),
                     Conv2D({.filters = 16, .kernel_size = 3, .name = "second"}), ReLU(), MaxPooling2D(),
                     Dropout(0.5), Flatten(), Dense({.units = 10, .activation = Activation::gelu}),
                     Dense({.units = 4}), ActivationLayer(Activation::softmax)},
                    {.name = "convnet"});
}
Sequential on_frozen_base() {
  Sequential base(
      {Input({.shape = {20, 20, 3}}), Conv2D({.filters = 8, .kernel_size = 3}), BatchNormalization(), ReLU(),
       MaxPooling2D(), Conv2D({.filters = 8, .kernel_size = 3, .name = "high"}), MaxPooling2D()},
      {.name = "base"});
  base.trainable_from("high");
  return Sequential({base, Flatten(), Dense({.units = 4, .activation = Activation::softmax})},
                    {.name = "transfer"});
}
Model residual() {
  auto input = Input({.shape = {20, 20, 3}});
  const Conv2D same({.filters = 3, .kernel_size = 3, .padding = Padding::same});
  Symbol x = Normalization()(input);
  for (int i = 0; i < 3; ++i)
    x = ReLU()(Add()(
        {same(x),
         Dropout({.rate = 0.2, .noise_shape = {1, 1, 1}})(Conv2D({.filters = 3, .kernel_size = 1})(x)), x}));
  return Model(input, Dense({.units = 4, .activation = Activation::softmax})(GlobalAveragePooling2D()(x)));
}
/// Convolutions that do all the work.
Model blocks() {
  auto input = Input({.shape = {20, 20, 3}});
  const auto convolve = [](const Symbol& x, std::int64_t filters) {
    return BatchNormalization()(Conv2D({.filters = filters, .kernel_size = 3, .padding = Padding::same})(x));
  };
  Symbol x = input;
  for (int i = 0; i < 3; ++i)
    x = ReLU()(Add()({i ? x : convolve(x, 5), convolve(ReLU()(convolve(x, 7)), 5)}));
  return Model(input, Dense({.units = 4, .activation = Activation::softmax})(GlobalAveragePooling2D()(x)));
}
/// Layers that need room for what lies between.
Model gated() {
  auto input = Input({.shape = {20, 20, 3}});
  const Symbol x = DepthwiseConv2D({.kernel_size = 3, .strides = 2})(
      SeparableConv2D({.filters = 8, .kernel_size = 3, .padding = Padding::same, .activation = relu})(input));
  const Symbol gate =
      Dense({.units = 8, .activation = Activation::sigmoid})(GlobalAveragePooling2D({.keepdims = true})(x));
  const Symbol y = Conv2DTranspose({.filters = 6, .kernel_size = 2, .strides = 2})(
      Maximum()({Multiply()({x, gate}), gate}));
  return Model(input, Dense({.units = 4, .activation = Activation::softmax})(GlobalMaxPooling2D()(
                          UpSampling2D({.size = {1, 2}, .interpolation = Interpolation::bilinear})(y))));
}

}  // namespace

TEST_CASE("A plan knows to the byte what a training step allocates", "[plan]") {
  const int which = GENERATE(0, 1, 2);
  Model model = which == 0 ? Model(convnet()) : which == 1 ? Model(on_frozen_base()) : residual();
  const DevicePtr device = strata_test::reference_device({.host_accessible = false});
  auto& counts = strata_test::memory_of(device).counts;
  model.to(device);
  std::int64_t weights = 0;
  for (const auto& weight : model.weights()) weights += static_cast<std::int64_t>(weight->value().bytes());
  model.compile({.optimizer = Adam(), .loss = CategoricalCrossentropy(), .metrics = {Accuracy()}});
  const std::size_t before = counts.bytes, allocations = static_cast<std::size_t>(counts.allocations);
  const ModelPlan plan = model.plan({.batch_size = 6, .training = true});
  INFO(plan.to_string());
  CHECK(static_cast<std::size_t>(counts.allocations) == allocations);
  CHECK(plan.weight_bytes == weights);

  const DeviceBatch<float> batch{
      random_tensor({6, 20, 20, 3}).cast<float>().to(device), Tensor<float>({6, 4}).to(device), {}};
  const auto now = [&] {
    return static_cast<std::int64_t>(counts.bytes - before - batch.x.bytes() - batch.y.bytes());
  };
  model.trainer().train_step(model.model(), batch);
  // Loss, its sum, the optimizer's state and the metrics' sums are doubles.
  const std::int64_t scalars =
      8 * static_cast<std::int64_t>(4 + Accuracy().impl().device_sums() + model.trainable_weights().size());
  CHECK(now() == plan.activation_bytes + plan.activation_gradient_bytes + plan.gradient_bytes +
                     plan.slot_bytes + scalars);
  model.release_memory();
  CHECK(now() == plan.gradient_bytes + plan.slot_bytes + scalars);
}

TEST_CASE("A plan knows to the byte what inference allocates", "[plan]") {
  const int which = GENERATE(0, 1, 2, 3, 4);
  const Model model = which == 0   ? Model(convnet())
                      : which == 1 ? Model(on_frozen_base())
                      : which == 2 ? residual()
                      : which == 3 ? gated()
                                   : blocks();
  const DevicePtr device = strata_test::reference_device({.host_accessible = false});
  auto& counts = strata_test::memory_of(device).counts;
  Model(model).to(device);
  const ModelPlan plan = model.plan({.batch_size = 6});
  INFO(plan.to_string());
  CHECK(plan.activation_gradient_bytes + plan.gradient_bytes + plan.slot_bytes == 0);
  const Tensor<float> x = random_tensor({6, 20, 20, 3}).cast<float>();
  Tensor<float> y({6, 4});
  const Tensor<float> there = x.to(device);
  const std::size_t before = counts.bytes;
  model.model().predict({there}, {y}, *model.model().session());
  CHECK(static_cast<std::int64_t>(counts.bytes - before) == plan.activation_bytes);
}

TEST_CASE("A plan counts what is multiplied", "[plan]") {
  Model base = applications::VGG16({.include_top = false, .input_shape = {150, 150, 3}, .weights = "random"});
  const ModelPlan plan = base.plan({.batch_size = 20});
  CHECK(plan.at("block1_conv1").forward_flops == 2ll * 20 * 150 * 150 * 64 * 3 * 3 * 3);
  CHECK(plan.at("block1_conv1").backward_flops == 0);
  CHECK(plan.at("block1_conv1").parameters == 3 * 3 * 3 * 64 + 64);
  CHECK(plan.at("block1_conv1").output_shape == Shape{20, 150, 150, 64});
  CHECK(plan.at("block1_pool").fused_into == "block1_conv2");
  CHECK(plan.at("block1_pool").activation_bytes == 0);
  CHECK(plan.at("block1_conv2").activation_bytes == 4ll * 20 * 75 * 75 * 64);
  CHECK_THROWS_AS(plan.at("block9"), ConfigError);

  base.trainable_from("block5_conv2");
  const ModelPlan training = Sequential{base, Flatten(), Dense(1)}.plan({.batch_size = 20, .training = true});
  const auto multiplied = [&](const char* name) {
    const LayerPlan& layer = training.at(name);
    return std::pair(layer.forward_flops, layer.backward_flops);
  };
  const std::int64_t block5 = 2ll * 20 * 9 * 9 * 512 * 9 * 512;
  CHECK(multiplied("vgg16/block5_conv1") == std::pair(block5, std::int64_t{0}));
  CHECK(multiplied("vgg16/block5_conv2") == std::pair(block5, block5));
  CHECK(multiplied("vgg16/block5_conv3") == std::pair(block5, 2 * block5));
  CHECK(multiplied("dense") == std::pair<std::int64_t, std::int64_t>(2 * 20 * 8192, 4 * 20 * 8192));
  CHECK(training.at("vgg16/block5_conv2").gradient_bytes == 4 * (9 * 512 * 512 + 512));
  CHECK(training.at("vgg16/block5_conv1").gradient_bytes == 0);

  const ModelPlan larger =
      Sequential{Input({.shape = {5, 6, 3}}), Conv2DTranspose({.filters = 4, .kernel_size = 3, .strides = 2})}
          .plan({.batch_size = 2, .training = true});
  CHECK(larger.at("conv2d_transpose").forward_flops == 2 * 2 * 5 * 6 * 3 * 3 * 3 * 4);
  CHECK(larger.at("conv2d_transpose").backward_flops == larger.at("conv2d_transpose").forward_flops);
}

TEST_CASE("The CPU keeps what it packs of frozen weights, not of those that train", "[plan]") {
  Sequential model{Input({.shape = {20, 20, 16}}),
                   Conv2D({.filters = 32, .kernel_size = 3, .padding = Padding::same, .name = "low"}),
                   Conv2D({.filters = 32, .kernel_size = 3, .padding = Padding::same, .name = "high"}),
                   Conv2D({.filters = 32, .kernel_size = 2, .strides = 2, .name = "top"}),
                   Flatten(),
                   Dense(1)};
  model.compile({.optimizer = SGD(), .loss = MeanSquaredError()});
  model.layer("low").set_trainable(false);
  const auto kernel = [&](const char* name) { return model.layer(name).weights()[0]->view(); };
  const char* const names[] = {"low", "high", "top"};
  std::vector<std::weak_ptr<int>> kept;
  for (const char* name : names) {
    auto number = std::make_shared<int>(1);
    kept.emplace_back(number);
    kernel(name).packed->get(1000, 1, [&](auto) { return std::exchange(number, nullptr); });
  }
  const Tensor<float> x = random_tensor({4, 20, 20, 16}).cast<float>();
  model.predict(x);
  for (const auto& number : kept) CHECK_FALSE(number.expired());
  model.train_on_batch(x, Tensor<float>({4, 1}));
  CHECK_FALSE(kept[0].expired());
  CHECK(kept[1].expired());
  CHECK(kept[2].expired());

  const ModelPlan inference = model.plan({.batch_size = 4}),
                  training = model.plan({.batch_size = 4, .training = true});
  for (const char* name : names) {
    const LayerPlan &a = inference.at(name), &b = training.at(name);
    CHECK(a.packed_bytes > 0);
    CHECK(b.packed_bytes == (name == names[0] ? a.packed_bytes : 0));
    CHECK(a.packed_bytes + a.workspace_bytes == b.packed_bytes + b.workspace_bytes);
  }
}

TEST_CASE("A plan can be read", "[plan]") {
  Sequential model = convnet();
  CHECK_THAT(model.plan().to_string(), Catch::Contains("inference of batches of 32 on cpu"));
  model.compile({.optimizer = SGD(), .loss = CategoricalCrossentropy()});
  const std::string text = model.plan({.batch_size = 20, .training = true}).to_string();
  CHECK_THAT(text, Catch::Contains("Plan: \"convnet\", training of batches of 20 on cpu"));
  for (const char* part : {"second (Conv2D)", "[20,7,7,16]", "1,168", "fused into second", "Backward",
                           "FLOPs: ", "Activations: ", "Gradients of weights: ", "Together: "})
    CHECK_THAT(text, Catch::Contains(part));
  CHECK_THAT(text, !Catch::Contains("Optimizer slots"));
  CHECK_THROWS_AS(model.plan({.batch_size = 0}), ConfigError);
  CHECK_THROWS_AS(Sequential{Dense(3)}.plan(), ConfigError);
}

TEST_CASE("The CPU says how it computes", "[plan]") {
  const auto algorithm = [](const Layer& layer, const Shape& input, const cpu::DeviceOptions& options = {}) {
    Sequential model{Input({.shape = input}), layer};
    model.to(cpu::device(options));
    const ModelPlan plan = model.plan({.batch_size = 4});
    CHECK(plan.layers[0].workspace_bytes >= 0);
    return plan.layers[0].algorithm;
  };
  const Conv2D conv({.filters = 64, .kernel_size = 3, .padding = Padding::same, .use_bias = false});
  CHECK_THAT(algorithm(conv, {56, 56, 64}), Catch::Contains("winograd F("));
  CHECK(algorithm(Conv2D({.filters = 64, .kernel_size = 3}), {56, 56, 64},
                  {.accuracy = cpu::ConvolutionAccuracy::exact}) == "direct");
  CHECK(algorithm(Conv2D({.filters = 8, .kernel_size = 3, .groups = 8}), {9, 9, 8}) == "depthwise");
  CHECK_THAT(algorithm(Conv2D({.filters = 8, .kernel_size = 1, .groups = 2}), {9, 9, 8}),
             Catch::Contains("direct, few channels, 2 groups"));
  CHECK(algorithm(Conv2D({.filters = 64, .kernel_size = 3}), {56, 56, 3}) == "direct, few channels");
  CHECK(algorithm(Dense(3), {5}) == "direct");
  CHECK(algorithm(ReLU(), {5}).empty());
}
