#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/training/fit.hpp>

#include "support/golden_training.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;

namespace {

struct NoOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

/// Two weights, [11] and [2,3], whose 17 numbers are the output: dy is their gradient.
template <class T>
class TwoWeightsImpl final : public LayerBase<TwoWeightsImpl<T>, T, NoOptions> {
 public:
  using Base = LayerBase<TwoWeightsImpl<T>, T, NoOptions>;
  static constexpr const char* type = "TwoWeights";
  explicit TwoWeightsImpl(NoOptions options = {}) : Base(std::move(options)) {}

  Shape output_shape(Shapes) const override { return {17}; }
  void build(Shapes) override {
    this->add_weight("w0", {11}, initializers::zeros());
    this->add_weight("w1", {2, 3}, initializers::zeros());
  }
  void forward(Inputs<T>, TensorView<T> y, BasicContext<T>& context) const override {
    const auto weights = this->weights();
    context.backend().copy_block(1, 11, weights[0]->value().data(), 11, y.data(), 17);
    context.backend().copy_block(1, 6, weights[1]->value().data(), 6, y.data() + 11, 17);
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T>,
                BasicContext<T>& context) const override {
    const auto weights = this->weights();
    context.backend().bias_gradient(1, 11, dy.data(), context.gradient(*weights[0]));
    context.backend().bias_gradient(1, 6, dy.data() + 11, context.gradient(*weights[1]));
  }
};

/// A loss whose gradient is the target.
template <class T>
class GivenGradient final : public BasicLossImpl<T> {
 public:
  std::string name() const override { return "given_gradient"; }
  bool on_device() const override { return true; }
  void compute(const BasicLossArguments<T>& a) const override {
    a.backend.affine(1, 0, 0, a.target.data(), a.losses);
    if (a.gradient)
      a.backend.affine(a.target.size(), static_cast<T>(a.gradient_scale), 0, a.target.data(), a.gradient);
  }
};

template <class T>
void check_optimizers(const DevicePtr& device, double tolerance) {
  const Golden golden("optimizers");
  for (const Json& golden_case : golden.cases()) {
    INFO(device->description() << ", " << Golden::name(golden_case));
    BasicSequential<T> model{BasicInput<T>({.shape = {1}}), LayerHandle<TwoWeightsImpl<T>>()};
    model.to(device);
    model.set_weights({golden.read<T>(golden_case, "w0"), golden.read<T>(golden_case, "w1")});
    model.compile({.optimizer = optimizer_from(golden_case.at("optimizer")),
                   .loss = std::make_shared<GivenGradient<T>>()});

    const Tensor<T> g0 = golden.read<T>(golden_case, "g0"), g1 = golden.read<T>(golden_case, "g1");
    const Tensor<T> w0 = golden.read<T>(golden_case, "w0_steps"),
                    w1 = golden.read<T>(golden_case, "w1_steps");
    for (std::int64_t step = 0; step < 10; ++step) {
      Tensor<T> gradient({1, 17});
      std::copy_n(&g0(step, 0), 11, gradient.data());
      std::copy_n(&g1(step, 0, 0), 6, gradient.data() + 11);
      model.train_on_batch(Tensor<T>({1, 1}), gradient);
      const std::vector<Tensor<T>> weights = model.get_weights();
      check_close(concat("w0 after step ", step), weights[0], Tensor<T>({11}, {&w0(step, 0), 11}), tolerance);
      check_close(concat("w1 after step ", step), weights[1], Tensor<T>({2, 3}, {&w1(step, 0, 0), 6}),
                  tolerance);
    }
  }
}

}  // namespace

TEST_CASE("Optimizers take Keras's steps, on the CPU", "[training][golden]") {
  check_optimizers<float>(cpu::device(), 1e-6);
}

// Keras rounds its constants (momentum, beta) to float32 even where it computes in float64.
TEST_CASE("Optimizers take Keras's steps, on the reference device", "[training][golden]") {
  const DevicePtr device = reference_device({.host_accessible = false});
  check_optimizers<float>(device, 1e-6);
  check_optimizers<double>(device, 5e-7);
}
