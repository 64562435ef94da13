#include <catch2/catch.hpp>

#include <cmath>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/reference/memory.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

namespace {

Tensor<float> values(const Shape& shape, std::uint64_t path, float low = 0, float high = 1) {
  const RandomStream random(3, Purpose::user, path);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = low + (high - low) * random.uniform(static_cast<std::uint64_t>(i));
  return out;
}

Sequential convolutions(const DevicePtr& device, const Activation& activation) {
  Sequential model({Input({.shape = {12, 12, 8}})});
  for (int i = 0; i < 6; ++i)
    model.add(Conv2D({.filters = 8, .kernel_size = 3, .padding = Padding::same, .activation = activation}));
  model.to(device);
  model.compile({.optimizer = RMSprop(), .loss = MeanSquaredError()});
  return model;
}

/// Everything a step can contain: clipping, penalties, metrics on the device, logits.
Sequential classifier(const DevicePtr& device) {
  Sequential model(
      {Input({.shape = {8, 8, 2}}), Conv2D({.filters = 4, .kernel_size = 3, .activation = Activation::relu}),
       BatchNormalization(), MaxPooling2D(), Dropout(0.3), Flatten(),
       Dense({.units = 5, .kernel_regularizer = L2(0.01)}), ActivationLayer(Activation::softmax)},
      {.seed = 4});
  model.to(device);
  model.compile({.optimizer = Adam({.clipnorm = 0.5}),
                 .loss = SparseCategoricalCrossentropy(),
                 .metrics = {Accuracy()}});
  return model;
}

struct Data {
  Tensor<float> x = values({6, 8, 8, 2}, 1), y = Tensor<float>({6}, {0, 1, 2, 3, 4, 0});
  DeviceBatch<float> on(const DevicePtr& device) const { return {x.to(device), y.to(device), {}}; }
};

Trainer<float>& trainer_of(const Model& model) {
  return model.trainer();
}

/// A loss and a metric as users write them: for the host.
class HostSquaredError final : public LossImpl {
 public:
  std::string name() const override { return "host_squared_error"; }
  void compute(const LossArguments& a) const override {
    for (std::int64_t i = 0; i < a.prediction.size(); ++i) {
      const float d = a.prediction.data()[i] - a.target.data()[i];
      a.losses[i] = d * d;
      if (a.gradient) a.gradient[i] = static_cast<float>(a.gradient_scale) * 2 * d;
    }
  }
};
class Largest final : public MetricBase<Largest> {
 public:
  std::string name() const override { return "largest"; }
  void reset() override { largest_ = 0; }
  void update(View prediction, View, const float*) override {
    for (std::int64_t i = 0; i < prediction.size(); ++i)
      largest_ = std::max(largest_, static_cast<double>(prediction.data()[i]));
  }
  double result() const override { return largest_; }

 private:
  double largest_ = 0;
};

}  // namespace

TEST_CASE("A step holds its activations and two gradients, whatever the activation function") {
  for (const Activation activation : {Activation::linear, Activation::relu, Activation::tanh}) {
    const DevicePtr device = reference_device({.host_accessible = false});
    Sequential model = convolutions(device, activation);
    auto& counts = memory_of(device).counts;
    const Shape shape{2, 12, 12, 8};
    const DeviceBatch<float> batch{values(shape, 1).to(device), values(shape, 2).to(device), {}};
    trainer_of(model).train_step(model.model(), batch);
    model.release_memory();
    counts.peak = counts.bytes;
    const std::size_t before = counts.bytes;
    trainer_of(model).train_step(model.model(), batch);
    const double activations =
        static_cast<double>(counts.peak - before) / static_cast<double>(batch.x.bytes());
    INFO(name_of(activation) << ": " << activations << " activations");
    CHECK(activations == 8.125);                           // an eighth: the losses of the rows
    CHECK(counts.bytes - before == counts.peak - before);  // kept for the next step
    model.release_memory();
    CHECK(counts.bytes == before);
  }
}

TEST_CASE("A steady step allocates nothing and asks the host for nothing") {
  const DevicePtr device = reference_device({.host_accessible = false});
  Sequential model = classifier(device);
  const DeviceBatch<float> batch = Data().on(device);
  auto& counts = memory_of(device).counts;
  for (int i = 0; i < 2; ++i) {
    trainer_of(model).train_step(model.model(), batch);
    trainer_of(model).test_step(model.model(), batch);
  }
  const std::int64_t allocations = counts.allocations, downloads = counts.downloads;
  for (int i = 0; i < 3; ++i) trainer_of(model).train_step(model.model(), batch);
  CHECK(counts.allocations == allocations);
  CHECK(counts.downloads == downloads);
  trainer_of(model).optimizer().set_learning_rate(0.5);
  const auto result = trainer_of(model).train_step(model.model(), batch);
  CHECK(counts.downloads == downloads);
  CHECK(result.loss() > 0);
  CHECK(counts.downloads == downloads + 1);
  trainer_of(model).test_step(model.model(), batch);
  CHECK_THROWS_WITH(result.loss(), Contains("was asked for after step"));
}

