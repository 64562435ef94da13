#include <catch2/catch.hpp>

#include <thread>

#include <strata/layers/layers.hpp>
#include <strata/model/weights.hpp>

#include "support/gradient_check.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;
using strata_test::random_tensor;

namespace {
Tensor<float> values(const Shape& shape, std::uint64_t seed = 1) {
  return random_tensor(shape, seed).cast<float>();
}
Sequential small(std::uint64_t seed = 0) {
  return Sequential(
      {Input({.shape = {6, 5, 2}}), Conv2D({.filters = 3, .kernel_size = 3, .activation = Activation::relu}),
       Flatten(), Dense({.units = 2})},
      {.seed = seed});
}
}  // namespace

TEST_CASE("Layers get Keras's automatic names") {
  Sequential model{Input({.shape = {8, 8, 3}}),
                   Conv2D({.filters = 2, .kernel_size = 1}),
                   Conv2D({.filters = 2, .kernel_size = 1}),
                   MaxPooling2D(2),
                   BatchNormalization(),
                   LeakyReLU(0.1),
                   GlobalAveragePooling2D(),
                   Dense(1)};
  std::string names;
  for (const Layer& layer : model.layers()) names += layer.name() + " ";
  CHECK(names ==
        "input_layer conv2d conv2d_1 max_pooling2d batch_normalization leaky_re_lu global_average_pooling2d "
        "dense ");
  CHECK_THROWS_WITH(
      Sequential({Input({.shape = {2}}), Dense({.units = 1, .name = "a"}), Dense({.units = 1, .name = "a"})}),
      Contains("two layers are called 'a'"));
  CHECK_THROWS_WITH(model.layer("dense_7"),
                    Contains("there is no layer 'dense_7'") && Contains("max_pooling2d"));
}

TEST_CASE("The seed decides initial weights, layer by layer") {
  CHECK(small(7).get_weights() == small(7).get_weights());
  CHECK(small(7).get_weights()[0] != small(8).get_weights()[0]);
  // A layer's numbers depend on its path alone, not on what stands before it.
  Sequential longer({Input({.shape = {6, 5, 2}}), ReLU(), Conv2D({.filters = 3, .kernel_size = 3})},
                    {.seed = 7});
  CHECK(longer.get_weights()[0] == small(7).get_weights()[0]);
}

TEST_CASE("Handles share, clones do not") {
  Sequential model = small();
  Model same = model;
  Model copy = model.clone();
  CHECK(copy.get_weights() == model.get_weights());
  model.set_weights(small(99).get_weights());
  CHECK(same.get_weights() == model.get_weights());
  CHECK(copy.get_weights() != model.get_weights());
  CHECK_THROWS_AS(model.set_weights({}), WeightError);
  auto wrong = model.get_weights();
  wrong[2] = Tensor<float>({3, 3});
  const auto before = model.get_weights();
  CHECK_THROWS_WITH(model.set_weights(wrong), Contains("weight 'kernel' has shape [36,2], found [3,3]"));
  CHECK(model.get_weights() == before);
}

TEST_CASE("A Sequential without an Input builds itself when it meets data") {
  Sequential model{Flatten(), Dense({.units = 3})};
  CHECK(model.weights().empty());
  CHECK_THROWS_WITH(model.summary_text(), Contains("the input shape is not known yet"));
  CHECK(model.predict(values({4, 2, 5})).shape() == Shape{4, 3});
  CHECK(model.count_params() == 33);
  CHECK_THROWS_AS(model.predict(values({4, 2, 6})), ShapeError);
}

TEST_CASE("A Sequential without an Input takes the shape of the symbol it is called on") {
  Sequential block({Dense({.units = 4, .activation = Activation::relu}), Sequential({Dense({.units = 3})})});
  CHECK_THROWS_WITH(block.output_shape(), Contains("the input shape is not known yet"));
  const auto inputs = Input({.shape = {5}});
  const auto x = block(inputs);
  CHECK(x.shape() == Shape{3});
  const Model model({.inputs = {inputs}, .outputs = {Dense({.units = 1})(x)}});
  CHECK(model.count_params() == 5 * 4 + 4 + 4 * 3 + 3 + 3 + 1);
  CHECK(block.input_shape() == Shape{5});
  CHECK(model.predict(Tensor<float>({2, 5})).shape() == Shape{2, 1});
  CHECK_THROWS_WITH(Sequential()(inputs), Contains("the input shape is not known yet"));
  CHECK_THROWS_WITH(block(Input({.shape = {6}})), Contains("expected an input of shape [5], found [6]"));
}

