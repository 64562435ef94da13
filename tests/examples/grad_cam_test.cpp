#include <catch2/catch.hpp>

#define main grad_cam_main
#include "../../examples/grad_cam.cpp"
#undef main

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

/// The picture under the heat map that the library makes.
Tensor<std::uint8_t> expected(const Classifier& classifier, const Tensor<std::uint8_t>& picture,
                              const GradCamOptions& options) {
  const Tensor<float> heat = grad_cam(classifier.model(), classifier.prepare(picture), options);
  return overlay_heat_map(picture, heat.view().reshaped({heat.shape()[1], heat.shape()[2]}));
}

}  // namespace

TEST_CASE("grad_cam without a model learns from drawn pictures and shows where it looks") {
  const TemporaryDirectory directory;
  const std::string run = directory / "run";
  call(grad_cam_example, {"--run-dir", run, "--epochs", "1", "--pictures", "3"});
  CHECK(read_image(run + "/grad_cam.png").shape() == Shape{3 * 98 + 2, 2 * 98 + 2, 3});
  const char* const names[] = {"balloon_0_grad_cam_0.png", "kite_0_grad_cam_1.png",
                               "balloon_1_grad_cam_2.png"};
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(read_image(run + "/" + names[i]).shape() ==
          draw_pictures(3, 0, 1)[static_cast<std::size_t>(i)].pixels.shape());
  CHECK(exists(run + "/config.json"));
  CHECK_THROWS_WITH(call(grad_cam_example, {"--run-dir", run, "--epochs", "1"}), Contains("--overwrite"));
}

TEST_CASE("grad_cam shows a class of a saved network on pictures of a folder") {
  const TemporaryDirectory directory;
  sample_pictures::write(directory / "pictures", {.train = 2, .validation = 1, .test = 1});
  const std::string data = directory / "pictures/train", file = directory / "deploy.safetensors";
  Sequential model({Input({.shape = {40, 40, 3}}), Conv2D({.filters = 4, .kernel_size = 3, .name = "conv"}),
                    MaxPooling2D(2), Conv2D({.filters = 4, .kernel_size = 3, .activation = "relu"}),
                    GlobalAveragePooling2D(), Dense({.units = 3, .activation = "softmax"})});
  Classifier(model, {.class_names = {"a", "b", "3"}, .scaling = {.scale = 1 / 255.0F}}).save(file);
  const auto shown = [&](const std::string& run, std::vector<std::string> more) {
    std::vector<std::string> words{"--model", file, "--data", data, "--run-dir", directory / run};
    words.insert(words.end(), more.begin(), more.end());
    call(grad_cam_example, words);
    return read_image(directory / (run + "/000_grad_cam_0.png"));
  };
  const auto b = shown("b", {"--class", "b"});
  // In the picture's own size.
  CHECK(b == expected(Classifier::load(file), read_image(data + "/balloons/000.jpg"), {.class_index = 1}));
  CHECK(shown("one", {"--class", "1"}) == b);
  CHECK_FALSE(shown("a", {"--class", "a"}) == b);
  CHECK_FALSE(shown("conv", {"--class", "b", "--layer", "conv"}) == b);
  CHECK(exists(directory / "b/001_grad_cam_3.png"));
  CHECK_FALSE(exists(directory / "b/000_grad_cam_4.png"));
  CHECK_THROWS_WITH(shown("c", {"--class", "c"}), Contains("'a' for instance") && Contains("'c'"));
  CHECK_THROWS_WITH(shown("d", {"--class", "4"}), Contains("3 classes"));
  CHECK_THROWS_WITH(shown("e", {"--layer", "con"}), Contains("'conv'"));
  CHECK_THROWS_WITH(shown("f", {"--epochs", "2"}), Contains("--epochs"));
}

TEST_CASE("grad_cam lays the map over what a cropping network saw") {
  const TemporaryDirectory directory;
  Sequential model({Input({.shape = {24, 24, 3}}),
                    Conv2D({.filters = 4, .kernel_size = 3, .activation = "relu"}), GlobalAveragePooling2D(),
                    Dense({.units = 2, .activation = "softmax"})});
  Classifier(model, {.class_names = {"a", "b"}, .aspect_ratio = AspectRatio::crop})
      .save(directory / "crop.safetensors");
  Tensor<std::uint8_t> wide({30, 90, 3});
  for (std::int64_t i = 0; i < 30 * 90; ++i)
    std::fill_n(wide.data() + 3 * i, 3, i % 90 < 30 || i % 90 >= 60 ? 0 : 90);
  write_png(directory / "wide.png", wide);
  call(grad_cam_example, {"--model", directory / "crop.safetensors", "--data", directory / "wide.png",
                          "--run-dir", directory / "run"});
  const auto over = read_image(directory / "run/wide_grad_cam_0.png");
  REQUIRE(over.shape() == Shape{24, 24, 3});
  for (const auto value : over.values()) REQUIRE(value >= 90 * 255 / 192 / 2);  // the bright middle alone
}

TEST_CASE("grad_cam refuses flags that do not belong together") {
  CHECK_THROWS_WITH(call(grad_cam_example, {"--data", "x.jpg"}), Contains("--data needs --model"));
  CHECK_THROWS_WITH(call(grad_cam_example, {"--weights", "x"}), Contains("vgg16"));
  CHECK_THROWS_WITH(call(grad_cam_example, {"--pictures", "0"}), Contains("at least 1"));
}
