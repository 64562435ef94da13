#include <catch2/catch.hpp>

#include <cmath>

#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/layers/registry.hpp>
#include <strata/training/fit.hpp>

#include "support/golden.hpp"
#include "support/skip.hpp"

using namespace strata;
using namespace strata_test;

namespace {

const char* const without = "this processor has no AVX512-BF16";
bool available() {
  return cpu::bfloat16_product(cpu::kernels()) != nullptr;
}

Tensor<float> part(const Tensor<float>& all, std::int64_t at) {
  const auto slice = all.slice(at, at + 1);
  return Tensor<float>(slice.shape().without_batch(), {slice.data(), static_cast<std::size_t>(slice.size())});
}

/// The model of the golden file with its weights.
Sequential model_of(const Golden& golden, const Json& of) {
  Sequential model;
  model.add(Input({.shape = of.get<Shape>("input_shape")}));
  for (const Json& layer : of.at("layers").as_array()) model.add(Layer(layer_from_config<float>(layer)));
  for (const Layer& layer : model.layers())
    for (const auto& weight : layer.weights())
      weight->mutate() = golden.read<float>(of, "weights/" + layer.name() + "/" + weight->name());
  return model;
}

double distance(const Tensor<float>& a, const Tensor<float>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    sum += std::pow(static_cast<double>(a.data()[i] - b.data()[i]), 2);
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("ten steps in mixed_bfloat16 stay as near to float64 as Keras's") {
  if (!available()) STRATA_SKIP(without);
  const Golden golden("mixed_bfloat16");
  const Tensor<float> x = golden.read<float>("x"), y = golden.read<std::int32_t>("y").cast<float>();
  // Whose errors, summed over all steps: rounding once is chance.
  double ours = 0, keras = 0, float32 = 0, ours_at_end = 0, keras_at_end = 0;
  for (const Json& of : golden.cases()) {
    const auto exact = of.at("losses").get<std::vector<double>>("float64"),
               rounded = of.at("losses").get<std::vector<double>>("mixed_bfloat16");
    for (const char* policy : {"float32", "mixed_bfloat16"}) {
      Sequential model = model_of(golden, of);
      model.set_policy(policy);
      model.compile({.optimizer = SGD({.learning_rate = of.get<double>("learning_rate"), .momentum = 0.9}),
                     .loss = "sparse_categorical_crossentropy"});
      double& error = policy == std::string("float32") ? float32 : ours;
      for (std::size_t step = 0; step < exact.size(); ++step) {
        const auto at = static_cast<std::int64_t>(step);
        error += std::abs(model.train_on_batch(part(x, at), part(y, at))["loss"] - exact[step]);
      }
      if (&error == &ours)
        ours_at_end += distance(model.predict(part(x, 0)), golden.read<float>(of, "prediction"));
    }
    for (std::size_t step = 0; step < exact.size(); ++step) keras += std::abs(rounded[step] - exact[step]);
    keras_at_end += of.get<double>("prediction_error");
  }
  CAPTURE(float32, ours, keras, ours_at_end, keras_at_end);
  CHECK(ours < keras);
  CHECK(ours_at_end < keras_at_end);
  CHECK(ours > 10 * float32);  // it was bfloat16
}

TEST_CASE("a policy belongs to the model: to its clone, its plan and to every device it moves to") {
  if (!available()) STRATA_SKIP(without);
  const Golden golden("mixed_bfloat16");
  const Json& of = golden.cases().at(0);
  Sequential model = model_of(golden, of);
  const Tensor<float> x = part(golden.read<float>("x"), 0), plain = model.predict(x);
  const std::string before = model.plan({.batch_size = 8}).to_string();
  CHECK(before.find("bfloat16") == std::string::npos);

  const Tensor<float> narrow = model.set_policy("mixed_bfloat16").predict(x);
  CHECK(distance(narrow, plain) > 1e-5);
  CHECK(distance(narrow, plain) < 1e-2);
  CHECK(model.plan({.batch_size = 8}).to_string().find("direct, bfloat16") != std::string::npos);
  CHECK(distance(model.clone().predict(x), narrow) == 0);
  const DevicePtr of_its_own = cpu::device({.threads = 1, .policy = Policy::mixed_bfloat16});
  model.to(of_its_own);
  CHECK(distance(model.predict(x), narrow) == 0);
  model.set_policy("float32");  // whatever the device does by default
  CHECK(distance(model.predict(x), plain) == 0);

  Sequential without_policy = model_of(golden, of);
  without_policy.to(of_its_own);
  CHECK(distance(without_policy.predict(x), narrow) == 0);
  CHECK_THROWS_WITH(model.set_policy("half"),
                    "[policy] 'half' is not a policy; there are float32, mixed_bfloat16");
}

TEST_CASE("a device without products in bfloat16 computes as before") {
  const Golden golden("mixed_bfloat16");
  const Json& of = golden.cases().at(0);
  Sequential model = model_of(golden, of);
  const cpu::KernelTable& least = *cpu::available_kernels().back();
  if (cpu::bfloat16_product(least)) STRATA_SKIP("these kernels are all there are");
  model.to(cpu::device({.threads = 1, .instruction_set = least.name}));
  const Tensor<float> x = part(golden.read<float>("x"), 0), plain = model.predict(x);
  CHECK(distance(model.set_policy("mixed_bfloat16").predict(x), plain) == 0);
}
