#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>

#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/io/npy.hpp>
#include <strata/layers/layers.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/tensorboard.hpp>

#include "support/events.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

Tensor<float> noise(Shape shape, std::uint64_t seed) {
  const RandomStream random(seed, Purpose::user);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = static_cast<float>(random.uniform(static_cast<std::uint64_t>(i)));
  return out;
}

/// A model inside a model, a layer that is called twice, and weights of every shape that has pictures.
Model network() {
  const Symbol pixels = Input({.shape = {8, 8, 3}, .name = "pixels"});
  Symbol x = Conv2D({.filters = 4, .kernel_size = 3, .name = "conv"})(pixels);
  x = BatchNormalization({.name = "norm"})(x);
  const Model base({.inputs = {pixels}, .outputs = {x}, .name = "base"});

  const Symbol input = Input({.shape = {8, 8, 3}, .name = "pictures"});
  x = Conv2D({.filters = 1, .kernel_size = 3, .name = "grey"})(base(input));
  x = Conv2D({.filters = 6, .kernel_size = 2, .name = "wide"})(x);
  x = Conv2D({.filters = 2, .kernel_size = 2, .name = "two"})(x);
  x = Flatten({.name = "flat"})(x);
  const Symbol left = Dense({.units = 3, .activation = Activation::relu, .name = "left"})(x);
  const Symbol right = Dense({.units = 3, .name = "right"})(x);
  const Layer shared = Dense({.units = 5, .name = "shared"});
  x = Add({.name = "add"})({shared(left), shared(right)});
  x = Dense({.units = 1, .activation = Activation::sigmoid, .name = "dense"})(x);
  Model model({.inputs = {input}, .outputs = {x}, .name = "net", .seed = 3});
  model.compile({.optimizer = Adam({.learning_rate = ExponentialDecay({0.01, 10, 0.5})}),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy()}});
  return model;
}

struct Stop {};

/// Trains, and leaves beside the logs what they are to hold: history.csv and batches.csv, the weights of each
/// epoch, pictures. Breaks off behind step `last`, counted over all epochs.
void train(const std::string& folder, std::int64_t last = -1) {
  make_directories(folder);
  Model model = network();
  Tensor<float> y({16, 1});
  for (std::int64_t i = 0; i < y.size(); ++i) y.data()[i] = static_cast<float>(i % 2);
  Tensor<std::uint8_t> pictures({2, 4, 5, 3});
  for (std::int64_t i = 0; i < pictures.size(); ++i) pictures.data()[i] = static_cast<std::uint8_t>(2 * i);
  save_npy(folder + "/pictures.npy", pictures);

  const TensorBoard board(
      {.log_dir = folder + "/logs", .histogram_freq = 2, .write_images = true, .update_freq = 3});
  board.impl().add_images("samples", pictures);
  std::string batches = "step,accuracy,loss\n";
  model.fit(
      noise({16, 8, 8, 3}, 1), y,
      {.batch_size = 4,
       .epochs = 3,
       .validation_data = dataset_from_tensors(noise({8, 8, 8, 3}, 2), Tensor<float>({8, 1})),
       .seed = 5,
       .callbacks = {CSVLogger({.filename = folder + "/history.csv"}), board,
                     LambdaCallback({.on_epoch_end =
                                         [&](FitState& state, int epoch, Logs&) {
                                           save_weights(state.model,
                                                        concat(folder, "/weights-", epoch, ".safetensors"));
                                           board.impl().add_images("sample", pictures.slice(1, 2), epoch);
                                         },
                                     .on_train_batch_end =
                                         [&](FitState& state, std::int64_t batch, const Logs& logs) {
                                           const std::int64_t step = 4 * state.epoch + batch + 1;
                                           batches += concat(step, ",", CsvField(logs["accuracy"]).text, ",",
                                                             CsvField(logs["loss"]).text, "\n");
                                           if (step == last) throw Stop();
                                         }}),
                     BackupAndRestore({.backup_dir = folder + "/backup", .save_freq = 2})},
       .verbose = 0,
       .workers = 0});
  write_file_atomically(folder + "/batches.csv", batches);
}

}  // namespace

