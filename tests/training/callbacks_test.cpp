#include <catch2/catch.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>

#include <strata/cpu/device.hpp>
#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/saving.hpp>

#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

constexpr double NaN = std::numeric_limits<double>::quiet_NaN();
using Values = std::vector<double>;

const Values falls{0.9, 0.7, 0.71, 0.69, 0.7, 0.7, 0.7, 0.65, 0.66, 0.66, 0.66, 0.66},
    flat(12, 0.5), rises{0.5, 0.6, 0.55, 0.7, 0.7, 0.65, 0.71, 0.6, 0.6, 0.6, 0.8, 0.6}, gaps{0.5, NaN,  0.4,
                                                                                              NaN, 0.45, 0.39,
                                                                                              NaN, NaN,  0.5,
                                                                                              0.6, 0.3,  0.2};

Sequential network() {
  Sequential model{Input({.shape = {1}}), Dense({.units = 1, .use_bias = false})};
  model.compile({.optimizer = SGD({.learning_rate = 0.1}), .loss = "mse", .metrics = {Accuracy()}});
  return model;
}

struct Outcome {
  int last_epoch = -1;
  double weight = 0;  // afterwards; in each epoch it is the epoch's number
  Values rates = {};  // after each epoch
};

/// What `fit` does with a callback, where every epoch has the given loss and accuracy.
Outcome train(const Callback& callback, const Values& values) {
  Sequential model = network();
  FitState state{model, static_cast<int>(values.size()), 1, false, model.trainer().figures()};
  CallbackImpl& impl = callback.impl();
  Outcome out;
  impl.on_train_begin(state);
  for (const double value : values) {
    const int epoch = ++out.last_epoch;
    model.set_weights({Tensor<float>({1, 1}, {static_cast<float>(epoch)})});
    impl.on_epoch_begin(state, epoch);
    Logs logs;
    logs.set("loss", value);
    logs.set("accuracy", value);
    impl.on_epoch_end(state, epoch, logs);
    out.rates.push_back(model.trainer().optimizer().learning_rate());
    if (state.stop_training) break;
  }
  impl.on_train_end(state);
  out.weight = model.get_weights()[0](0, 0);
  return out;
}

/// The same, where after `stop` epochs a callback like it takes over the state of the first.
Outcome train_in_two(const Callback& first, const Callback& second, const Values& values, std::size_t stop) {
  Sequential model = network();
  FitState state{model, static_cast<int>(values.size()), 1, false, model.trainer().figures()};
  Outcome out;
  first.impl().on_train_begin(state);
  const CallbackImpl* now = &first.impl();
  for (const double value : values) {
    if (std::size_t(++out.last_epoch) == stop) {
      const CallbackState kept = now->state();
      state.figures = model.trainer().figures();
      second.impl().on_train_begin(state);
      second.impl().load_state(kept);
      now = &second.impl();
    }
    CallbackImpl& impl = now == &first.impl() ? first.impl() : second.impl();
    model.set_weights({Tensor<float>({1, 1}, {static_cast<float>(out.last_epoch)})});
    Logs logs;
    logs.set("loss", value);
    logs.set("accuracy", value);
    impl.on_epoch_end(state, out.last_epoch, logs);
    out.rates.push_back(model.trainer().optimizer().learning_rate());
    if (state.stop_training) break;
  }
  (now == &first.impl() ? first : second).impl().on_train_end(state);
  out.weight = model.get_weights()[0](0, 0);
  return out;
}

std::string names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

/// Ten samples on a line that one weight fits.
const Tensor<float> x({10, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}),
    y({10, 1}, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18});

}  // namespace

// The tables are what Keras 3.15.0 decides: tests/support/golden/callbacks.py prints them.

