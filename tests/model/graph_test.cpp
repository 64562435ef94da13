#include <catch2/catch.hpp>

#include <functional>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/gradient_check.hpp"

using namespace strata;
using strata_test::random_tensor;

TEST_CASE("Calls of a shared BatchNormalization move its statistics in Keras's order") {
  using Branches = std::function<Symbol(const Layer& shared, const Symbol& a, const Symbol& b)>;
  const auto moving_mean = [](const Branches& branches) {
    const Input x({.shape = {1}});
    const BatchNormalization shared({.momentum = 0.9});
    Model model(x, branches(shared, Rescaling({.offset = 2})(x), Rescaling({.offset = 20})(x)));
    model.compile({.optimizer = SGD(), .loss = MeanSquaredError()});
    model.train_on_batch(Tensor<float>({2, 1}), Tensor<float>({2, 1}));
    return shared.get_weights()[2](0);
  };
  const auto pass = [](const Symbol& x) { return ReLU()(x); };
  const auto a_first = Approx((0.9 * 0.1 * 2) + 0.1 * 20), b_first = Approx((0.9 * 0.1 * 20) + 0.1 * 2);
  CHECK(moving_mean([](const auto& shared, const auto& a, const auto& b) {
          const Symbol x = shared(a), y = shared(b);
          return Add()({x, y});
        }) == a_first);
  CHECK(moving_mean([](const auto& shared, const auto& a, const auto& b) {
          const Symbol x = shared(a), y = shared(b);
          return Add()({y, x});
        }) == b_first);
  CHECK(moving_mean([&](const auto& shared, const auto& a, const auto& b) {
          const Symbol x = shared(a), y = pass(pass(shared(b)));
          return Add()({y, x});
        }) == b_first);
  // Further from the output is earlier.
  CHECK(moving_mean([&](const auto& shared, const auto& a, const auto& b) {
          const Symbol x = pass(shared(pass(pass(a)))), y = pass(pass(shared(b)));
          return Add()({x, y});
        }) == b_first);
  CHECK(moving_mean([](const auto& shared, const auto& a, const auto& b) {
          const Symbol x = shared(a), y = shared(b);
          return Add()({x, Add()({y, x})});
        }) == a_first);
}

TEST_CASE("Nodes that no output depends on neither train nor harm") {
  // As files may have them: a node nobody reads, an output in front of the last node.
  const auto model = [](std::vector<int> order, int output) {
    const LayerPtr<float> layers[] = {Input({.shape = {3}}).impl(),
                                      Dense({.units = 2, .name = "used"}).impl(),
                                      Dense({.units = 4, .name = "idle"}).impl(), Flatten().impl()};
    std::vector<Graph<float>::Node> nodes{{layers[0], {}, {}}};
    for (const int layer : order) nodes.push_back({layers[layer], {layer == 3 ? 1 : 0}, {}});
    return Model(std::make_shared<ModelImpl<float>>(Graph<float>(nodes, {0}, {output}), "graph", 1));
  };
  const Tensor<float> x = random_tensor({5, 3}).cast<float>(), y({5, 2});
  Model plain = model({1}, 1), behind = model({1, 2, 3}, 1), before = model({2, 1}, 2);
  for (Model* each : {&plain, &behind, &before})
    each->compile({.optimizer = SGD({.learning_rate = 0.1}), .loss = MeanSquaredError()});
  const auto idle = before.layer("idle").get_weights();
  CHECK(behind.predict(x) == plain.predict(x));
  for (int step = 0; step < 3; ++step) {
    const double loss = plain.train_on_batch(x, y)["loss"];
    CHECK(behind.train_on_batch(x, y)["loss"] == loss);
    CHECK(before.train_on_batch(x, y)["loss"] == loss);
  }
  for (Model* each : {&behind, &before}) {
    CHECK(each->layer("used").get_weights() == plain.layer("used").get_weights());
    CHECK(each->layer("idle").get_weights() == idle);
  }
}

TEST_CASE("An input that no output depends on gets a gradient of zero") {
  const LayerPtr<float> a = Input({.shape = {2}}).impl(), b = Input({.shape = {2}}).impl(),
                        add = Dense({.units = 2, .name = "d"}).impl();
  const auto inner = std::make_shared<ModelImpl<float>>(
      Graph<float>({{a, {}, {}}, {b, {}, {}}, {add, {0}, {}}}, {0, 1}, {2}), "inner", 1);
  const Input x({.shape = {2}});
  const Dense left({.units = 2}), right({.units = 2});
  Model model(x, Model(inner)({left(x), right(x)}));
  model.compile({.optimizer = SGD(), .loss = MeanSquaredError()});
  const auto before = right.get_weights();
  model.train_on_batch(random_tensor({4, 2}).cast<float>(), Tensor<float>({4, 2}));
  CHECK(right.get_weights() == before);
}