TEST_CASE("Batches of a steady fit and evaluate use memory again") {
  const DevicePtr device = reference_device({.host_accessible = false});
  Sequential model = classifier(device);
  const Data data;
  auto& counts = memory_of(device).counts;
  const auto allocations_of = [&](int epochs) {
    const std::int64_t before = counts.allocations;
    model.fit(data.x, data.y, {.batch_size = 2, .epochs = epochs, .verbose = 0});
    return counts.allocations - before;
  };
  const std::int64_t first = allocations_of(1);
  CHECK(first > 0);
  CHECK(allocations_of(1) == allocations_of(5));
  const std::int64_t downloads = counts.downloads;
  model.fit(data.x, data.y, {.batch_size = 2, .epochs = 4, .verbose = 0});
  CHECK(counts.downloads == downloads + 4);  // the figures of each epoch
}

TEST_CASE("A step on a device gives the host's numbers") {
  const Data data;
  Sequential there = classifier(reference_device({.host_accessible = false}));
  Sequential here = classifier(default_device());
  for (int i = 0; i < 3; ++i) {
    const Logs a = there.train_on_batch(data.x, data.y), b = here.train_on_batch(data.x, data.y);
    CHECK(a["loss"] == Approx(b["loss"]).epsilon(1e-5));
    CHECK(a["accuracy"] == b["accuracy"]);
  }
}

TEST_CASE("Metrics gathered on a device are the host's") {
  const Tensor<float> x = values({50, 3}, 1), y = values({50, 1}, 2);
  Tensor<float> labels = y;
  for (float& label : labels.values()) label = label > 0.5f;
  Logs logs[2];
  int i = 0;
  for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})}) {
    Sequential model({Input({.shape = {3}}), Dense({.units = 1, .activation = Activation::sigmoid})},
                     {.seed = 9});
    model.to(device);
    model.compile({.loss = BinaryCrossentropy(),
                   .metrics = {Precision(), Recall({.threshold = 0.4}), std::make_shared<Largest>(), AUC()}});
    logs[i++] = model.evaluate(x, labels, {.batch_size = 20, .verbose = 0});
  }
  for (const auto& [name, value] : logs[0]) {
    INFO(name);
    CHECK(value > 0.1);
    CHECK(logs[1][name] == Approx(value).epsilon(1e-6));
  }
}

TEST_CASE("Losses and metrics written for the host get host memory") {
  Logs logs[2];
  std::vector<Tensor<float>> weights[2];
  int i = 0;
  for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})}) {
    Sequential model({Input({.shape = {3}}), Dense({.units = 1})}, {.seed = 9});
    model.to(device);
    model.compile({.optimizer = SGD(),
                   .loss = std::make_shared<HostSquaredError>(),
                   .metrics = {std::make_shared<Largest>()}});
    logs[i] = model.train_on_batch(values({4, 3}, 1), values({4, 1}, 2));
    weights[i++] = model.get_weights();
  }
  CHECK(logs[0]["loss"] == Approx(logs[1]["loss"]).epsilon(1e-6));
  CHECK(logs[0]["largest"] == Approx(logs[1]["largest"]).epsilon(1e-6));
  for (std::size_t w = 0; w < weights[0].size(); ++w)
    for (std::int64_t e = 0; e < weights[0][w].size(); ++e)
      CHECK(weights[0][w].data()[e] == Approx(weights[1][w].data()[e]).epsilon(1e-5));
}

TEST_CASE("Without memory a step fails cleanly, wherever it runs out") {
  const Data data;
  const DevicePtr fine = reference_device({.host_accessible = false});
  Sequential never_failed = classifier(fine);
  never_failed.train_on_batch(data.x, data.y);

  int failures = 0;
  for (std::int64_t left = 0;; ++left) {
    const DevicePtr device = reference_device({.host_accessible = false});
    Sequential model = classifier(device);
    const DeviceBatch<float> batch = data.on(device);
    auto& counts = memory_of(device).counts;
    counts.allocations_left = left;
    try {
      trainer_of(model).train_step(model.model(), batch);
      break;
    } catch (const DeviceError& error) {
      CHECK_THAT(error.what(), Contains("[reference] no memory"));
      ++failures;
    }
    counts.allocations_left = -1;
    // Model and trainer go on as if nothing had been: only moving averages may have seen the batch twice.
    const double loss = trainer_of(model).train_step(model.model(), batch).loss();
    CHECK(std::isfinite(loss));
    CHECK(trainer_of(model).iterations() == 1);
    const auto expected = never_failed.trainable_weights(), found = model.trainable_weights();
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i]->value() == expected[i]->value());
  }
  CHECK(failures > 10);
}

TEST_CASE("Figures are fetched when somebody looks") {
  int fetched = 0;
  const auto fetch = [&] {
    ++fetched;
    Logs logs;
    logs.set("loss", 3);
    return logs;
  };
  const Logs never(fetch);
  CHECK(fetched == 0);
  const Logs logs(fetch);
  const Logs copy = logs;
  CHECK(fetched == 1);
  CHECK(logs["loss"] == 3);
  CHECK(copy["loss"] == 3);
  CHECK(fetched == 1);
  Logs more(fetch);
  more.set("accuracy", 1);
  CHECK(more["loss"] == 3);
  CHECK(more["accuracy"] == 1);
}