TEST_CASE("EarlyStopping stops and restores where Keras does") {
  struct Row {
    const Values& values;
    EarlyStoppingOptions options;
    int last_epoch, restored_epoch;
  };
  const Row rows[] = {
      {falls, {.monitor = "loss"}, 2, 1},
      {falls, {.monitor = "loss", .patience = 2}, 5, 3},
      {falls, {.monitor = "loss", .patience = 3}, 6, 3},
      {falls, {.monitor = "loss", .min_delta = 0.03, .patience = 3}, 4, 1},
      {falls, {.monitor = "loss", .patience = 4}, 11, 7},
      {falls, {.monitor = "loss", .patience = 3, .baseline = 0.68}, 2, 1},
      {falls, {.monitor = "loss", .patience = 8, .baseline = 0.68}, 11, 7},
      {falls, {.monitor = "loss", .patience = 2, .start_from_epoch = 4}, 6, 4},
      {falls, {.monitor = "loss", .patience = 2, .mode = MonitorMode::max}, 2, 0},
      {flat, {.monitor = "loss"}, 1, 0},
      {flat, {.monitor = "loss", .patience = 20}, 11, 0},
      {rises, {.monitor = "accuracy", .patience = 2}, 5, 3},
      {rises, {.monitor = "accuracy", .patience = 4}, 11, 10},
      {rises, {.monitor = "accuracy", .min_delta = -0.06, .patience = 4}, 7, 3},
      {rises, {.monitor = "accuracy", .patience = 2, .mode = MonitorMode::min}, 2, 0},
      {rises, {.monitor = "accuracy", .patience = 3, .baseline = 0.9}, 2, 1},
      {gaps, {.monitor = "loss", .patience = 2}, 4, 2},
      {gaps, {.monitor = "loss", .patience = 3}, 8, 5},
  };
  for (Row row : rows) {
    CAPTURE(row.options.monitor, row.options.patience);
    row.options.restore_best_weights = true;
    const EarlyStopping callback(row.options);
    const Outcome outcome = train(callback, row.values);
    CHECK(outcome.last_epoch == row.last_epoch);
    CHECK(outcome.weight == row.restored_epoch);
    CHECK(callback.impl().best_epoch() == row.restored_epoch);
    row.options.restore_best_weights = false;
    CHECK(train(EarlyStopping(row.options), row.values).weight == row.last_epoch);
  }
}

TEST_CASE("ReduceLROnPlateau sets Keras's learning rates") {
  struct Row {
    const Values& values;
    ReduceLROnPlateauOptions options;
    Values rates;
  };
  const Row rows[] = {
      {falls,
       {.monitor = "loss", .patience = 2},
       {0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.0001}},
      {falls,
       {.monitor = "loss", .factor = 0.5, .patience = 1},
       {0.1, 0.1, 0.05, 0.05, 0.025, 0.0125, 0.00625, 0.00625, 0.003125, 0.0015625, 0.00078125, 0.000390625}},
      {falls,
       {.monitor = "loss", .factor = 0.5, .patience = 1, .cooldown = 2},
       {0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.00625, 0.00625, 0.003125, 0.003125}},
      {falls,
       {.monitor = "loss", .factor = 0.5, .patience = 0},
       {0.1, 0.1, 0.05, 0.05, 0.025, 0.0125, 0.00625, 0.00625, 0.003125, 0.0015625, 0.00078125, 0.000390625}},
      {falls,
       {.monitor = "loss", .factor = 0.5, .patience = 2, .min_delta = 0.1},
       {0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.00625, 0.00625, 0.003125}},
      {flat,
       {.monitor = "loss", .factor = 0.5, .patience = 2, .min_lr = 0.02},
       {0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02}},
      {flat,
       {.monitor = "loss", .factor = 0.2, .patience = 3, .cooldown = 1},
       {0.1, 0.1, 0.1, 0.02, 0.02, 0.02, 0.004, 0.004, 0.004, 0.0008, 0.0008, 0.0008}},
      {rises,
       {.monitor = "accuracy", .factor = 0.5, .patience = 2},
       {0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025}},
      {rises,
       {.monitor = "accuracy", .factor = 0.5, .patience = 2, .mode = MonitorMode::min},
       {0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.00625, 0.00625, 0.003125, 0.003125}},
      {gaps,
       {.monitor = "loss", .factor = 0.5, .patience = 1},
       {0.1, 0.05, 0.05, 0.025, 0.0125, 0.0125, 0.00625, 0.003125, 0.0015625, 0.00078125, 0.00078125,
        0.00078125}},
  };
  for (const Row& row : rows) {
    const Outcome outcome = train(ReduceLROnPlateau(row.options), row.values);
    CAPTURE(row.options.monitor, row.options.factor, row.options.patience, outcome.rates);
    REQUIRE(outcome.rates.size() == row.rates.size());
    for (std::size_t i = 0; i < row.rates.size(); ++i)
      CHECK(outcome.rates[i] == Approx(row.rates[i]).epsilon(1e-5));
  }
}

