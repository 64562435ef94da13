#include "../../examples/common/run_directory.hpp"
#include "../../examples/common/sample_pictures.hpp"
#include "../../examples/common/training.hpp"

#include <catch2/catch.hpp>

#include <support/temporary_directory.hpp>

using namespace examples;

namespace {

bool parse(Flags& flags, std::vector<std::string> words) {
  std::vector<char*> arguments{nullptr};
  for (std::string& word : words) arguments.push_back(word.data());
  return flags.parse(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

TEST_CASE("flags set what they name and nothing else") {
  TrainingOptions options;
  Flags flags("name", "purpose", options.flags());
  CHECK(parse(flags, {"--epochs", "7", "--learning-rate=1e-4", "--base", "tiny_darknet", "--data=a=b",
                      "--seed", "18446744073709551615"}));
  CHECK(options.epochs == 7);
  CHECK(options.learning_rate == 1e-4);
  CHECK(options.base == "tiny_darknet");
  CHECK(options.data == "a=b");
  CHECK(options.seed == 18446744073709551615U);
  CHECK(options.batch_size == 20);
  CHECK(flags.given("--epochs"));
  CHECK_FALSE(flags.given("--batch-size"));
  CHECK_FALSE(parse(flags, {"--help"}));

  // A switch takes no word of its own.
  CHECK_FALSE(options.overwrite);
  CHECK(parse(flags, {"--overwrite", "--epochs", "8"}));
  CHECK((options.overwrite && options.epochs == 8));
  CHECK(parse(flags, {"--overwrite=no"}));
  CHECK_FALSE(options.overwrite);
  CHECK_THROWS_WITH(parse(flags, {"--overwrite=1"}), Catch::Contains("yes or no, found '1'"));

  const strata::Json json = flags.json();
  CHECK(json.get<std::int64_t>("batch_size") == 20);
  CHECK(json.get<std::string>("seed") == "18446744073709551615");
  CHECK_FALSE(json.get<bool>("overwrite"));
  CHECK(without(options.flags(), {"--base", "--seed"}).size() == options.flags().size() - 2);
}

TEST_CASE("flags take over those of the run that is resumed") {
  TrainingOptions before;
  Flags first("name", "purpose", before.flags());
  parse(first, {"--epochs", "7", "--learning-rate=1e-4", "--seed", "18446744073709551615", "--data", "there",
                "--threads", "3"});
  const strata::Json kept = strata::Json::parse(first.json().dump());
  const auto restored = [&](std::vector<std::string> words) {
    TrainingOptions options;
    Flags flags("name", "purpose", options.flags());
    parse(flags, std::move(words));
    flags.restore(kept, "config.json", {"--epochs", "--threads"});
    CHECK(flags.given("--input-size"));
    return std::pair(options, flags.json());
  };
  CHECK(restored({}).second == kept);
  CHECK(restored({"--data", "there", "--batch-size", "20"}).second == kept);
  const TrainingOptions longer = restored({"--epochs", "9", "--threads", "1"}).first;
  CHECK((longer.epochs == 9 && longer.threads == 1 && longer.learning_rate == 1e-4));
  CHECK_THROWS_WITH(restored({"--batch-size", "5"}), "--batch-size is 5, but 'config.json' has 20");
  CHECK_THROWS_AS(restored({"--seed", "1"}), UsageError);
}

TEST_CASE("a wrong command line is told apart") {
  TrainingOptions options;
  Flags flags("name", "purpose", options.flags());
  const auto wrong = [&](const std::vector<std::string>& words, const std::string& message) {
    INFO(message);
    CHECK_THROWS_WITH(parse(flags, words), Catch::Contains(message));
    CHECK_THROWS_AS(parse(flags, words), UsageError);
  };
  wrong({"--epoch", "1"}, "unknown flag '--epoch'");
  wrong({"picture.jpg"}, "unknown flag 'picture.jpg'");
  wrong({"--epochs"}, "--epochs needs a value");
  wrong({"--epochs", "0"}, "at least 1");
  wrong({"--data", ""}, "--data takes a value, found ''");
  wrong({"--run-dir="}, "--run-dir takes a value, found ''");
  wrong({"--epochs", "3x"}, "found '3x'");
  wrong({"--epochs", ""}, "found ''");
  wrong({"--epochs", "99999999999999999999"}, "a whole number");
  wrong({"--threads", "-1"}, "at least 0");
  wrong({"--learning-rate", "nan"}, "found 'nan'");
  wrong({"--base", "resnet"}, "vgg16 or tiny_darknet, found 'resnet'");
  CHECK(options.epochs == 30);
}

TEST_CASE("errors become exit codes") {
  CHECK(run("test", [] {}) == 0);
  CHECK(run("test", [] { throw UsageError("a wrong flag (expected here)"); }) == 2);
  CHECK(run("test", [] { throw strata::DataError("a bad file (expected here)"); }) == 1);
  CHECK(run("test", [] { throw std::bad_alloc(); }) == 1);
  CHECK(run("test", [] { throw Interrupted{"runs/test (expected here)"}; }) == 130);
}

TEST_CASE("Wilson's interval") {
  // statsmodels.stats.proportion.proportion_confint(count, n, method="wilson")
  const auto check = [](double fraction, std::int64_t count, double low, double high) {
    const auto interval = wilson_interval(fraction, count);
    CHECK(interval.first == Approx(low).margin(1e-6));
    CHECK(interval.second == Approx(high).margin(1e-6));
  };
  check(0.924, 1000, 0.9059044, 0.9388506);
  check(0.5, 10, 0.2365931, 0.7634069);
  check(1, 20, 0.8388745, 1);
}

namespace {
/// Figures that grow from epoch to epoch; at one, unless negative, the validation loss is NaN.
strata::History history_of(int epochs, int broken = -1) {
  strata::History history;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    strata::Logs logs;
    for (const char* name : {"loss", "accuracy", "val_loss", "val_accuracy"}) logs.set(name, 0.25 * epoch);
    if (epoch == broken) logs.set("val_loss", std::nan(""));
    history.add(epoch, logs);
  }
  return history;
}
}  // namespace

TEST_CASE("a run directory holds what was measured") {
  const TemporaryDirectory directory;
  RunDirectory run(directory / "runs/first");
  const strata::History history = history_of(3);
  strata::Logs test;
  test.set("loss", 0.5);
  test.set("accuracy", 0.75);
  run.phase("training", 60, [] {});
  run.write_history(history);
  run.write_curves(history);
  run.write_metrics(history.at(2), test, test, 100);

  const auto table = strata::CsvTable::parse(strata::read_file(run.file("history.csv")));
  CHECK(table.columns() == std::vector<std::string>{"epoch", "loss", "accuracy", "val_loss", "val_accuracy"});
  CHECK(table.numbers("epoch") == std::vector<double>{1, 2, 3});
  CHECK(table.numbers("val_loss") == std::vector<double>{0, 0.25, 0.5});
  CHECK(strata::read_file(run.file("curves.svg")).find("Accuracy") != std::string::npos);

  const auto metrics = strata::Json::parse(strata::read_file(run.file("metrics.json")));
  CHECK(metrics.at("train").get<double>("accuracy") == 0.5);
  CHECK(metrics.at("validation").get<double>("loss") == 0.5);
  CHECK(metrics.at("test").get<double>("accuracy") == 0.75);
  const auto interval = metrics.at("test").get<std::vector<double>>("accuracy_ci95");
  CHECK((interval.size() == 2 && interval[0] < 0.75 && interval[1] > 0.75));
  CHECK(metrics.at("phases").at("training").get<double>("seconds") >= 0);
  CHECK(metrics.at("phases").at("training").get<double>("images_per_second") > 0);
  CHECK(metrics.get<std::int64_t>("peak_memory_bytes") > 1000000);
}

TEST_CASE("curves are drawn as they are and smoothed, and what is not finite is a gap and null") {
  const TemporaryDirectory directory;
  RunDirectory run(directory / "run");
  const strata::History history = history_of(9, 4);
  run.write_curves(history);
  const std::string text = strata::read_file(run.file("curves.svg"));
  const auto count = [&text](std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++found;
    return found;
  };
  // Each panel has two pale lines, two smoothed ones and as many in the legend, and no dot.
  CHECK(count("<path d=") == 16);
  CHECK(count(" f\">\n<path d=") == 8);
  CHECK(count("<circle") == 0);
  for (const char* name : {">training<", ">validation<"}) CHECK(count(name) == 2);
  CHECK(count(">training, smoothed 0.8<") == 2);
  CHECK(count(">validation, smoothed 0.8<") == 2);
  CHECK(count("M") == 16 + 2);  // behind the gap both curves of the validation loss begin anew

  strata::Logs bad;
  bad.set("loss", std::nan(""));
  bad.set("accuracy", 0.5);
  run.write_metrics(bad, history.at(8), bad, 100);
  const auto metrics = strata::Json::parse(strata::read_file(run.file("metrics.json")));
  CHECK(metrics.at("train").at("loss").is_null());
  CHECK(metrics.at("test").at("loss").is_null());
  CHECK(metrics.at("validation").get<double>("loss") == 2);
}

TEST_CASE("a run directory holds one run") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run";
  RunDirectory(path).write_config(strata::Json::object());
  directory.write("run/best.safetensors", "weights");
  directory.write("run/report.html", "of another run");
  CHECK_THROWS_AS(RunDirectory(path), UsageError);
  CHECK_THROWS_WITH(RunDirectory(path), Catch::Contains("--overwrite") && Catch::Contains("--resume"));
  CHECK_NOTHROW(RunDirectory(path, false, true));
  CHECK(strata::read_file(directory / "run/best.safetensors") == "weights");
  CHECK_THROWS_WITH(RunDirectory(path, true, true), Catch::Contains("exclude each other"));
  CHECK_THROWS_WITH(RunDirectory(directory / "none", false, true), Catch::Contains("no run that could"));
  directory.write("run/metrics.json", "{}");
  CHECK_THROWS_WITH(RunDirectory(path, false, true), Catch::Contains("has ended"));
  strata::make_directories(directory / "run/backup");
  directory.write("run/backup/backup.safetensors", "backup");
  CHECK_NOTHROW(RunDirectory(path, false, true));
  const RunDirectory again(path, true);
  CHECK_THROWS_AS(strata::read_file(again.file("best.safetensors")), strata::DataError);
  CHECK_FALSE(std::ifstream(again.file("backup")).is_open());
  CHECK_FALSE(std::ifstream(again.file("report.html")).is_open());
  CHECK_NOTHROW(RunDirectory(path));
  CHECK(RunDirectory(directory / "{run}").pattern("x") == directory / "{{run}}/x");
}

TEST_CASE("drawn pictures are two classes that the examples can read") {
  const TemporaryDirectory directory;
  TrainingOptions options;
  options.data = directory / "pictures";
  options.input_size = 32;
  sample_pictures::write(options.data, {.train = 8, .validation = 4, .test = 4});
  const auto train = pictures(options, "train");
  CHECK(train.class_names() == std::vector<std::string>{"balloons", "kites"});
  CHECK(train.samples() == 16);
  CHECK(pictures(options, "test").samples() == 8);
  CHECK(train.batch(0).pixels.shape() == strata::Shape{16, 32, 32, 3});
  options.limit = 3;
  CHECK(pictures(options, "train").samples() == 6);
}

TEST_CASE("damaged pictures end a run unless --on-error skip leaves them out") {
  const TemporaryDirectory directory;
  TrainingOptions options;
  options.data = directory / "pictures";
  options.input_size = 32;
  sample_pictures::write(options.data, {.train = 4, .validation = 4, .test = 4});
  const std::string damaged = directory.write("pictures/test/kites/damaged.jpg", "nothing");
  Flags flags("test", "", options.flags());
  CHECK_THROWS_WITH(open_subsets(options), Catch::Contains(damaged));
  REQUIRE(parse(flags, {"--on-error", "skip"}));
  const Subsets data = open_subsets(options);
  CHECK(data.test.samples() == 8);
  CHECK(std::find(data.test_files.begin(), data.test_files.end(), "test/kites/damaged.jpg") ==
        data.test_files.end());
  CHECK_THROWS_AS(parse(flags, {"--on-error", "ignore"}), UsageError);
}

TEST_CASE("Eigen computes the examples only where they were built with it") {
  TrainingOptions options;
  CHECK(options.make_device()->host_accessible());
  options.device = "eigen";  // this program is built without
  CHECK_THROWS_WITH(options.make_device(), Catch::Contains("libeigen3-dev"));
}
