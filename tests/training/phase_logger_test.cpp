#include <catch2/catch.hpp>

#include <chrono>
#include <thread>

#include <strata/cpu/device.hpp>
#include <strata/data/image.hpp>
#include <strata/data/image_data_generator.hpp>
#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/phase_logger.hpp>

#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

constexpr double millisecond = 1e-3;

void sleep(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

/// `samples` of two numbers, each of which takes a while to make.
Dataset slow(std::int64_t samples, int milliseconds) {
  return dataset_from_function(samples, 4, [=](std::int64_t sample, std::int64_t) {
    sleep(milliseconds);
    Batch out;
    out.x = Tensor<float>({1, 2}, {static_cast<float>(sample), 1});
    out.y = Tensor<float>({1, 1}, {static_cast<float>(sample % 2)});
    return out;
  });
}

Sequential network() {
  Sequential model({Input({.shape = {2}}), Dense({.units = 3, .activation = Activation::tanh}), Dropout(0.2),
                    Dense({.units = 1, .activation = Activation::sigmoid})},
                   {.seed = 3});
  model.compile({.loss = "binary_crossentropy", .metrics = {"accuracy"}});
  return model;
}

/// Pictures of 8x8, in two classes.
std::pair<Tensor<std::uint8_t>, Tensor<float>> pictures(std::int64_t count) {
  Tensor<std::uint8_t> x({count, 8, 8, 3});
  Tensor<float> y({count, 1});
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<std::uint8_t>(i * 37 % 251);
  for (std::int64_t i = 0; i < count; ++i) y.data()[i] = static_cast<float>(i % 2);
  return {std::move(x), std::move(y)};
}

}  // namespace

TEST_CASE("A loader that is too slow shows as waiting, beside what it does") {
  for (const int workers : {0, 1}) {
    INFO(workers << " workers");
    Sequential model = network();
    const PhaseLogger logger;
    model.fit(slow(8, 10), {.epochs = 2,
                            .validation_data = slow(4, 10),
                            .callbacks = {logger},
                            .verbose = 0,
                            .workers = workers});
    REQUIRE(logger.impl().epochs().size() == 2);
    for (const PhaseTimes& epoch : logger.impl().epochs()) {
      if (workers == 0) CHECK(epoch[Phase::idle] >= 120 * millisecond);
      CHECK(epoch.calls_of(Phase::idle) == 3);
      CHECK(epoch.calls_of(Phase::transfer) == 3);
      CHECK(epoch.calls_of(Phase::forward) == 2);
      CHECK(epoch.calls_of(Phase::loss) == 2);
      CHECK(epoch.calls_of(Phase::backward) == 2);
      CHECK(epoch.calls_of(Phase::update) == 2);
      CHECK(epoch.calls_of(Phase::validation) == 1);
      CHECK(epoch.calls_of(Phase::augment) == 0);
    }
    const PhaseTimes& all = logger.impl().times();
    CHECK(all[Phase::load] >= 240 * millisecond);
    CHECK(all.calls_of(Phase::load) == 6);
    // Of 240 ms; a step that takes long gives the loader time to get ahead.
    CHECK(all[Phase::idle] >= 60 * millisecond);
  }
}

TEST_CASE("An epoch's phases add up to it, and a callback's time is in the epoch it belongs to") {
  Sequential model = network();
  const PhaseLogger logger;
  const LambdaCallback pause({.on_epoch_end = [](FitState&, int epoch, Logs&) { sleep(epoch == 1 ? 40 : 0); },
                              .on_train_batch_end = [](FitState&, std::int64_t, const Logs&) { sleep(5); }});
  const auto begin = std::chrono::steady_clock::now();
  model.fit(slow(8, 0), {.epochs = 3, .callbacks = {pause, logger}, .verbose = 0});
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto& epochs = logger.impl().epochs();
  REQUIRE(epochs.size() == 3);
  double sum = 0;
  for (const PhaseTimes& epoch : epochs) {
    CHECK(epoch[Phase::callbacks] >= 10 * millisecond);
    sum += epoch.total();
  }
  CHECK(epochs[1][Phase::callbacks] >= 50 * millisecond);
  CHECK(sum == Approx(logger.impl().times().total()));
  CHECK(sum <= wall);
  CHECK(sum >= 70 * millisecond);
}