TEST_CASE("ModelCheckpoint saves the epochs that Keras saves") {
  struct Row {
    const Values& values;
    ModelCheckpointOptions options;
    std::string names;
  };
  const Row rows[] = {
      {falls,
       {.monitor = "loss"},
       "01-0.90 02-0.70 03-0.71 04-0.69 05-0.70 06-0.70 07-0.70 08-0.65 09-0.66 10-0.66 11-0.66 12-0.66"},
      {falls, {.monitor = "loss", .save_best_only = true}, "01-0.90 02-0.70 04-0.69 08-0.65"},
      {falls, {.monitor = "loss", .save_best_only = true, .mode = MonitorMode::max}, "01-0.90"},
      {rises, {.monitor = "accuracy", .save_best_only = true}, "01-0.50 02-0.60 04-0.70 07-0.71 11-0.80"},
      {rises,
       {.monitor = "accuracy", .save_best_only = true, .initial_value_threshold = 0.65},
       "04-0.70 07-0.71 11-0.80"},
      {gaps, {.monitor = "loss", .save_best_only = true}, "01-0.50 03-0.40 06-0.39 11-0.30 12-0.20"},
  };
  for (Row row : rows) {
    const TemporaryDirectory folder;
    row.options.filepath = folder / "a/b/{epoch:02d}-{loss:.2f}.safetensors";
    train(ModelCheckpoint(row.options), row.values);
    CHECK(names_in(folder / "a/b") == row.names);
  }
}

