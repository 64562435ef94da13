#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>

#include "support/golden_training.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;

namespace {

template <class T>
void check_losses(const DevicePtr& device, double tolerance) {
  const Golden golden("losses");
  for (const Json& golden_case : golden.cases()) {
    INFO(device->description() << ", " << Golden::name(golden_case));
    const BasicLoss<T> loss = loss_from<T>(golden_case.at("loss"));
    const auto prediction = golden.read<T>(golden_case, "y_pred").to(device);
    const bool sparse = golden_case.at("loss").get<std::string>("class_name").starts_with("Sparse");
    const auto target = (sparse ? golden.read<std::int32_t>(golden_case, "y_true").template cast<T>()
                                : golden.read<T>(golden_case, "y_true"))
                            .to(device);
    Tensor<T> weight;
    if (golden.contains(golden_case, "sample_weight"))
      weight = golden.read<T>(golden_case, "sample_weight").to(device);
    REQUIRE(loss.impl().accepts(prediction.shape(), target.shape()));

    const std::int64_t rows = prediction.shape()[0];
    auto losses = Tensor<T>::uninitialized({rows}, device);
    auto gradient = Tensor<T>::uninitialized(prediction.shape(), device);
    const auto backend = device->make_backend<T>();
    loss.impl().compute({.backend = *backend,
                         .prediction = prediction,
                         .target = target,
                         .sample_weight = weight.data(),
                         .gradient_scale = 1.0 / static_cast<double>(rows),
                         .losses = losses.data(),
                         .gradient = gradient.data()});

    double mean = 0;  // Keras's reduction sum_over_batch_size, which sample weights do not change
    const Tensor<T> host = losses.to(nullptr);
    for (const T value : host.values()) mean += static_cast<double>(value) / static_cast<double>(rows);
    const char* expected = std::is_same_v<T, float> ? "loss_float32" : "loss";
    CHECK(mean == Approx(golden.read<double>(golden_case, expected).values()[0]).epsilon(tolerance));
    check_close("gradient", gradient, golden.read<double>(golden_case, "gradient"), tolerance);
  }
}

}  // namespace

TEST_CASE("Losses are Keras's, extreme logits included, on the CPU", "[training][golden]") {
  check_losses<float>(cpu::device(), 1e-5);
}

TEST_CASE("Losses are Keras's, extreme logits included, on the reference device", "[training][golden]") {
  const DevicePtr device = reference_device({.host_accessible = false});
  check_losses<float>(device, 1e-5);
  check_losses<double>(device, 1e-12);
}