TEST_CASE("A first predict may come from several threads at once") {
  for (int turn = 0; turn < 20; ++turn) {
    const Sequential model{Flatten(), Dense({.units = 3}), Dense({.units = 2})};
    std::vector<Tensor<float>> results(4);
    std::vector<std::thread> threads;
    for (auto& result : results) threads.emplace_back([&] { result = model.predict(values({2, 5, 4})); });
    for (auto& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == results[0]);
    CHECK(model.weights().size() == 4);
  }
}

TEST_CASE("Memory that is not there is an error that names the layer") {
  const std::int64_t units = std::int64_t{1} << 59;  // beyond any address space
  CHECK_THROWS_WITH(Sequential({Input({.shape = {3}}), Dense({.units = units, .name = "wide"})}),
                    Contains("[dense] layer 'wide': weight 'kernel': ") && Contains("there is no memory"));
  Sequential late{Dense({.units = units})};
  for (int turn = 0; turn < 2; ++turn) CHECK_THROWS_AS(late.predict(values({1, 3})), DeviceError);
  const Sequential padded{Input({.shape = {1, 1, 1}}),
                          ZeroPadding2D({.padding = {0, std::int64_t{1} << 58}, .name = "pad"}), Flatten()};
  CHECK_THROWS_AS(padded.predict(values({1, 1, 1, 1})), Error);
}

TEST_CASE("add appends, and layers that are built keep their weights") {
  Sequential model({}, {.seed = 3});
  model.add(Input({.shape = {4}})).add(Dense({.units = 3}));
  const auto first = model.get_weights();
  model.add(Dense({.units = 2}));
  CHECK(model.get_weights().size() == 4);
  CHECK(model.get_weights()[0] == first[0]);
  CHECK(model.output_shape() == Shape{2});
}

TEST_CASE("predict does not depend on the batch size and may be called by several threads") {
  const Sequential model = small();
  const Tensor<float> x = values({7, 6, 5, 2});
  const Tensor<float> expected = model.predict(x);
  CHECK(model.predict(x, 3) == expected);
  CHECK(model.predict(x, 1) == expected);
  std::vector<int> equal(4);
  std::vector<std::thread> threads;
  for (int& result : equal)
    threads.emplace_back([&] {
      result = 1;
      for (int i = 0; i < 20; ++i) result &= model.predict(x, 2) == expected;
    });
  for (auto& thread : threads) thread.join();
  CHECK(equal == std::vector<int>{1, 1, 1, 1});
  CHECK_THROWS_WITH(model.predict(values({7, 6, 5, 3})),
                    Contains("expected an input of shape [7,6,5,2], found [7,6,5,3]"));
  CHECK_THROWS_AS(model.predict(x, 0), ConfigError);
}

namespace {
struct WitnessOptions {
  std::string name = {};
  template <class Fields>
  void fields(Fields&) {}
};
/// Passes its input on and remembers where it lay.
class WitnessImpl final : public LayerBase<WitnessImpl, float, WitnessOptions> {
 public:
  static constexpr const char* type = "Witness";
  static inline const float* seen = nullptr;
  explicit WitnessImpl(WitnessOptions options) : LayerBase(std::move(options)) {}
  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  void forward(Inputs x, Output y, Context&) const override {
    seen = x[0].data();
    std::copy_n(x[0].data(), y.size(), y.data());
  }
  void backward(Inputs, View, View, InputGradients, Context&) const override {}
};
using Witness = LayerHandle<WitnessImpl>;
}  // namespace

