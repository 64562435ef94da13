#include <catch2/catch.hpp>

#define main small_convnet_main
#include "../../examples/small_convnet.cpp"
#undef main

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

TEST_CASE("The small networks have the book's numbers of weights") {
  const Model first = first_edition(150, false, 0), second = second_edition(180, false, false, 0);
  CHECK_THAT(first.summary_text(), Contains("Total params: 3,453,121"));
  CHECK_THAT(second.summary_text(), Contains("Total params: 991,041"));
  CHECK(first_edition(150, true, 0).count_params() == 3453121);
  CHECK(second_edition(180, true, true, 0).count_params() == 991041);
  CHECK_THAT(first_edition(150, true, 0).summary_text(), Contains("Dropout"));
}

TEST_CASE("small_convnet trains, tells what it measured and keeps the best and the last model") {
  const TemporaryDirectory directory;
  for (const std::string edition : {"1", "2"}) {
    call(small_convnet, tiny_run(directory.path(), "run" + edition,
                                 {"--input-size", "96", "--edition", edition, "--dropout"}));
    const auto file = [&](const std::string& name) { return directory / ("run" + edition + "/" + name); };
    const auto history = CsvTable::parse(read_file(file("history.csv")));
    CHECK(history.columns() ==
          std::vector<std::string>{"epoch", "loss", "accuracy", "val_loss", "val_accuracy"});
    CHECK(history.numbers("epoch") == std::vector<double>{1, 2});
    CHECK_THAT(read_file(file("curves.svg")), Contains("Accuracy"));
    const Json config = Json::parse(read_file(file("config.json")));
    CHECK(config.get<std::int64_t>("batch_size") == 4);
    CHECK(config.get<double>("learning_rate") == (edition == "1" ? 1e-4 : 1e-3));
    CHECK(config.get<bool>("dropout"));

    // What was evaluated: the last model, in the 2nd edition the best.
    const auto losses = history.numbers("val_loss");
    const double measured = Json::parse(read_file(file("metrics.json"))).at("validation").get<double>("loss");
    CHECK(measured ==
          Approx(edition == "1" ? losses.back() : *std::min_element(losses.begin(), losses.end())));
    for (const char* name : {"best.safetensors", "model.safetensors"})
      CHECK(load_model(file(name)).input_shape() == Shape{96, 96, 3});
  }
}

TEST_CASE("small_convnet changes the training pictures, and only those, anew in every epoch") {
  const TemporaryDirectory directory;
  for (const std::string edition : {"1", "2"}) {
    const auto train = [&](const std::string& run, const std::vector<std::string>& more) {
      std::vector<std::string> words{"--input-size", "96", "--edition", edition, "--learning-rate", "0"};
      words.insert(words.end(), more.begin(), more.end());
      call(small_convnet, tiny_run(directory.path(), run + edition, words));
      return CsvTable::parse(read_file(directory / (run + edition + "/history.csv")));
    };
    // Nothing is learnt: losses differ by the pictures alone.
    const auto plain = train("plain", {}), augmented = train("augmented", {"--augment"});
    const auto losses = plain.numbers("loss"), changed = augmented.numbers("loss");
    CHECK(losses[0] == Approx(losses[1]).epsilon(1e-6));
    CHECK(std::abs(changed[0] - losses[0]) > 1e-6);
    CHECK(std::abs(changed[1] - changed[0]) > 1e-6);
    CHECK(augmented.numbers("val_loss") == plain.numbers("val_loss"));
    CHECK(train("again", {"--augment"}).numbers("loss") == changed);
  }
}

TEST_CASE("small_convnet refuses what it cannot do") {
  const TemporaryDirectory directory;
  const auto with = [&](const std::vector<std::string>& more) {
    return tiny_run(directory.path(), "run", more);
  };
  CHECK_THROWS_WITH(call(small_convnet, with({"--edition", "3"})), Contains("1 or 2, found '3'"));
  CHECK_THROWS_WITH(call(small_convnet, with({"--data", ""})), Contains("--data takes a value"));
  CHECK_THROWS_WITH(call(small_convnet, with({"--run-dir="})), Contains("--run-dir takes a value"));
  CHECK_THROWS_WITH(call(small_convnet, with({"--data", directory / "none"})), Contains("none/train"));
  CHECK_THROWS_WITH(call(small_convnet, with({"--input-size", "8"})), Contains("does not fit into an input"));
  CHECK_FALSE(exists(directory / "run/config.json"));  // a run that never began is in nobody's way

  call(small_convnet, with({"--input-size", "96", "--epochs", "1"}));
  CHECK_THROWS_AS(call(small_convnet, with({"--input-size", "96"})), examples::UsageError);
  CHECK_THROWS_WITH(call(small_convnet, with({"--input-size", "96"})), Contains("holds a run already"));
  call(small_convnet, with({"--input-size", "96", "--overwrite"}));
  CHECK(CsvTable::parse(read_file(directory / "run/history.csv")).numbers("epoch").size() == 2);
}

TEST_CASE("small_convnet stops and is saved at SIGINT, and goes on to the same bits") {
  const TemporaryDirectory directory;
  const auto begin = [&](const std::string& run, const std::string& epochs) {
    call(small_convnet, tiny_run(directory.path(), run,
                                 {"--input-size", "96", "--dropout", "--seed", "3", "--epochs", epochs}));
  };
  const std::string folder = directory / "stopped";
  const auto resume = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--run-dir", folder, "--resume"});
    call(small_convnet, more);
  };
  begin("whole", "6");

  // The first epoch has ended; 2000 are not over before the signal.
  std::atomic<bool> over = false;
  std::thread user([&] {
    while (!over && !exists(folder + "/history.csv"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!over) raise(SIGINT);
  });
  CHECK_THROWS_AS(begin("stopped", "2000"), examples::Interrupted);
  over = true;
  user.join();
  CHECK_FALSE(exists(folder + "/metrics.json"));
  CHECK_THAT(read_file(folder + "/report.html"),
             Contains("The run was stopped after epoch ") &&
                 Contains(" and is not tested; --resume goes on with it.") && Contains("<svg") &&
                 !Contains("Most wrong test pictures") && !Contains("Test accuracy"));
  CHECK_THROWS_WITH(begin("stopped", "6"), Contains("--overwrite") && Contains("--resume"));
  CHECK_THROWS_WITH(resume({"--seed", "4"}), Contains("--seed is \"4\", but") && Contains("config.json"));

  REQUIRE(CsvTable::parse(read_file(folder + "/history.csv")).rows() < 6);
  resume({"--epochs", "6"});
  for (const char* name : {"history.csv", "curves.svg", "best.safetensors", "model.safetensors"}) {
    INFO(name);
    CHECK((read_file(folder + "/" + name) == read_file(directory / ("whole/" + std::string(name)))));
  }
  CHECK_FALSE(exists(folder + "/backup"));
  CHECK_THAT(read_file(folder + "/report.html"), Contains("of 6 by validation loss"));  // not of 2000
  CHECK_THROWS_WITH(resume({}), Contains("has ended"));
}
