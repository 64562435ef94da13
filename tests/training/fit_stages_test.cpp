#include <catch2/catch.hpp>

#include <stdexcept>

#include <strata/data/image_data_generator.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/logging.hpp>

#include "support/temporary_directory.hpp"

using namespace strata;

namespace {

constexpr std::int64_t count = 14;

Tensor<std::uint8_t> pixels() {
  Tensor<std::uint8_t> out({count, 6, 6, 3});
  const RandomStream random(1, Purpose::user);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = static_cast<std::uint8_t>(random.bits(static_cast<std::uint64_t>(i)));
  return out;
}

Tensor<float> labels() {
  Tensor<float> out({count, 1});
  for (std::int64_t i = 0; i < count; ++i) out(i, 0) = static_cast<float>(i * i % 3 == 1);
  return out;
}

/// Turned, mirrored and scaled on the device.
Dataset pictures(bool shuffle = false) {
  return ImageDataGenerator({.rotation_range = 40, .horizontal_flip = true, .rescale = 1.0 / 255})
      .flow(pixels(), labels(), {.batch_size = 4, .shuffle = shuffle, .seed = 6});
}

Dataset tensors(TensorDatasetOptions options = {}) {
  options.batch_size = 4;
  return dataset_from_tensors(pixels().cast<float>(), labels(), options);
}

Sequential network() {
  Sequential model({Input({.shape = {6, 6, 3}}), Conv2D({.filters = 3, .kernel_size = 3}), Flatten(),
                    Dropout(0.3), Dense({.units = 1, .activation = Activation::sigmoid})},
                   {.seed = 2});
  model.compile({.optimizer = Adam(), .loss = BinaryCrossentropy(), .metrics = {Accuracy()}});
  return model;
}

std::vector<Tensor<float>> trained(const Dataset& data, int workers = 1) {
  Sequential model = network();
  model.fit(data, {.epochs = 3, .verbose = 0, .workers = workers});
  return model.get_weights();
}

/// Rows [begin, end) of the tensors.
Dataset rows(std::int64_t begin, std::int64_t end) {
  const Tensor<float> x = pixels().cast<float>(), y = labels();
  const auto part = [&](const Tensor<float>& whole) {
    const auto view = whole.slice(begin, end);
    return Tensor<float>(view.shape(), std::span(view.data(), static_cast<std::size_t>(view.size())));
  };
  return dataset_from_tensors(part(x), part(y), {.batch_size = 4});
}

/// Everything at once, different in every pass.
Dataset chained() {
  return pictures()
      .repeat(2)
      .shuffle(3)
      .map([](Batch batch) {
        for (float& y : batch.y.values()) y = 0.1F + 0.8F * y;
        return batch;
      })
      .skip(1)
      .take(5)
      .rebatch(3);
}

}  // namespace

TEST_CASE("fit shuffles by a stage as the source itself does", "[training]") {
  CHECK(trained(tensors().shuffle(5)) == trained(tensors({.shuffle = true, .seed = 5})));
  CHECK(trained(pictures().shuffle(6)) == trained(pictures(true)));
  CHECK_FALSE(trained(pictures().shuffle(7)) == trained(pictures(true)));
}

TEST_CASE("fit, evaluate and predict see the batches of the stages", "[training]") {
  CHECK(trained(tensors().take(2)) == trained(rows(0, 8)));
  CHECK(trained(tensors().skip(2).cache()) == trained(rows(8, 14)));

  Sequential model = network();
  CHECK(model.evaluate(tensors().skip(2), {.verbose = 0})["loss"] ==
        model.evaluate(rows(8, 14), {.verbose = 0})["loss"]);
  const Tensor<float> once = model.predict(tensors()), twice = model.predict(tensors().repeat(2));
  REQUIRE(twice.shape() == Shape{28, 1});
  for (std::int64_t i = 0; i < 28; ++i) CHECK(twice(i, 0) == once(i % 14, 0));

  // Warped pixels, as a training loop of one's own loads them.
  const Tensor<float> predicted = model.predict(chained());
  std::int64_t row = 0;
  for (const Batch& batch : chained()) {
    const Tensor<float> expected = model.predict(network_input(batch));
    for (std::int64_t i = 0; i < batch.size(); ++i, ++row) CHECK(predicted(row, 0) == Approx(expected(i, 0)));
  }
  CHECK(row == chained().samples());
}

TEST_CASE("Training on stages gives the same bits on any number of loaders", "[training]") {
  const auto expected = trained(chained(), 0);
  for (const int workers : {1, 2, 5}) CHECK(trained(chained(), workers) == expected);
}

TEST_CASE("A run on stages resumes to the bits of one that never stopped", "[training]") {
  const auto expected = trained(chained());
  const std::int64_t steps = chained().batches();
  for (const std::int64_t stop : {std::int64_t{0}, steps - 1, steps, 2 * steps + 1}) {
    const TemporaryDirectory folder;
    const auto run = [&](bool breaks, int workers) {
      Sequential model = network();
      model.fit(chained(),
                {.epochs = 3,
                 .callbacks = {LambdaCallback({.on_train_batch_end =
                                                   [=](FitState& state, std::int64_t step, const Logs&) {
                                                     if (breaks && state.epoch * steps + step == stop)
                                                       throw std::runtime_error("power cut");
                                                   }}),
                               BackupAndRestore({.backup_dir = folder / "backup", .save_freq = 1})},
                 .verbose = 0,
                 .workers = workers});
      return model.get_weights();
    };
    CHECK_THROWS_WITH(run(true, 1), "power cut");
    CHECK(run(false, 3) == expected);
  }
}
