#include <catch2/catch.hpp>

#define main convolution_study_main
#include "../../examples/convolution_study.cpp"
#undef main

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

/// A grey ramp, brighter to the right, with a step: 12 x 12.
std::string write_ramp(const TemporaryDirectory& directory) {
  Tensor<std::uint8_t> pixels({12, 12, 1});
  for (std::int64_t i = 0; i < 144; ++i)
    pixels.data()[i] = static_cast<std::uint8_t>(i % 12 * 10 + (i < 72 ? 0 : 100));
  write_png(directory / "ramp.png", pixels);
  return directory / "ramp.png";
}

}  // namespace

TEST_CASE("convolution_study has Keras's shapes") {
  const TemporaryDirectory directory;
  call(convolution_study, {"--data", write_ramp(directory), "--run-dir", directory / "run", "--input-size",
                           "15", "--strides", "2", "--pool-size", "3"});
  const CsvTable table = CsvTable::parse(read_file(directory / "run/shapes.csv"));
  // keras.layers on an input of (15, 15, 1)
  CHECK(table.numbers("height") == std::vector<double>{13, 15, 7, 8, 5, 5, 15});
  CHECK(table.numbers("width") == table.numbers("height"));
  CHECK(table.numbers("maps") == std::vector<double>(7, 8));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto side = static_cast<std::int64_t>(table.numbers("height")[row]);
    const std::string file =
        std::vector<std::string>{"conv_valid",  "conv_same",       "conv_valid_strides", "conv_same_strides",
                                 "max_pooling", "average_pooling", "max_pooling_same"}[row];
    const auto grid = read_image(directory / ("run/" + file + ".png"), ColorMode::grayscale);
    CHECK(grid.shape() == Shape{2 * (side + 2) + 2, 4 * (side + 2) + 2, 1});
  }
  CHECK(read_image(directory / "run/study.png").shape() == Shape{7 * 17 + 2, 8 * 17 + 2, 3});
  CHECK(Json::parse(read_file(directory / "run/config.json")).get<std::int64_t>("strides") == 2);
}

TEST_CASE("convolution_study's kernels see what they are called after") {
  // Brighter to the right by 0.1 a pixel, and by 1 from row 3 to row 4.
  Tensor<float> picture({1, 8, 8, 1});
  for (std::int64_t i = 0; i < 64; ++i)
    picture.data()[i] = 0.1F * static_cast<float>(i % 8) + (i < 32 ? 0.0F : 1.0F);
  const auto steps = study(picture, 2, 2);
  const Tensor<float>& valid = steps[0].maps;  // [1,6,6,8], without the edge
  REQUIRE(valid.shape() == Shape{1, 6, 6, 8});
  const auto at = [&](std::int64_t y, std::int64_t x, std::int64_t map) {
    return valid(0, y - 1, x - 1, map);
  };
  for (std::int64_t x = 1; x < 7; ++x) {
    const float value = 0.1F * static_cast<float>(x);
    CHECK(at(1, x, 0) == Approx(value));            // as it is
    CHECK(at(3, x, 1) == Approx(value + 1.0 / 3));  // blur: a third of the rows is brighter
    CHECK(at(4, x, 2) == Approx(value + 2));        // sharpen: 1 brighter than the row above
    CHECK(at(4, x, 3) == Approx(3));                // edges
    CHECK(at(3, x, 4) == Approx(4));                // brighter below
    CHECK(at(3, x, 5) == Approx(0).margin(1e-5));   // and not above
    CHECK(at(1, x, 6) == Approx(0.8));              // brighter at the right, by 0.2 on 4 weights
    CHECK(at(1, x, 7) == Approx(0).margin(1e-5));
  }
  // Pooling: the greatest, and the mean, of what "same" has there.
  const Tensor<float>&same = steps[1].maps, &greatest = steps[4].maps, &mean = steps[5].maps;
  float most = 0, sum = 0;
  for (const std::int64_t y : {2, 3})
    for (const std::int64_t x : {4, 5}) most = std::max(most, same(0, y, x, 0)), sum += same(0, y, x, 0);
  CHECK(greatest(0, 1, 2, 0) == most);
  CHECK(mean(0, 1, 2, 0) == Approx(sum / 4));
}

