#include <catch2/catch.hpp>

#define main augmented_training_main
#include "../../examples/augmented_training.cpp"
#undef main
#define main fine_tuning_main
#include "../../examples/fine_tuning.cpp"
#undef main

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

std::vector<std::string> tiny_darknet(const TemporaryDirectory& directory, const std::string& run,
                                      std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--base", "tiny_darknet", "--weights", "random", "--input-size", "64"});
  return tiny_run(directory.path(), run, more);
}

bool has_layer(const Model& model, const std::string& class_name) {
  for (const Layer& layer : model.layers())
    if (layer.class_name() == class_name) return true;
  return false;
}

}  // namespace

TEST_CASE("As many weights train as in the book, before and after unfreezing") {
  const auto check = [](const Model& base, bool conv_head, std::int64_t all, std::int64_t head,
                        std::int64_t top) {
    Model frozen = base;
    frozen.set_trainable(false);
    const Model model = examples::transfer_network(frozen, true, conv_head, 0);
    CHECK(model.count_params() == all);
    CHECK(examples::trained_weights(model) == head);
    examples::unfreeze_top(examples::base_of(model, ""));
    CHECK(examples::trained_weights(model) == head + top);
  };
  const Model vgg16 =
      applications::VGG16({.include_top = false, .input_shape = {150, 150, 3}, .weights = "random"});
  check(vgg16, true, 14895457, 180769, 7079424);
  check(vgg16, false, 16812353, 2097665, 7079424);
  const Model tiny =
      applications::TinyDarknet({.include_top = false, .input_shape = {150, 150, 3}, .weights = "random"});
  // 10x10x128 features; 1x1 to 64 channels, 3x3 to 512, 1x1 to 128.
  check(tiny, false, 910912 + 12800 * 256 + 256 + 257, 12800 * 256 + 256 + 257,
        (512 * 64 + 64) + (9 * 64 * 512 + 512) + (512 * 128 + 128));
}

TEST_CASE("fine_tuning trains the top of what augmented_training saved, and only that") {
  const TemporaryDirectory directory;
  call(augmented_training, tiny_darknet(directory, "head", {"--conv-head", "--preprocess", "caffe"}));
  const std::string checkpoint = directory / "head/model.safetensors";
  const Model before = load_model(checkpoint);
  CHECK(has_layer(before, "RandomFlip"));
  CHECK(exists(directory / "head/best.safetensors"));
  CHECK(CsvTable::parse(read_file(directory / "head/history.csv")).numbers("epoch").size() == 2);

  call(fine_tuning, tiny_run(directory.path(), "tuned", {"--from", checkpoint, "--learning-rate", "1e-3"}));
  const Model after = load_model(directory / "tuned/model.safetensors");
  const Json config = Json::parse(read_file(directory / "tuned/config.json"));
  CHECK(config.get<std::string>("preprocess") == "caffe");  // as the checkpoint's run
  CHECK(exists(directory / "tuned/metrics.json"));

  // 2 epochs of 2 steps each, twice: the random layers go on, they do not begin again.
  Model compiled = load_model(directory / "tuned/model.safetensors", {.loss = BinaryCrossentropy()});
  CHECK(compiled.trainer().iterations() == 8);

  const auto old_weights = named_weights<float>(before), new_weights = named_weights<float>(after);
  REQUIRE(old_weights.size() == new_weights.size());
  for (std::size_t i = 0; i < old_weights.size(); ++i) {
    const std::string& name = old_weights[i].first;
    INFO(name);
    const bool in_base = name.starts_with("tiny_darknet/");
    const bool tuned = !in_base || name.find("/conv13/") != name.npos || name.find("/conv14/") != name.npos ||
                       name.find("/conv15/") != name.npos;
    CHECK((old_weights[i].second->value() != new_weights[i].second->value()) == tuned);
  }

  // Its own folder again, with the checkpoint in it.
  const auto again = tiny_run(directory.path(), "tuned", {"--from", directory / "tuned/best.safetensors"});
  CHECK_THROWS_WITH(call(fine_tuning, again), Contains("holds a run already"));
  auto overwritten = again;
  overwritten.push_back("--overwrite");
  call(fine_tuning, overwritten);
}

TEST_CASE("augmented_training leaves the pictures as they are where it is told to") {
  const TemporaryDirectory directory;
  call(augmented_training, tiny_darknet(directory, "plain",
                                        {"--augment=no", "--epochs", "1", "--tensorboard", directory / "logs",
                                         "--profile", "--workers", "2"}));
  for (const char* part : {"logs/train", "logs/validation"})
    CHECK_FALSE(list_directory(directory / part).empty());
  const CsvTable profile = CsvTable::parse(read_file(directory / "plain/profile.csv"));
  REQUIRE(profile.rows() == 1);
  for (const char* phase : {"decode", "forward", "backward", "validation"})
    CHECK(profile.numbers(phase)[0] > 0);
  CHECK(profile.numbers("augment")[0] == 0);
  CHECK_FALSE(has_layer(load_model(directory / "plain/model.safetensors"), "RandomFlip"));
  CHECK_FALSE(Json::parse(read_file(directory / "plain/config.json")).get<bool>("augment"));
}

TEST_CASE("augmented_training and fine_tuning refuse what they cannot use") {
  const TemporaryDirectory directory;
  const auto wrong = [&](const std::string& from, const std::string& message) {
    CHECK_THROWS_WITH(call(fine_tuning, tiny_run(directory.path(), "tuned", {"--from", from})),
                      Contains(message));
  };
  const Sequential other({Input({.shape = {8, 8, 3}}), Flatten(), Dense(1)}, {.name = "other"});
  save_model(other, directory / "other.safetensors");
  wrong(directory / "other.safetensors",
        "checkpoint of augmented_training, with a layer 'vgg16' or 'tiny_darknet'; '" +
            (directory / "other.safetensors") + "' holds the model 'other'");
  wrong(directory / "none.safetensors", "none.safetensors");
  save_weights(other, directory / "weights.safetensors");
  wrong(directory / "weights.safetensors", "is not a saved model");
  wrong("", "--from takes a value");
  CHECK_THROWS_WITH(call(fine_tuning, tiny_run(directory.path(), "tuned")), Contains("--from is needed"));
  CHECK_THROWS_AS(call(fine_tuning, {"--base", "vgg16"}), examples::UsageError);
  CHECK_FALSE(exists(directory / "tuned/config.json"));

  CHECK_THROWS_WITH(call(augmented_training, tiny_darknet(directory, "head", {"--augment=maybe"})),
                    Contains("yes or no"));
  CHECK_THROWS_WITH(call(augmented_training, tiny_darknet(directory, "head", {"--weights", "none.st"})),
                    Contains("none.st"));
  CHECK_THROWS_WITH(
      call(augmented_training, tiny_darknet(directory, "head", {"--input-size", "32", "--conv-head"})),
      Contains("[conv2d]"));
}
