#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <thread>

#include <strata/cpu/device.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/cpu/tuning.hpp>
#include <strata/io/csv.hpp>
#include <strata/io/file.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/saving.hpp>
#include <strata/training/tensorboard.hpp>

#include "support/events.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

constexpr int epochs = 4, batches = 5, batch_size = 4;

Tensor<float> noise(Shape shape, std::uint64_t seed) {
  const RandomStream random(seed, Purpose::user);
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = static_cast<float>(random.uniform(static_cast<std::uint64_t>(i)));
  return out;
}

/// A user's own, on the host: the mean prediction.
class Mean final : public MetricBase<Mean> {
 public:
  std::string name() const override { return "mean"; }
  void reset() override { sum_ = count_ = 0; }
  void update(View prediction, View, const float*) override {
    for (std::int64_t i = 0; i < prediction.size(); ++i, ++count_) sum_ += prediction.data()[i];
  }
  double result() const override { return sum_ / count_; }
  Json state() const override { return Json::array({sum_, count_}); }
  void load_state(const Json& from) override {
    sum_ = from.at(0).as_double();
    count_ = from.at(1).as_double();
  }

 private:
  double sum_ = 0, count_ = 0;
};

Sequential network(std::uint64_t seed = 3) {
  Sequential model({Input({.shape = {6, 6, 1}}), RandomFlip(FlipMode::horizontal), RandomRotation(0.1),
                    Conv2D({.filters = 3, .kernel_size = 3}), BatchNormalization(), Flatten(), Dropout(0.4),
                    Dense({.units = 1, .activation = Activation::sigmoid})},
                   {.seed = seed});
  model.compile({.optimizer = Adam({.learning_rate = 0.01}),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy(), AUC(), std::make_shared<Mean>()}});
  return model;
}

/// A user's own: counts batches, and logs how many.
class Counter final : public CallbackImpl {
 public:
  void on_train_begin(FitState& state) override {
    state.figures.push_back({"batches"});
    count_ = 0;
  }
  void on_train_batch_end(FitState&, std::int64_t, const Logs&) override { ++count_; }
  void on_epoch_end(FitState&, int, Logs& logs) override {
    logs.set("batches", count_);
    logs.set("gap", std::numeric_limits<double>::quiet_NaN());
  }
  CallbackState state() const override { return {Json::object({{"bits", count_}})}; }
  void load_state(const CallbackState& from) override { count_ = from.values.get<int>("bits"); }

 private:
  int count_ = 0;
};

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
enum class Where { nowhere, batch_begin, batch_end, epoch_begin, epoch_end };

/// Throws in one hook of one batch or epoch, counted over the run.
LambdaCallback breaks(Where where, std::int64_t number) {
  const auto at = [=](Where here, std::int64_t now) {
    if (here == where && now == number) throw Broken("power cut");
  };
  const auto batch = [](const FitState& state, std::int64_t step) { return state.epoch * batches + step; };
  return LambdaCallback(
      {.on_epoch_begin = [=](FitState&, int epoch) { at(Where::epoch_begin, epoch); },
       .on_epoch_end = [=](FitState&, int epoch, Logs&) { at(Where::epoch_end, epoch); },
       .on_train_batch_begin = [=](FitState& state,
                                   std::int64_t step) { at(Where::batch_begin, batch(state, step)); },
       .on_train_batch_end = [=](FitState& state, std::int64_t step,
                                 const Logs&) { at(Where::batch_end, batch(state, step)); }});
}

struct Program {
  std::int64_t save_freq = 1;
  Where where = Where::nowhere;
  std::int64_t number = 0;
  bool keep = false;
  int patience = 2;
  DevicePtr device = nullptr;  // null: the default
};

