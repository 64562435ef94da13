#include <catch2/catch.hpp>

#include <strata/layers/layers.hpp>
#include <strata/training/check_gradients.hpp>

#include "support/gradient_check.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using strata_test::random_tensor;

namespace {

struct TwiceOptions {
  double claimed = 2;
  std::string name = {};
  template <class Fields>
  void fields(Fields& f) {
    f("claimed", claimed);
  }
};

/// y = 2 x, with a derivative that is whatever is claimed.
class TwiceImpl final : public LayerBase<TwiceImpl, double, TwiceOptions> {
 public:
  static constexpr const char* type = "Twice";
  explicit TwiceImpl(TwiceOptions options) : LayerBase(std::move(options)) {}
  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  void forward(Inputs x, Output y, Context& context) const override {
    context.backend().affine(y.size(), 2, 0, x[0].data(), y.data());
  }
  void backward(Inputs, View, View dy, InputGradients dx, Context& context) const override {
    if (dx[0]) context.backend().affine(dy.size(), options().claimed, 0, dy.data(), dx[0].data());
  }
};
using Twice = LayerHandle<TwiceImpl>;

BasicSequential<double> network(double claimed = 2) {
  const BasicSequential<double> base(
      {BasicInput<double>({.shape = {6, 6, 2}}),
       BasicConv2D<double>({.filters = 3, .kernel_size = 3, .activation = Activation::tanh, .name = "conv"}),
       Twice({.claimed = claimed}), BasicFlatten<double>()},
      {.name = "base", .seed = 1});
  BasicSequential<double> model(
      {base, BasicDropout<double>(0.5),
       BasicDense<double>({.units = 4, .kernel_regularizer = L2(0.1), .name = "dense"}),
       BasicActivationLayer<double>(Activation::softmax)},
      {.seed = 1});
  model.to(strata_test::reference_device({.host_accessible = false}));
  return model;
}

const Tensor<double> x = random_tensor({3, 6, 6, 2}), y({3}, {0, 3, 1});

}  // namespace

TEST_CASE("Gradients of a compiled model are those of its loss") {
  BasicSequential<double> model = network();
  model.compile({.loss = BasicSparseCategoricalCrossentropy<double>()});
  const auto weights = model.get_weights();
  const GradientCheck found = check_gradients(model, x, y);
  INFO(found.text());
  std::vector<std::string> names;
  for (const auto& gradient : found.gradients) names.push_back(gradient.name);
  CHECK(names ==
        std::vector<std::string>{"x", "base/conv/kernel", "base/conv/bias", "dense/kernel", "dense/bias"});
  CHECK(found.largest() > 0);
  CHECK(found.largest() < 1e-7);
  CHECK_THAT(found.text(), Catch::Contains("base/conv/kernel"));
  CHECK(model.get_weights() == weights);
  CHECK(model.trainer().iterations() == 0);

  model.set_trainable(false);
  CHECK(check_gradients(model, x, y).gradients.size() == 1);
  CHECK(check_gradients(model, x, y).largest() < 1e-7);
}

TEST_CASE("A wrong derivative shows below the layer that has it") {
  BasicSequential<double> model = network(2.02);
  model.compile({.loss = BasicSparseCategoricalCrossentropy<double>()});
  const GradientCheck found = check_gradients(model, x, y, {.elements = 7});
  INFO(found.text());
  CHECK(found.gradients[1].largest > 1e-3);
  CHECK(found.gradients[2].largest > 1e-3);
  CHECK(found.gradients[3].largest < 1e-7);
  CHECK(found.gradients[4].largest < 1e-7);
  CHECK(found.gradients[1].index < 3 * 3 * 2 * 3);
}

TEST_CASE("Gradients that cannot be checked are refused") {
  BasicSequential<double> model = network();
  CHECK_THROWS_AS(check_gradients(model, x, y), ConfigError);
  model.compile({.loss = BasicSparseCategoricalCrossentropy<double>()});
  CHECK_THROWS_AS(check_gradients(model, x, y, {.elements = 0}), ConfigError);
  CHECK_THROWS_AS(check_gradients(model, x, y, {.step = 0}), ConfigError);
  CHECK_THROWS_AS(check_gradients(model, x, Tensor<double>({3, 5})), ShapeError);
}