TEST_CASE("What augments pictures counts as that: the dataset's warps and random layers") {
  const auto [x, y] = pictures(8);
  const Dataset plain = ImageDataGenerator({.rescale = 1 / 255.0}).flow(x, y, {.batch_size = 4});
  const Dataset turned =
      ImageDataGenerator({.rotation_range = 30, .rescale = 1 / 255.0}).flow(x, y, {.batch_size = 4});
  for (const bool layers : {false, true})
    for (const bool warps : {false, true}) {
      INFO("layers " << layers << ", warps " << warps);
      Sequential model{Input({.shape = {8, 8, 3}})};
      if (layers) {
        model.add(RandomFlip(FlipMode::horizontal));
        model.add(RandomContrast(0.1));
      }
      model.add(Flatten());
      model.add(Dense({.units = 1, .activation = Activation::sigmoid}));
      model.compile({.loss = "binary_crossentropy"});
      const PhaseLogger logger;
      model.fit(warps ? turned : plain, {.validation_data = plain, .callbacks = {logger}, .verbose = 0});
      const PhaseTimes& times = logger.impl().times();
      CHECK(times.calls_of(Phase::augment) == (layers ? 4 : 0) + (warps ? 2 : 0));  // of two steps
      CHECK(times.calls_of(Phase::transfer) == 4);
      CHECK(times.calls_of(Phase::forward) == 2);
    }
}

TEST_CASE("Reading files counts as decoding and resizing, once where a dataset keeps its pictures") {
  const TemporaryDirectory folder;
  const auto [x, y] = pictures(6);
  for (const char* name : {"a", "b"}) make_directories(folder / name);
  for (std::int64_t i = 0; i < 6; ++i)
    write_png(folder / concat(i % 2 ? "a/" : "b/", i, ".png"),
              {x.slice(i, i + 1).data(), x.shape().without_batch()});
  const Dataset data = ImageDataGenerator().flow_from_directory(
      folder / "", {.target_size = {5, 5}, .batch_size = 2, .class_mode = ClassMode::binary});
  Sequential model{Input({.shape = {5, 5, 3}}), Flatten(), Dense({.units = 1})};
  model.compile({.loss = "mse"});
  for (const int workers : {0, 2}) {
    const PhaseLogger logger;
    model.fit(data, {.epochs = 2, .callbacks = {logger}, .verbose = 0, .workers = workers});
    const PhaseTimes& times = logger.impl().times();
    CHECK(times.calls_of(Phase::load) == 6);
    CHECK(times.calls_of(Phase::decode) == (workers == 0 ? 6 : 0));  // the second fit finds them kept
    CHECK(times.calls_of(Phase::resize) == times.calls_of(Phase::decode));
  }
}

TEST_CASE("What frozen layers compute once is the forward pass, or validation") {
  Dense first({.units = 3});
  Sequential model{Input({.shape = {2}}), first, Dense({.units = 1})};
  first.set_trainable(false);
  model.compile({.loss = "mse"});
  const PhaseLogger logger;
  const Tensor<float> x({8, 2}), y({8, 1});
  model.fit(x, y,
            {.batch_size = 4,
             .epochs = 2,
             .validation_data = {x, y},
             .callbacks = {logger},
             .verbose = 0,
             .cache_frozen = true});
  CHECK(logger.impl().epochs()[0].calls_of(Phase::forward) == 4);
  CHECK(logger.impl().epochs()[1].calls_of(Phase::forward) == 2);
  CHECK(logger.impl().epochs()[0].calls_of(Phase::validation) == 3);
  CHECK(logger.impl().epochs()[1].calls_of(Phase::validation) == 1);
}