/// The program that is broken off and run again; all that it leaves: model, optimizer, history, log, best
/// model.
std::string program(const std::string& folder, const Program& run = {}) {
  Sequential model = network();
  if (run.device) model.to(run.device);
  const auto x = noise({batches * batch_size, 6, 6, 1}, 1);
  auto y = noise({batches * batch_size, 1}, 2);
  for (float& value : y.values()) value = value > 0.5F ? 1.0F : 0.0F;
  const EarlyStopping stopping({.monitor = "loss", .patience = run.patience, .restore_best_weights = true});
  const History history = model.fit(
      x, y,
      {.batch_size = batch_size,
       .epochs = epochs,
       .validation_data = dataset_from_tensors(noise({6, 6, 6, 1}, 4), noise({6, 1}, 5)),
       .seed = 9,
       .callbacks = {LearningRateScheduler([](int, double rate) { return 0.9 * rate; }),
                     ReduceLROnPlateau({.factor = 0.5, .patience = 1}), stopping,
                     ModelCheckpoint({.filepath = folder + "/best.safetensors", .save_best_only = true}),
                     CSVLogger({.filename = folder + "/log.csv"}),
                     TensorBoard({.log_dir = folder + "/logs", .histogram_freq = 2, .update_freq = 2}),
                     std::make_shared<Counter>(), breaks(run.where, run.number),
                     BackupAndRestore({.backup_dir = folder + "/backup",
                                       .save_freq = run.save_freq,
                                       .delete_checkpoint = !run.keep})},
       .verbose = 0,
       .workers = 0});
  save_model(model, folder + "/last.safetensors");
  std::string out;
  for (std::size_t i = 0; i < history.size(); ++i)
    for (const auto& [name, value] : history.at(i))
      out += concat(history.epoch()[i], " ", name, " ", CsvField(value).text, "\n");
  out += concat(stopping.impl().best_epoch(), " ", stopping.impl().stopped_epoch(), "\n");
  for (const char* file : {"log.csv", "best.safetensors", "last.safetensors"})
    out += read_file(folder + "/" + file);
  for (const char* logs : {"/logs/train", "/logs/validation"}) out += strata_test::events_in(folder + logs);
  return out;
}

}  // namespace

TEST_CASE("A run that is broken off anywhere and run again leaves the same bits", "[slow]") {
  const auto whole = [](Program run) {
    const TemporaryDirectory folder;
    return program(folder.path(), run);
  };
  const std::string expected = whole({});
  CHECK((expected == whole({.save_freq = 0})));
  const auto check = [&](std::int64_t save_freq, Where where, std::int64_t number) {
    CAPTURE(save_freq, static_cast<int>(where), number);
    const TemporaryDirectory folder;
    CHECK_THROWS_AS(program(folder.path(), {save_freq, where, number}), Broken);
    CHECK((program(folder.path(), {save_freq}) == expected));
    CHECK_FALSE(std::filesystem::exists(folder / "backup"));
  };
  for (const std::int64_t save_freq : {0, 1, 3, 7}) {
    for (int epoch = 0; epoch < epochs; ++epoch) {
      check(save_freq, Where::epoch_end, epoch);
      check(save_freq, Where::epoch_begin, epoch);
    }
    for (std::int64_t batch = 0; batch < epochs * batches; ++batch) {
      check(save_freq, Where::batch_begin, batch);
      check(save_freq, Where::batch_end, batch);
    }
  }
}

TEST_CASE("A run resumes on a device whose memory the host cannot touch") {
  const DevicePtr device = strata_test::reference_device({.host_accessible = false});
  const TemporaryDirectory whole;
  const std::string expected = program(whole.path(), {.device = device});
  for (const std::int64_t batch : {2, 5, 13}) {
    const TemporaryDirectory folder;
    CHECK_THROWS_AS(program(folder.path(), {1, Where::batch_begin, batch, false, 2, device}), Broken);
    CHECK((program(folder.path(), {.device = device}) == expected));
  }
}