TEST_CASE("TensorBoard's files are written while training runs, for a reader that looks at them") {
  const TemporaryDirectory folder;
  Model model = network();
  std::vector<std::size_t> sizes;
  const std::string logs = folder / "deep/logs";
  const auto look = [&] { sizes.push_back(strata_test::events_in(logs + "/train").size()); };
  model.fit(
      noise({8, 8, 8, 3}, 1), Tensor<float>({8, 1}),
      {.batch_size = 4,
       .epochs = 2,
       .callbacks = {TensorBoard({.log_dir = logs, .write_steps_per_second = true, .update_freq = "batch"}),
                     LambdaCallback(
                         {.on_epoch_end = [&](FitState&, int, Logs&) { look(); },
                          .on_train_batch_begin = [&](FitState&, std::int64_t) { look(); },
                          .on_train_batch_end = [&](FitState&, std::int64_t, const Logs&) { look(); }})},
       .verbose = 0});
  look();
  REQUIRE(sizes.size() == 11);
  CHECK(sizes[0] > 500);  // the graph
  for (const std::size_t i : {1U, 3U, 4U, 6U, 8U, 9U}) CHECK(sizes[i] > sizes[i - 1]);
  CHECK(sizes[10] == sizes[9]);
  const std::string events = strata_test::events_in(logs + "/train");
  for (const char* tag : {"batch_loss", "batch_accuracy", "batch_steps_per_second", "epoch_loss",
                          "epoch_accuracy", "epoch_learning_rate", "epoch_steps_per_second"})
    CHECK_THAT(events, Contains(tag));
  CHECK_FALSE(directory_exists(logs + "/validation"));
}

TEST_CASE("TensorBoard writes the same events for the same training, each training to files of its own") {
  const TemporaryDirectory folder;
  train(folder / "a");
  train(folder / "b");
  const std::string first = strata_test::events_in(folder / "a/logs/train");
  CHECK((strata_test::events_in(folder / "b/logs/train") == first));
  train(folder / "a");
  CHECK(list_directory(folder / "a/logs/train").size() == 2);
  CHECK((strata_test::events_in(folder / "a/logs/train") == first));
}

TEST_CASE("TensorBoard's events of a training that was broken off and resumed are those of a whole one") {
  const TemporaryDirectory folder;
  train(folder / "whole");
  for (const std::int64_t last : {1, 3, 4, 5, 11}) {
    CAPTURE(last);
    const std::string broken = folder / concat("broken", last);
    CHECK_THROWS_AS(train(broken, last), Stop);
    if (last > 3) CHECK_THROWS_AS(train(broken, last + 1), Stop);  // and once more
    train(broken);
    for (const char* part : {"/logs/train", "/logs/validation"})
      CHECK((strata_test::events_in(broken + part) == strata_test::events_in(folder / "whole" + part)));
  }
}

TEST_CASE("TensorBoard names the file or folder that it cannot write") {
  const TemporaryDirectory folder;
  folder.write("file", "");
  const auto fit = [](const std::string& log_dir, bool graph) {
    Model model = network();
    model.fit(noise({4, 8, 8, 3}, 1), Tensor<float>({4, 1}),
              {.callbacks = {TensorBoard({.log_dir = log_dir, .write_graph = graph})}, .verbose = 0});
  };
  CHECK_THROWS_WITH(fit(folder / "file", true), Contains("file/train': '") && Contains("is not a directory"));
  CHECK_THROWS_WITH(fit("/proc/none", true), Contains("/proc/none"));
}

TEST_CASE("TensorBoard refuses options and pictures that it cannot use") {
  CHECK_THROWS_WITH(TensorBoard({.log_dir = ""}), Contains("expected a log_dir"));
  CHECK_THROWS_WITH(TensorBoard({.histogram_freq = -1}), Contains("histogram_freq of 0 or more, found -1"));
  CHECK_THROWS_WITH(TensorBoard({.write_images = true}), Contains("expected a histogram_freq of 1 or more"));
  CHECK_THROWS_WITH(TensorBoard({.update_freq = "epochs"}),
                    Contains("'batch' or a number of batches, found 'epochs'"));
  CHECK_THROWS_WITH(TensorBoard({.update_freq = 0}), Contains("1 batch or more, found 0"));
  const TensorBoard board;
  CHECK_THROWS_WITH(board.impl().add_images("two", Tensor<std::uint8_t>({4, 4, 2})),
                    Contains("'two', found [4,4,2]"));
  CHECK_THROWS_AS(board.impl().add_images("none", Tensor<std::uint8_t>({0, 4, 4, 3})), ShapeError);
  CallbackState state = board.impl().state();
  state.values["run"] = "../../elsewhere";
  CHECK_THROWS_WITH(board.impl().load_state(state), Contains("is not the name of a file of events"));
}

// Of these, tests/tensorboard/run makes what the real TensorBoard is to read.
TEST_CASE("Logs for the real TensorBoard", "[.logs]") {
  const char* folder = std::getenv("STRATA_TENSORBOARD_LOGS");
  REQUIRE(folder);
  train(concat(folder, "/whole"));
  CHECK_THROWS_AS(train(concat(folder, "/resumed"), 7), Stop);
  CHECK_THROWS_AS(train(concat(folder, "/resumed"), 9), Stop);
  train(concat(folder, "/resumed"));
}