TEST_CASE("Steps give the same bits with a PhaseLogger and without") {
  const DevicePtr device = GENERATE(cpu::device(), strata_test::reference_device());
  std::vector<std::vector<Tensor<float>>> weights;
  std::vector<double> losses;
  for (const bool logged : {false, true}) {
    Sequential model = network();
    model.to(device);
    std::vector<Callback> callbacks;
    if (logged) callbacks.push_back(PhaseLogger());
    const History history = model.fit(
        slow(10, 0),
        {.epochs = 3, .validation_data = slow(5, 0), .callbacks = callbacks, .verbose = 0, .workers = 2});
    weights.push_back(model.get_weights());
    losses.push_back(history["val_loss"].back());
  }
  CHECK(weights[0] == weights[1]);
  CHECK(losses[0] == losses[1]);
}

TEST_CASE("Two fits at once have times of their own, and so has a fit inside a callback") {
  const auto run = [](const PhaseLogger& logger, int epochs) {
    Sequential model = network();
    model.fit(slow(8, 1), {.epochs = epochs, .callbacks = {logger}, .verbose = 0, .workers = 2});
  };
  const PhaseLogger first, second, outer, inner;
  std::thread one(run, std::cref(first), 7), two(run, std::cref(second), 4);
  one.join();
  two.join();
  CHECK(first.impl().times().calls_of(Phase::update) == 14);
  CHECK(second.impl().times().calls_of(Phase::update) == 8);
  CHECK(second.impl().times().calls_of(Phase::load) == 8);

  Sequential model = network();
  const LambdaCallback nested({.on_epoch_end = [&](FitState&, int, Logs&) {
    run(inner, 2);
    Sequential unseen = network();
    unseen.fit(slow(8, 0), {.verbose = 0});
  }});
  model.fit(slow(8, 0), {.callbacks = {nested, outer}, .verbose = 0});
  CHECK(inner.impl().times().calls_of(Phase::update) == 4);
  CHECK(outer.impl().times().calls_of(Phase::update) == 2);
  CHECK(outer.impl().times()[Phase::callbacks] >= inner.impl().times().total());
}

TEST_CASE("PhaseLogger writes a row per epoch, and goes on with it where training does") {
  const TemporaryDirectory folder;
  const std::string file = folder / "profile.csv";
  const auto fit = [&](int stop) {
    Sequential model = network();
    const PhaseLogger logger({.filename = file});
    const LambdaCallback end({.on_epoch_begin = [&](FitState&, int epoch) {
      if (epoch == stop) throw DataError("killed");
    }});
    model.fit(slow(8, 1), {.epochs = 3,
                           .callbacks = {logger, end, BackupAndRestore({.backup_dir = folder / "backup"})},
                           .verbose = 0});
    return logger.impl().epochs();
  };
  CHECK_THROWS_WITH(fit(2), "killed");
  const CsvTable before = CsvTable::parse(read_file(file));
  CHECK(before.numbers("epoch") == std::vector<double>{0, 1});
  const auto last = fit(-1);
  REQUIRE(last.size() == 1);
  const CsvTable table = CsvTable::parse(read_file(file));
  CHECK(table.columns() == std::vector<std::string>{"epoch", "ahead", "augment", "backward", "callbacks",
                                                    "decode", "forward", "idle", "load", "loss", "other",
                                                    "resize", "total", "transfer", "update", "validation"});
  CHECK(table.numbers("epoch") == std::vector<double>{0, 1, 2});
  for (const char* name : {"idle", "load", "total"}) {
    const auto then = before.numbers(name), now = table.numbers(name);
    CHECK((now[0] == then[0] && now[1] == then[1]));
    CHECK(now[2] > 0);
  }
  CHECK(table.numbers("idle")[2] == Approx(last[0][Phase::idle]).margin(1e-6));
  CHECK(table.numbers("total")[2] == Approx(last[0].total()).margin(1e-6));
  FitState state{network()};
  CHECK_THROWS_WITH(PhaseLogger({.filename = folder / "none/profile.csv"}).impl().on_train_begin(state),
                    Contains("none/profile.csv"));
}