TEST_CASE("predict reads the caller's tensors where they lie") {
  const Sequential model{Input({.shape = {3}}), Witness()};
  const Tensor<float> x = values({4, 3});
  CHECK(model.predict(x) == x);
  CHECK(WitnessImpl::seen == x.data());
  const std::vector<Tensor<float>> inputs{x};
  CHECK(model.predict(inputs, 2)[0] == x);
  CHECK(WitnessImpl::seen == inputs[0].data() + 6);
}

TEST_CASE("A functional model may have several inputs and outputs") {
  auto a = Input({.shape = {3}}), b = Input({.shape = {3}});
  const Symbol sum = Add()({a, b}), both = Concatenate()({a, sum});
  const Model model({.inputs = {a, b}, .outputs = {sum, both, a}});
  const Tensor<float> x({1, 3}, {1, 2, 3}), y({1, 3}, {10, 20, 30});
  const auto out = model.predict({x, y});
  CHECK(out.at(0) == Tensor<float>({1, 3}, {11, 22, 33}));
  CHECK(out.at(1) == Tensor<float>({1, 6}, {1, 2, 3, 11, 22, 33}));
  CHECK(out.at(2) == x);
  CHECK_THROWS_WITH(model.predict({x}),
                    Contains("expected 2 inputs 'input_layer', 'input_layer_1', found 1"));
}

TEST_CASE("Graphs that cannot be computed are refused when they are made") {
  auto a = Input({.shape = {3}, .name = "a"}), b = Input({.shape = {4}, .name = "b"});
  CHECK_THROWS_WITH(Model({.inputs = {a}, .outputs = {Dense(1)(b)}}),
                    Contains("'b', which is not among the model's inputs"));
  CHECK_THROWS_WITH(Model({.inputs = {a, b}, .outputs = {Dense(1)(a)}}),
                    Contains("input 1 leads to no output"));
  CHECK_THROWS_WITH(Add({.name = "sum"})({a, b}),
                    Contains("[add] layer 'sum': expected inputs of one shape, or extents of 1 where they "
                             "differ, found [3] and [4]"));
  CHECK_THROWS_WITH(
      Conv2D({.filters = 1, .kernel_size = 3, .name = "c"})(a),
      Contains("[conv2d] layer 'c': expected images of shape [height,width,channels], found [3]"));
  CHECK_THROWS_WITH(Dense({.name = "d"})(a), Contains("expected units of at least 1, found 0"));
  CHECK_THROWS_WITH(Dropout(1.5), Contains("[dropout] expected a rate in [0, 1], found 1.5"));
  auto none = Input({.shape = {0}}), colourless = Input({.shape = {4, 4, 0}});
  CHECK_THROWS_WITH(Dense({.units = 1, .name = "d"})(none),
                    Contains("[dense] layer 'd': expected one or more features, found [0]"));
  CHECK_THROWS_WITH(Conv2D({.filters = 1, .kernel_size = 3, .name = "c"})(colourless),
                    Contains("[conv2d] layer 'c': expected images of one or more channels, found [4,4,0]"));
}

TEST_CASE("A layer that was built for other channels is refused") {
  const Conv2D layer({.filters = 2, .kernel_size = 1, .name = "c"});
  const Sequential first{Input({.shape = {4, 4, 3}}), layer};
  CHECK_THROWS_WITH(Sequential({Input({.shape = {4, 4, 1}}), layer}),
                    Contains("[conv2d] layer 'c': expected 3 input channels, found 1 (input shape [4,4,1])"));
  const Sequential larger{Input({.shape = {9, 9, 3}}), layer};
  CHECK(larger.output_shape() == Shape{9, 9, 2});
}

