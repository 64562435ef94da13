#include <catch2/catch.hpp>

#include <functional>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

using namespace strata;

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
