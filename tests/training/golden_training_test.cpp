#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/layers/registry.hpp>
#include <strata/training/fit.hpp>

#include "support/golden_training.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;

namespace {

/// Ten steps of a small convnet from given weights on given batches.
template <class T>
void check_training(const DevicePtr& device, double tolerance) {
  const Golden golden("training");
  for (const Json& golden_case : golden.cases()) {
    INFO(device->description() << ", " << Golden::name(golden_case));
    BasicSequential<T> model;
    model.add(BasicInput<T>({.shape = golden_case.get<Shape>("input_shape")}));
    for (const Json& layer : golden_case.at("layers").as_array())
      model.add(BasicLayer<T>(layer_from_config<T>(layer)));
    model.to(device);
    for (const BasicLayer<T>& layer : model.layers())
      for (const auto& weight : layer.weights())
        weight->mutate() =
            golden.read<T>(golden_case, "weights/" + layer.name() + "/" + weight->name()).to(device);
    model.compile({.optimizer = optimizer_from(golden_case.at("optimizer")),
                   .loss = loss_from<T>(golden_case.at("loss"))});

    const Tensor<T> x = golden.read<T>(golden_case, "x");
    const bool sparse = golden_case.at("loss").get<std::string>("class_name").starts_with("Sparse");
    const Tensor<T> y = sparse ? golden.read<std::int32_t>(golden_case, "y").template cast<T>()
                               : golden.read<T>(golden_case, "y");
    const auto batch = [](const Tensor<T>& all, std::int64_t step) {
      const TensorView<const T> slice = all.slice(step, step + 1);
      return Tensor<T>(slice.shape().without_batch(), {slice.data(), static_cast<std::size_t>(slice.size())});
    };
    const auto losses = golden_case.get<std::vector<double>>("losses");
    for (std::size_t step = 0; step < losses.size(); ++step) {
      const auto at = static_cast<std::int64_t>(step);
      INFO("step " << step);
      CHECK(model.train_on_batch(batch(x, at), batch(y, at))["loss"] ==
            Approx(losses[step]).epsilon(tolerance));
    }
    for (const BasicLayer<T>& layer : model.layers())
      for (const auto& weight : layer.weights()) {
        const std::string name = layer.name() + "/" + weight->name();
        check_close("final " + name, weight->value(), golden.read<T>(golden_case, "final/" + name),
                    10 * tolerance);
      }
    check_close("prediction", model.predict(batch(x, 0)), golden.read<T>(golden_case, "prediction"),
                10 * tolerance);
  }
}

}  // namespace

TEST_CASE("Ten training steps have Keras's losses, on the CPU", "[training][golden]") {
  check_training<float>(cpu::device(), 1e-5);
}

TEST_CASE("Ten training steps have Keras's losses, on the reference device", "[training][golden]") {
  const DevicePtr device = reference_device({.host_accessible = false});
  check_training<float>(device, 1e-5);
  // Keras rounds Adam's beta_2 to float32 even where it computes in float64: 6e-6 of a step.
  check_training<double>(device, 5e-6);
}