TEST_CASE("A filepath is filled in as Python does") {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"d", "7"},
      {"02d", "07"},
      {"5d", "    7"},
      {".2f", "0.03"},
      {"8.3f", "   0.031"},
      {"08.3f", "0000.031"},
      {".3e", "3.125e-02"},
      {"g", "0.03125"},
      {".3g", "0.0312"},
      {"f", "0.031250"},
      {"012.2e", "00003.12e-02"},
  };
  for (const auto& [spec, text] : rows) {
    const TemporaryDirectory folder;
    const std::string name = spec.ends_with('d') ? "epoch" : "loss";
    const ModelCheckpoint callback({.filepath = folder / ("{{" + name + "}} {" + name + ":" + spec + "}.x")});
    Sequential model = network();
    FitState state{model, 9, 1, false, {{"loss"}}};
    callback.impl().on_train_begin(state);
    Logs logs;
    logs.set("loss", 0.03125);
    callback.impl().on_epoch_end(state, 6, logs);
    CHECK(names_in(folder.path()) == "{" + name + "} " + text);
  }
  const auto message = [](const std::string& filepath, Values values = {0.5}) {
    const TemporaryDirectory folder;
    try {
      train(ModelCheckpoint({.filepath = folder / filepath}), values);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(message("{val_loss}"),
             Contains("[model_checkpoint] filepath: figure 'val_loss' is not among loss, accuracy") &&
                 Contains("needs validation_data"));
  CHECK_THAT(message("{}"), Contains("figure '' is not among"));
  CHECK_THAT(message("{loss"), Contains("a lone '{'"));
  CHECK_THAT(message("loss}"), Contains("a lone '}'"));
  for (const char* spec : {"s", "d", "2", ".f3", ".33f", "65f", "99999999999f", "-1f", "n", "*f"})
    CHECK_THAT(message(concat("{loss:", spec, "}")), Contains(concat("cannot have the format '", spec, "'")));
  CHECK_THAT(message("{epoch:.2d}"), Contains("cannot have the format '.2d'"));
  CHECK(message("{loss:64.32f}").empty());
}

TEST_CASE("fit with the book's callbacks leaves the best model and a log") {
  const TemporaryDirectory folder;
  const std::string best = folder / "best.safetensors", last = folder / "last.safetensors";
  Sequential model = network();
  model.set_weights({Tensor<float>({1, 1}, {1.0F})});
  int stages = 0;
  const EarlyStopping stopping({.patience = 2, .restore_best_weights = true});
  const History history = model.fit(
      x, y,
      {.batch_size = 2,
       .epochs = 20,
       .validation_data = dataset_from_tensors(x, y),
       .callbacks =
           {LearningRateScheduler(
                // From the fourth epoch on too much: the loss grows.
                [](int epoch, double rate) { return epoch < 3 ? 0.005 : rate * (epoch == 3 ? 20 : 1); }),
            stopping, ModelCheckpoint({.filepath = best, .save_best_only = true}),
            ModelCheckpoint({.filepath = last, .save_weights_only = true}),
            CSVLogger({.filename = folder / "log.csv"}),
            LambdaCallback(
                {.on_train_begin = [&](FitState&) { stages += 1; },
                 .on_train_end = [&](FitState&) { stages += 10; },
                 .on_epoch_begin = [&](FitState&, int) { stages += 100; },
                 .on_epoch_end = [&](FitState&, int epoch, Logs& logs) { logs.set("epoch_seen", epoch); },
                 .on_train_batch_begin = [&](FitState&, std::int64_t) { stages += 10000; },
                 .on_train_batch_end = [&](FitState&, std::int64_t, const Logs&) { stages += 1000000; }})},
       .verbose = 0});
  REQUIRE(history.size() == 5);
  CHECK(stages == 25250511);
  CHECK(history["epoch_seen"] == Values{0, 1, 2, 3, 4});
  CHECK(history["learning_rate"] == Values{0.005, 0.005, 0.005, 0.1, 0.1});
  CHECK(stopping.impl().best_epoch() == 2);
  CHECK(stopping.impl().stopped_epoch() == 4);

  const Model saved = load_model(best, {.loss = "mse"});
  CHECK(saved.get_weights() == model.get_weights());  // restored to the same epoch
  CHECK(saved.trainer().optimizer().learning_rate() == 0.005);
  load_weights(model, last);
  CHECK(saved.get_weights() != model.get_weights());

  const CsvTable table = CsvTable::parse(read_file(folder / "log.csv"));
  CHECK(table.columns() ==
        std::vector<std::string>{"epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"});
  CHECK(table.numbers("epoch") == Values{0, 1, 2, 3, 4});
  CHECK(table.numbers("val_loss") == history["val_loss"]);
}

TEST_CASE("Weights are restored when training ends by itself, too") {
  Sequential model = network();
  std::vector<Tensor<float>> best;
  const auto remember = [&](FitState& state, int epoch, Logs&) {
    if (epoch == 0) best = state.model.get_weights();
  };
  model.fit(x, y,
            {.epochs = 3,  // each is worse than the one before
             .callbacks = {LearningRateScheduler([](int, double) { return 0.2; }),
                           EarlyStopping({.monitor = "loss", .patience = 9, .restore_best_weights = true}),
                           LambdaCallback({.on_epoch_end = remember})},
             .verbose = 0});
  CHECK(model.get_weights() == best);
}

TEST_CASE("A monitored figure must exist and have a direction") {
  Sequential model = network();
  const auto fit = [&](std::vector<Callback> callbacks) {
    model.fit(x, y, {.callbacks = std::move(callbacks), .verbose = 0});
  };
  CHECK_THROWS_WITH(fit({EarlyStopping()}),
                    Contains("[early_stopping] monitor 'val_loss' is not among loss, accuracy") &&
                        Contains("needs validation_data"));
  CHECK_THROWS_WITH(fit({ReduceLROnPlateau({.monitor = "acc"})}),
                    Contains("[reduce_lr_on_plateau] monitor 'acc' is not among loss, accuracy"));
  CHECK_THROWS_WITH(fit({ModelCheckpoint({.filepath = "never.safetensors", .save_best_only = true})}),
                    Contains("[model_checkpoint] monitor 'val_loss' is not among loss, accuracy"));
  CHECK_THROWS_WITH(fit({ReduceLROnPlateau({.monitor = "learning_rate"})}),
                    Contains("monitor 'learning_rate': it is not known whether it should fall or rise") &&
                        Contains(".mode"));
  CHECK_THROWS_WITH(
      model.fit(x, y,
                {.validation_data = dataset_from_tensors(x, y),
                 .callbacks = {ReduceLROnPlateau(), EarlyStopping({.monitor = "val_acc"})},
                 .verbose = 0}),
      Contains("[early_stopping] monitor 'val_acc' is not among loss, accuracy, val_loss, val_accuracy, "
               "learning_rate"));
  CHECK(model.trainer().iterations() == 0);  // told before the first step
  // What a callback announces can be monitored by those after it.
  const LambdaCallback adds({.on_train_begin = [](FitState& state) { state.figures.push_back({"extra"}); },
                             .on_epoch_end = [](FitState&, int, Logs& logs) { logs.set("extra", 1); }});
  CHECK_NOTHROW(fit({adds, EarlyStopping({.monitor = "extra", .mode = MonitorMode::max})}));
  CHECK_THROWS_AS(fit({EarlyStopping({.monitor = "extra", .mode = MonitorMode::max}), adds}), ConfigError);
}

TEST_CASE("TerminateOnNaN ends training at the step, by a stop or by an error") {
  Sequential model = network();
  model.set_weights({Tensor<float>({1, 1}, {std::numeric_limits<float>::infinity()})});
  int steps = 0, ends = 0;
  const LambdaCallback count({.on_train_end = [&](FitState&) { ++ends; },
                              .on_train_batch_end = [&](FitState&, std::int64_t, const Logs&) { ++steps; }});
  const auto fit = [&](bool raise_error) {
    return model.fit(
        x, y,
        {.batch_size = 5, .epochs = 4, .callbacks = {count, TerminateOnNaN({raise_error})}, .verbose = 0});
  };
  CHECK(fit(false).size() == 1);
  CHECK(steps == 1);
  CHECK(ends == 1);
  CHECK_THROWS_WITH(fit(true), Contains("at epoch 1, step 1") && Contains("layer 'dense"));
  CHECK(ends == 1);
}

TEST_CASE("CSVLogger goes on with its own file and no other") {
  const TemporaryDirectory folder;
  const std::string file = folder / "log.csv";
  train(CSVLogger({.filename = file, .separator = ';'}), {0.5, NaN});
  train(CSVLogger({.filename = file, .separator = ';', .append = true}), {0.125});
  CHECK(read_file(file) == "epoch;accuracy;loss\n0;0.5;0.5\n1;nan;nan\n0;0.125;0.125\n");
  CHECK_THROWS_WITH(train(CSVLogger({.filename = file, .append = true}), {0.5}),
                    Contains("has other columns") && Contains(file));
  folder.write("log.csv", "epoch;accu");
  CHECK_THROWS_WITH(train(CSVLogger({.filename = file, .separator = ';', .append = true}), {0.5}),
                    Contains("ends in the middle of a line"));
  train(CSVLogger({.filename = file}), {0.25});
  CHECK(read_file(file) == "epoch,accuracy,loss\n0,0.25,0.25\n");
  CHECK_THROWS_WITH(train(CSVLogger({.filename = folder / "none/log.csv"}), {0.5}),
                    Contains("[csv_logger] cannot write") && Contains("none/log.csv"));
  CHECK_THROWS_WITH(train(CSVLogger({.filename = "/dev/full"}), {0.5}), Contains("No space left"));
}

TEST_CASE("Callbacks go on from their state as if they had never stopped") {
  const auto check = [](auto make, const Values& values) {
    const Outcome whole = train(make(), values);
    for (std::size_t stop = 1; stop < values.size(); ++stop) {
      CAPTURE(stop);
      const Outcome two = train_in_two(make(), make(), values, stop);
      CHECK(two.last_epoch == whole.last_epoch);
      CHECK(two.weight == whole.weight);
      CHECK(two.rates == whole.rates);
    }
  };
  const Values nans{NaN, 0.5, 0.4, 0.6}, infinite{INFINITY, INFINITY, 0.4, 0.6, 0.6, 0.6};
  for (const Values& values : {falls, flat, rises, gaps, nans, infinite}) {
    check([] { return EarlyStopping({.monitor = "loss", .patience = 3, .restore_best_weights = true}); },
          values);
    check([] { return ReduceLROnPlateau({.monitor = "loss", .patience = 2, .cooldown = 1}); }, values);
  }

  // Names of the files that are saved: those that are the best so far.
  for (const std::size_t stop : {1, 3, 7}) {
    const TemporaryDirectory whole, two;
    const auto make = [](const TemporaryDirectory& folder) {
      return ModelCheckpoint({.filepath = folder / "{epoch}.x", .monitor = "loss", .save_best_only = true});
    };
    train(make(whole), falls);
    train_in_two(make(two), make(two), falls, stop);
    CHECK(names_in(two.path()) == names_in(whole.path()));
  }
}

TEST_CASE("CSVLogger loses no row and writes none twice where it goes on from a state") {
  const TemporaryDirectory folder;
  const std::string file = folder / "log.csv";
  Sequential model = network();
  FitState state{model, 9, 1, false, {{"loss"}}};
  for (const bool append : {false, true}) {
    const std::string before = append ? "epoch,loss\n0,1.0\n" : "";
    folder.write("log.csv", before);
    const auto log = [&](const CSVLogger& logger, int epoch) {
      Logs logs;
      logs.set("loss", epoch + 0.5);
      logger.impl().on_epoch_end(state, epoch, logs);
    };
    std::vector<CallbackState> states;
    std::vector<std::string> texts;
    {
      const CSVLogger logger({.filename = file, .append = append});
      logger.impl().on_train_begin(state);
      for (int epoch = 0; epoch < 4; ++epoch) {
        states.push_back(logger.impl().state());
        texts.push_back(read_file(file));
        log(logger, epoch);
      }
    }
    const std::string whole = read_file(file);
    for (int epoch = 0; epoch < 4; ++epoch) {  // resumed ever later, from a file that went on for long
      folder.write("log.csv", whole + "8,8.5\n9,9");
      const CSVLogger logger({.filename = file, .append = append});
      logger.impl().on_train_begin(state);
      logger.impl().load_state(states[static_cast<std::size_t>(epoch)]);
      CHECK(read_file(file) == texts[static_cast<std::size_t>(epoch)]);
      for (int next = epoch; next < 4; ++next) log(logger, next);
      CHECK(read_file(file) == whole);
    }
    folder.write("log.csv", "");
    const CSVLogger logger({.filename = file, .append = append});
    logger.impl().on_train_begin(state);
    if (append)
      CHECK_THROWS_WITH(logger.impl().load_state(states[1]),
                        Contains("log.csv' has 0 bytes, fewer than the 17"));
    else
      CHECK_NOTHROW(logger.impl().load_state(states[1]));
  }
}

TEST_CASE("CSVLogger leaves no half row on a full disk, and cuts one that another left") {
  const TemporaryDirectory folder;
  const std::string file = folder / "log.csv";
  const CSVLogger logger({.filename = file, .append = true});
  train(logger, {0.5});
  const std::string first = read_file(file);
  {
    // A file that may grow by four bytes stands for the disk.
    struct rlimit before {};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit little { first.size() + 4, before.rlim_max };
    setrlimit(RLIMIT_FSIZE, &little);
    CHECK_THROWS_WITH(train(logger, {0.25}), Contains("[csv_logger] cannot write"));
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
  CHECK(read_file(file) == first);
  folder.write("log.csv", first + "1,0.2");
  train(logger, {0.125});
  CHECK(read_file(file) == first + "0,0.125,0.125\n");
}

TEST_CASE("A checkpoint that cannot be written is told before training; the last good file stays") {
  const TemporaryDirectory folder;
  const std::string file = folder.write("plain", "x");
  Sequential model = network();
  const auto before = model.get_weights();
  const auto fit = [&](const std::string& path) {
    model.fit(x, y, {.callbacks = {ModelCheckpoint({.filepath = path})}, .verbose = 0});
  };
  CHECK_THROWS_WITH(fit(folder.path()), Contains("is a directory"));
  CHECK_THROWS_WITH(fit(file + "/best.safetensors"), Contains("plain"));
  CHECK_THROWS_AS(fit("/proc/none/best.safetensors"), DataError);
  CHECK(model.get_weights() == before);

  const std::string best = folder / "best.safetensors";
  fit(best);
  const std::string good = read_file(best);
  const ModelCheckpoint callback({.filepath = best, .monitor = "loss", .save_best_only = true});
  CHECK_THROWS_AS(
      model.fit(x, y,
                {.callbacks = {callback, LambdaCallback({.on_train_batch_end =
                                                             [&](FitState&, std::int64_t, const Logs&) {
                                                               throw Error("power cut");
                                                             }})},
                 .verbose = 0}),
      Error);
  CHECK(read_file(best) == good);
  CHECK(names_in(folder.path()) == "best plain");
}

TEST_CASE("Options out of range are refused") {
  CHECK_THROWS_WITH(EarlyStopping({.patience = -1}),
                    Contains("[early_stopping] expected patience of 0 or more, found -1"));
  CHECK_THROWS_AS(EarlyStopping({.start_from_epoch = -1}), ConfigError);
  CHECK_THROWS_AS(EarlyStopping({.min_delta = NaN}), ConfigError);
  CHECK_THROWS_WITH(ReduceLROnPlateau({.factor = 1}), Contains("expected a factor in [0, 1), found 1"));
  CHECK_THROWS_AS(ReduceLROnPlateau({.factor = NaN}), ConfigError);
  CHECK_THROWS_AS(ReduceLROnPlateau({.patience = -1}), ConfigError);
  CHECK_THROWS_AS(ReduceLROnPlateau({.cooldown = -1}), ConfigError);
  CHECK_THROWS_AS(ReduceLROnPlateau({.min_lr = -0.1}), ConfigError);
  CHECK_THROWS_WITH(ModelCheckpoint(), Contains("expected a filepath, found none"));
  CHECK_THROWS_WITH(CSVLogger(), Contains("expected a filename, found none"));
  CHECK_THROWS_AS(CSVLogger({.filename = "log.csv", .separator = '.'}), ConfigError);
  CHECK_THROWS_WITH(LearningRateScheduler(), Contains("expected a schedule, found none"));
  Sequential model = network();
  for (const double rate : {-0.1, NaN})
    CHECK_THROWS_WITH(
        model.fit(x, y,
                  {.callbacks = {LearningRateScheduler([=](int, double) { return rate; })}, .verbose = 0}),
        Contains("expected a learning rate of 0 or more for epoch 0"));
}

TEST_CASE("A callback that was never made is refused") {
  CHECK_THROWS_WITH(Callback(std::shared_ptr<CallbackImpl>()), "[callback] a callback was never made");
}