TEST_CASE("A run goes on with the ways of computing that it began with") {
  const cpu::ConvolutionTask task{.geometry = {.batch = batch_size,
                                               .in_h = 12,
                                               .in_w = 12,
                                               .in_c = 16,
                                               .out_h = 10,
                                               .out_w = 10,
                                               .out_c = 16,
                                               .kernel_h = 3,
                                               .kernel_w = 3}};
  const std::string usual = cpu::plan_convolution(task, cpu::kernels(), {}).way();
  const std::string way = usual == "direct" ? "winograd 4" : "direct";
  const auto tuned = [&](const TemporaryDirectory& folder) {
    return cpu::device(
        {.threads = 1,
         .autotune = folder.write("choices.txt", concat("Strata's choices of ways to compute convolutions\n",
                                                        cpu::machine_name(cpu::kernels()), "\t",
                                                        cpu::choice_key(task, {}), "\t", way, "\n"))});
  };
  const auto plain = [](const TemporaryDirectory&) { return cpu::device({.threads = 1}); };
  const auto train = [](const TemporaryDirectory& folder, const DevicePtr& device, LambdaCallback callback) {
    Sequential model({Input({.shape = {12, 12, 16}}), Conv2D({.filters = 16, .kernel_size = 3}), Flatten(),
                      Dense({.units = 1})},
                     {.seed = 1});
    model.to(device).compile({.optimizer = SGD({.learning_rate = 1e-3}), .loss = MeanSquaredError()});
    model.fit(noise({batches * batch_size, 12, 12, 16}, 1), noise({batches * batch_size, 1}, 2),
              {.batch_size = batch_size,
               .epochs = 2,
               .callbacks = {callback, BackupAndRestore({.backup_dir = folder / "backup", .save_freq = 1})},
               .verbose = 0,
               .workers = 0});
    save_model(model, folder / "last.safetensors");
    return read_file(folder / "last.safetensors");
  };
  const auto whole = [&](const auto& device) {
    const TemporaryDirectory folder;
    return train(folder, device(folder), breaks(Where::nowhere, 0));
  };
  const auto resumed = [&](const auto& first, const auto& then) {
    const TemporaryDirectory folder;
    CHECK_THROWS_AS(train(folder, first(folder), breaks(Where::batch_end, 6)), Broken);
    return train(folder, then(folder), breaks(Where::nowhere, 0));
  };
  REQUIRE((whole(tuned) != whole(plain)));
  CHECK((resumed(tuned, plain) == whole(tuned)));
  CHECK((resumed(plain, tuned) == whole(plain)));
}

TEST_CASE("A run may be broken off at every batch, and one that ended is not trained again") {
  const TemporaryDirectory whole, folder;
  const std::string expected = program(whole.path());
  for (std::int64_t batch = 1; batch < epochs * batches; ++batch)
    CHECK_THROWS_AS(program(folder.path(), {1, Where::batch_begin, batch}), Broken);
  for (int again = 0; again < 2; ++again) {
    CHECK((program(folder.path(), {.save_freq = 0, .keep = true}) == expected));
    CHECK(std::filesystem::exists(folder / "backup/backup.safetensors"));
  }
  // Stopped early, and broken off before the best weights were restored.
  const TemporaryDirectory stopped;
  const std::string early = program(stopped.path(), {.save_freq = 0, .keep = true, .patience = 0});
  CHECK((early != expected));
  CHECK((program(stopped.path(), {.save_freq = 0, .patience = 0}) == early));
}