TEST_CASE("convolution_study shows the layers of a trained network") {
  const TemporaryDirectory directory;
  Sequential model(
      {Input({.shape = {20, 24, 3}}),
       Conv2D({.filters = 5, .kernel_size = 3, .activation = Activation::relu, .name = "first"}),
       MaxPooling2D({.pool_size = 2, .name = "pool"}),
       Sequential({Conv2D({.filters = 17, .kernel_size = 3, .name = "last"})}, {.name = "inner"}), Flatten(),
       Dense({.units = 1, .activation = Activation::sigmoid})});
  const std::string file = directory / "deploy.safetensors", run = directory / "run";
  const Classifier classifier(model, {.class_names = {"no", "yes"}, .scaling = {.scale = 1 / 255.F}});
  classifier.save(file);
  const std::string picture = write_ramp(directory);
  call(convolution_study, {"--data", picture, "--model", file, "--run-dir", run});
  const CsvTable table = CsvTable::parse(read_file(run + "/shapes.csv"));
  REQUIRE(table.rows() == 3);
  CHECK(table.field(0, "operation") == "first");
  CHECK(table.field(1, "operation") == "pool");
  CHECK(table.field(2, "operation") == "inner/last");
  CHECK(table.numbers("height") == std::vector<double>{18, 9, 7});
  CHECK(table.numbers("width") == std::vector<double>{22, 11, 9});
  CHECK(table.numbers("maps") == std::vector<double>{5, 5, 17});
  CHECK(read_image(run + "/inner_last.png").shape() == Shape{2 * 8 + 1, 16 * 10 + 1, 3});
  // The convolution's own maps, before they are pooled.
  const Tensor<float> x = classifier.prepare(classifier.read(picture));
  const auto weights = model.get_weights();
  const auto maps =
      ops::conv2d(default_device(), x, weights[0], weights[1], {.activation = Activation::relu});
  CHECK(read_image(run + "/first.png", ColorMode::grayscale) ==
        image_grid(feature_maps(maps), {.columns = 16, .gap = 1}));
  CHECK_THROWS_WITH(call(convolution_study, {"--model", file, "--strides", "3"}),
                    Contains("not for --model"));
  CHECK_THROWS_WITH(call(convolution_study, {"--model", picture, "--run-dir", directory / "no"}),
                    Contains("ramp.png"));
}

TEST_CASE("convolution_study draws a picture where it is given none, and refuses what does not fit") {
  const TemporaryDirectory directory;
  const std::string run = directory / "run";
  call(convolution_study, {"--run-dir", run});
  CHECK(exists(run + "/drawn.png"));
  CHECK(read_image(run + "/input.png").shape() == Shape{150, 150, 3});
  CHECK(read_image(run + "/conv_same_strides.png").shape() == Shape{2 * 77 + 2, 4 * 77 + 2, 3});
  CHECK_THROWS_WITH(call(convolution_study, {"--run-dir", run}),
                    Contains("--overwrite") && !Contains("--resume"));
  call(convolution_study, {"--run-dir", run, "--overwrite", "--input-size", "20"});
  CHECK(read_image(run + "/input.png").shape() == Shape{20, 20, 3});
  CHECK_THROWS_WITH(
      call(convolution_study, {"--input-size", "8", "--pool-size", "9", "--run-dir", directory / "no"}),
      Contains("at most --input-size, 8, found 9"));
  CHECK_THROWS_WITH(call(convolution_study, {"--input-size", "2"}), Contains("at least 7"));
  CHECK_THROWS_WITH(
      call(convolution_study, {"--data", directory / "none.png", "--run-dir", directory / "no"}),
      Contains("none.png"));
}