TEST_CASE("Weight files are read strictly") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/weights.safetensors";
  Sequential model = small(1);
  save_weights<float>(model, file);
  Sequential other = small(2);
  load_weights<float>(other, file);
  CHECK(other.get_weights() == model.get_weights());

  Sequential stranger{Input({.shape = {6, 5, 2}}), Conv2D({.filters = 3, .kernel_size = 1}), Flatten(),
                      Dense({.units = 2, .name = "head"})};
  const auto before = stranger.get_weights();
  CHECK_THROWS_WITH(load_weights<float>(stranger, file),
                    Contains("1 of 4 match") && Contains("missing: head/kernel, head/bias") &&
                        Contains("misshapen: conv2d/kernel (expected [1,1,2,3], found [3,3,2,3])") &&
                        Contains("unexpected: dense/kernel, dense/bias") && Contains(file));
  CHECK(stranger.get_weights() == before);

  Sequential base{Input({.shape = {6, 5, 2}}), Conv2D({.filters = 3, .kernel_size = 3})};
  CHECK_THROWS_AS(load_weights<float>(base, file), WeightError);
  load_weights<float>(base, file, {.ignore = {"dense"}});
  CHECK(base.get_weights()[0] == model.get_weights()[0]);
  CHECK_THROWS_AS(load_weights<float>(base, folder.path() + "/none.safetensors"), DataError);
}

TEST_CASE("Nothing that was packed outlives new weights") {
  // Large enough for Winograd, for packed panels and, by the second batch, for kept ones.
  const auto network = [](std::uint64_t seed) {
    return Sequential(
        {Input({.shape = {12, 12, 8}}), Conv2D({.filters = 16, .kernel_size = 3, .padding = Padding::same}),
         Conv2D({.filters = 16, .kernel_size = 3, .strides = 2}), Flatten(), Dense({.units = 20})},
        {.seed = seed});
  };
  Sequential model = network(1);
  const Sequential other = network(2);
  const Tensor<float> x = values({70, 12, 12, 8});
  const TemporaryDirectory directory;
  save_weights(other, directory / "other.safetensors");
  const auto expected = other.predict(x, 70);
  const auto before = model.predict(x, 70);
  const auto first_weights = model.get_weights();
  model.set_weights(other.get_weights());
  CHECK(model.predict(x, 70) == expected);
  model.set_weights(first_weights);
  CHECK(model.predict(x, 70) == before);
  load_weights(model, directory / "other.safetensors");
  CHECK(model.predict(x, 70) == expected);
}

TEST_CASE("A model that was never made, or was moved from, says so", "[model]") {
  const auto fails = [](const Model& model) {
    CHECK_THROWS_WITH(model.predict(Tensor<float>({1, 2})),
                      Contains("this model was never made, or was moved from"));
    CHECK_THROWS_AS(model.summary(), ConfigError);
  };
  fails(Model());
  CHECK_THROWS_AS(Model().name(), ConfigError);
  CHECK_THROWS_AS(Model().get_weights(), ConfigError);
  CHECK_THROWS_AS(Model().set_trainable(false), ConfigError);
  CHECK_THROWS_AS(Model()(Input({.shape = {2}})), ConfigError);
  CHECK_THROWS_AS(Layer()({Symbol()}), ConfigError);
  CHECK_THROWS_AS(Dense(1)(Symbol()), ConfigError);
  CHECK_THROWS_AS(Model({.inputs = {Symbol()}, .outputs = {Symbol()}}), ConfigError);
  CHECK_THROWS_AS(Symbol().shape(), ConfigError);
  CHECK_THROWS_AS(Model().clone(), ConfigError);
  CHECK_THROWS_AS(Model().to(default_device()), ConfigError);
  CHECK_THROWS_AS(Model().build({2}), ConfigError);
  CHECK_THROWS_AS(Model().layer("dense"), ConfigError);
  CHECK_THROWS_AS(Model().trainable_from("dense"), ConfigError);
  CHECK_THROWS_AS(save_weights(Model(), "none.safetensors"), ConfigError);
  Sequential from{Input({.shape = {2}}), Dense(1)};
  const Model to = std::move(from);
  fails(from);
  CHECK(to.predict(Tensor<float>({1, 2})).shape() == Shape{1, 1});
}

TEST_CASE("A layer is called on a vector of symbols, too", "[model]") {
  const std::vector<Symbol> inputs{Input({.shape = {2}}), Input({.shape = {2}})};
  const Model model({.inputs = inputs, .outputs = {Add()(inputs)}});
  const Tensor<float> x({1, 2}, {1, 2});
  CHECK(model.predict(std::vector{x, x})[0] == Tensor<float>({1, 2}, {2, 4}));
}