TEST_CASE("A backup of another run is refused, and so is a damaged one") {
  const TemporaryDirectory folder;
  const std::string path = folder / "backup/backup.safetensors";
  const Tensor<float> x = noise({8, 6, 6, 1}, 1), y = noise({8, 1}, 2);
  const auto fit = [&](Sequential model, FitOptions options = {}, bool breaks_off = false) {
    options.verbose = 0;
    options.epochs = std::max(options.epochs, 2);
    if (options.callbacks.empty()) options.callbacks = {breaks(Where::nowhere, 0)};
    if (breaks_off) options.callbacks = {breaks(Where::epoch_begin, 1)};
    options.callbacks.push_back(BackupAndRestore({.backup_dir = folder / "backup"}));
    return model.fit(x, y, options);
  };
  CHECK_THROWS_AS(fit(network(), {}, true), Broken);
  const std::string good = read_file(path);
  const auto refused = [&](Sequential model, const FitOptions& options, const std::string& why) {
    INFO(why);
    const auto before = model.get_weights();
    CHECK_THROWS_WITH(fit(model, options), Contains(path) && Contains(why));
    CHECK(model.get_weights() == before);
    CHECK((read_file(path) == good));
  };
  refused(network(4), {}, "another model");
  refused(network(), {.batch_size = 4}, "another data: expected {\"samples\":8,\"batch_size\":4}");
  refused(network(), {.seed = 1}, "another seed");
  refused(network(), {.shuffle = false}, "another shuffle");
  refused(network(), {.steps_per_epoch = 2}, "another steps_per_epoch");
  refused(network(), {.validation_data = dataset_from_tensors(x, y)}, "another validation_data");
  refused(network(), {.callbacks = {TerminateOnNaN(), TerminateOnNaN()}}, "another callbacks");
  refused(network(), {.callbacks = {EarlyStopping({.monitor = "loss"})}}, "another callbacks");
  // Data of the same size that is not the same.
  Tensor<float> moved = x, relabelled = y;
  for (std::int64_t i = 0; i < 36; ++i) moved.data()[4 * 36 + i] += 1;
  relabelled.data()[6] += 1;
  for (const auto& [other_x, other_y] : {std::pair{moved, y}, std::pair{x, relabelled}})
    CHECK_THROWS_WITH(network().fit(other_x, other_y,
                                    {.epochs = 2,
                                     .callbacks = {breaks(Where::nowhere, 0),
                                                   BackupAndRestore({.backup_dir = folder / "backup"})},
                                     .verbose = 0}),
                      Contains(path) && Contains("another data_values"));
  Sequential other = network();
  other.compile({.optimizer = SGD(),
                 .loss = BinaryCrossentropy(),
                 .metrics = {Accuracy(), AUC(), std::make_shared<Mean>()}});
  refused(other, {}, "another optimizer");
  other.compile({.optimizer = Adam({.learning_rate = 0.01}),
                 .loss = "mse",
                 .metrics = {Accuracy(), AUC(), std::make_shared<Mean>()}});
  refused(other, {}, "another loss");
  other.compile({.optimizer = Adam({.learning_rate = 0.01}), .loss = BinaryCrossentropy()});
  refused(other, {}, "another metrics");

  for (const std::size_t size : {std::size_t{0}, std::size_t{9}, good.size() / 2, good.size() - 1}) {
    folder.write("backup/backup.safetensors", good.substr(0, size));
    CHECK_THROWS_WITH(fit(network()), Contains(path));
  }
  std::string flipped = good;
  flipped[flipped.size() - 9] ^= 1;
  folder.write("backup/backup.safetensors", flipped);
  CHECK_THROWS_WITH(fit(network()), Contains(path) && Contains("checksum"));
  Sequential saved = network();
  save_model(saved, path);
  CHECK_THROWS_WITH(fit(network()), Contains(path) && Contains("expected format 'strata-backup/1'"));

  folder.write("backup/backup.safetensors", good);
  CHECK(fit(network(), {.epochs = 3}).epoch() == std::vector<int>{0, 1, 2});  // more epochs are no other run
}

TEST_CASE("The numbers of a state come back bit for bit, and its tensors") {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> numbers{std::numeric_limits<double>::quiet_NaN(),
                                    -std::numeric_limits<double>::quiet_NaN(),
                                    std::bit_cast<double>(0x7ff8000000000123),
                                    infinity,
                                    -infinity,
                                    -0.0,
                                    0.1,
                                    3,
                                    5e-324,
                                    std::numeric_limits<double>::max()};
  class Keeper final : public CallbackImpl {
   public:
    CallbackState kept;
    CallbackState state() const override { return kept; }
    void load_state(const CallbackState& from) override { kept = from; }
  };
  const Json like_bits = Json::object({{"bits", Json::object({{"bits", "123"}})}}),
             whole = Json::array({std::numeric_limits<std::int64_t>::max(), like_bits, "text", Json(), true});
  const auto first = std::make_shared<Keeper>(), second = std::make_shared<Keeper>();
  first->kept = {Json::object({{"numbers", Json::array(numbers)}, {"whole", whole}}),
                 {{"b", noise({3, 2}, 1)}, {"a/b", noise({5}, 2)}, {"none", Tensor<float>({0})}}};
  second->kept.values = Json::object({{"numbers", 0}, {"whole", 0}});
  const TemporaryDirectory folder;
  for (const auto& keeper : {first, second}) {
    Sequential model = network();
    model.fit(noise({8, 6, 6, 1}, 1), noise({8, 1}, 2),
              {.callbacks = {keeper,
                             BackupAndRestore({.backup_dir = folder / "backup", .delete_checkpoint = false})},
               .verbose = 0});
  }
  const auto back = second->kept.values.get<std::vector<double>>("numbers");
  REQUIRE(back.size() == numbers.size());
  for (std::size_t i = 0; i < back.size(); ++i)
    CHECK(std::bit_cast<std::uint64_t>(back[i]) == std::bit_cast<std::uint64_t>(numbers[i]));
  CHECK(second->kept.values.at("whole") == whole);
  CHECK(second->kept.tensors == first->kept.tensors);
}

