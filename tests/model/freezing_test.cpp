#include <catch2/catch.hpp>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/gradient_check.hpp"

using namespace strata;
using strata_test::random_tensor;

namespace {

/// The weight layout of VGG16, thirteen convolutions in five blocks, small enough to train here.
Model small_vgg() {
  std::vector<Layer> layers{Input({.shape = {32, 32, 3}})};
  const int convolutions[] = {2, 2, 3, 3, 3};
  for (int block = 1; block <= 5; ++block) {
    for (int i = 1; i <= convolutions[block - 1]; ++i)
      layers.push_back(Conv2D({.filters = 4,
                               .kernel_size = 3,
                               .padding = Padding::same,
                               .activation = Activation::relu,
                               .name = concat("block", block, "_conv", i)}));
    layers.push_back(MaxPooling2D({.name = concat("block", block, "_pool")}));
  }
  return Sequential(layers, {.name = "small_vgg"});
}

Sequential classifier(const Model& base) {
  return Sequential({base, Flatten(), Dense({.units = 8, .activation = Activation::relu}),
                     Dense({.units = 1, .activation = Activation::sigmoid})});
}

void compile(Model model, double learning_rate = 0.1) {
  model.compile({.optimizer = RMSprop({.learning_rate = learning_rate}), .loss = BinaryCrossentropy()});
}

const Tensor<float> pictures = random_tensor({4, 32, 32, 3}).cast<float>();
const Tensor<float> labels({4, 1}, {0, 1, 1, 0});

/// Which weights of the model a training step changes.
std::vector<bool> changed_by_step(Sequential& model) {
  const auto before = model.get_weights();
  model.train_on_batch(pictures, labels);
  const auto after = model.get_weights();
  std::vector<bool> out;
  for (std::size_t i = 0; i < before.size(); ++i) out.push_back(before[i] != after[i]);
  return out;
}

}  // namespace

TEST_CASE("Freezing the base leaves 4 of 30 trainable weights, as in the book") {
  Model base = small_vgg();
  Sequential model = classifier(base);
  CHECK(model.trainable_weights().size() == 30);
  base.set_trainable(false);
  CHECK(model.trainable_weights().size() == 4);
  CHECK(model.non_trainable_weights().size() == 26);
  CHECK(model.weights().size() == 30);
  base.set_trainable(true);
  base.trainable_from("block5_conv1");
  CHECK(model.trainable_weights().size() == 10);
  CHECK_FALSE(base.layer("block4_conv3").trainable());
  CHECK(base.layer("block5_conv1").trainable());
  model.set_trainable(false);
  CHECK(model.trainable_weights().empty());
  CHECK_THROWS_WITH(base.trainable_from("block6_conv1"),
                    Catch::Contains("there is no layer 'block6_conv1'") && Catch::Contains("block5_conv3"));
}

TEST_CASE("Freezing takes effect at the next step, without compiling again") {
  Model base = small_vgg();
  Sequential model = classifier(base);
  // Biases that keep the deep layers alive.
  for (const auto& weight : model.weights())
    if (weight->shape().rank() == 1)
      weight->mutate() = random_tensor(weight->shape(), 3, 0.1, 0.3).cast<float>();
  compile(model);
  const auto expect = [&](std::size_t frozen) {
    const std::vector<bool> changed = changed_by_step(model);
    for (std::size_t i = 0; i < 30; ++i) {
      INFO("weight " << i);
      CHECK(changed[i] == (i >= frozen));
    }
  };
  const auto weights = model.get_weights();
  const auto restore = [&] { model.set_weights(weights); };  // so that no unit dies on the way
  expect(0);
  base.set_trainable(false);
  restore();
  expect(26);
  base.set_trainable(true);
  base.trainable_from("block5_conv1");
  restore();
  expect(20);
  base.set_trainable(true);
  restore();
  expect(0);
  model.set_trainable(false);
  expect(30);
}

TEST_CASE("Frozen or not, the trained weights take the same step") {
  Model base = small_vgg();
  Sequential model = classifier(base);
  compile(model);
  const auto start = model.get_weights();
  model.train_on_batch(pictures, labels);
  const auto whole = model.get_weights();

  model.set_weights(start);
  base.set_trainable(false);
  compile(model);  // fresh optimizer state
  model.train_on_batch(pictures, labels);
  const auto head = model.get_weights();
  for (std::size_t i = 0; i < 30; ++i) {
    const Tensor<float>& expected = i < 26 ? start[i] : whole[i];
    for (std::int64_t e = 0; e < expected.size(); ++e)
      REQUIRE(head[i].data()[e] == Approx(expected.data()[e]).margin(1e-5));
  }
}

TEST_CASE("Frozen batch normalization keeps its statistics and uses them in training") {
  const BatchNormalization norm;
  Sequential model({Input({.shape = {6}}), norm, Dense({.units = 1, .activation = Activation::sigmoid})});
  compile(model);
  const Tensor<float> x = random_tensor({8, 6}, 1, 2, 5).cast<float>();
  const Tensor<float> y({8, 1}, {0, 1, 0, 1, 1, 0, 1, 0});

  const auto before = norm.get_weights();
  const double inference = model.test_on_batch(x, y)["loss"];
  CHECK(model.train_on_batch(x, y)["loss"] != Approx(inference).epsilon(1e-3));  // by the batch's statistics
  const auto trained = norm.get_weights();
  CHECK(trained[2] != before[2]);
  CHECK(trained[3] != before[3]);

  BatchNormalization(norm).set_trainable(false);
  CHECK(norm.trainable_weights().empty());
  const double frozen = model.test_on_batch(x, y)["loss"];
  CHECK(model.train_on_batch(x, y)["loss"] == Approx(frozen).epsilon(1e-6));
  CHECK(norm.get_weights() == trained);
}

TEST_CASE("Dropout in a frozen base stays random in training") {
  Model base = Sequential({Input({.shape = {50}}), Dropout(0.5)}, {.name = "base"});
  Sequential model({base, Dense({.units = 1, .activation = Activation::sigmoid})});
  base.set_trainable(false);
  compile(model, 0);  // nothing is learnt
  const Tensor<float> x = random_tensor({4, 50}).cast<float>();
  const double first = model.train_on_batch(x, labels)["loss"],
               second = model.train_on_batch(x, labels)["loss"];
  CHECK(first != second);
  CHECK(model.test_on_batch(x, labels)["loss"] == model.test_on_batch(x, labels)["loss"]);
}