TEST_CASE("BackupAndRestore tells before training what cannot be") {
  const TemporaryDirectory folder;
  Sequential model = network();
  const Tensor<float> x = noise({8, 6, 6, 1}, 1), y = noise({8, 1}, 2);
  const BackupAndRestore backup({.backup_dir = folder / "backup", .save_freq = 1});
  const auto fit = [&](std::vector<Callback> callbacks) {
    model.fit(x, y, {.callbacks = std::move(callbacks), .verbose = 0});
  };
  CHECK_THROWS_WITH(fit({backup, TerminateOnNaN()}), Contains("must be the last callback"));
  CHECK_THROWS_WITH(BackupAndRestore(), Contains("expected a backup_dir, found none"));
  CHECK_THROWS_AS(BackupAndRestore({.backup_dir = "x", .save_freq = -1}), ConfigError);
  CHECK_THROWS_WITH(fit({BackupAndRestore({.backup_dir = "/proc/none"})}), Contains("/proc/none"));

  class Last final : public MetricBase<Last> {
   public:
    std::string name() const override { return "last"; }
    void reset() override {}
    void update(View, View, const float*) override {}
    double result() const override { return 0; }
  };
  model.compile({.loss = "mse", .metrics = {std::make_shared<Last>()}});
  CHECK_THROWS_WITH(fit({backup}), Contains("[metric] 'last' keeps no state"));
  CHECK(model.trainer().iterations() == 0);
  CHECK_NOTHROW(fit({BackupAndRestore({.backup_dir = folder / "backup"})}));
}

// The program of the next test, in a process of its own.
TEST_CASE("The program that is killed", "[.killed]") {
  const char* folder = std::getenv("STRATA_KILLED_RUN");
  REQUIRE(folder);
  write_file_atomically(std::string(folder) + "/outcome", program(folder, {.patience = 9}));
}

TEST_CASE("A process that is killed at any time and run again leaves the same bits") {
  const auto start = [](const TemporaryDirectory& folder) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("STRATA_KILLED_RUN", folder.path().c_str(), 1);
      unsetenv("STRATA_TEST_REPORT");
      execl("/proc/self/exe", "backup_test", "[.killed]", "-o", "/dev/null", static_cast<char*>(nullptr));
      _exit(127);
    }
    return child;
  };
  const auto wait = [](pid_t child) {
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
  };
  const TemporaryDirectory whole;
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(wait(start(whole)) == 0);
  const auto time = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin);
  const std::string expected = read_file(whole / "outcome");

  const char* wanted = std::getenv("STRATA_KILLS");
  const int kills = wanted ? std::atoi(wanted) : 5;
  const RandomStream random(1, Purpose::user);
  int killed = 0, finished = 0;
  while (killed < kills || finished == 0) {
    const TemporaryDirectory folder;
    for (bool done = false; !done;) {
      const pid_t child = start(folder);
      if (killed < kills) {
        std::this_thread::sleep_for(time * random.uniform(static_cast<std::uint64_t>(killed + finished)));
        kill(child, SIGKILL);
      }
      const int status = wait(child);
      done = WIFEXITED(status);
      killed += WIFSIGNALED(status) ? 1 : 0;
      REQUIRE((done ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL));
    }
    ++finished;
    CHECK((read_file(folder / "outcome") == expected));
  }
  if (wanted) WARN(killed << " kills, " << finished << " runs");
}
