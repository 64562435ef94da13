#include <catch2/catch.hpp>

#define main show_augmentations_main
#include "../../examples/show_augmentations.cpp"
#undef main

#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

/// The picture in a place of a grid of `columns`.
Tensor<std::uint8_t> cell(const Tensor<std::uint8_t>& grid, std::int64_t size, std::int64_t columns,
                          std::int64_t number) {
  Tensor<std::uint8_t> out({size, size, 3});
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < size; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        out(y, x, c) = grid(2 + number / columns * (size + 2) + y, 2 + number % columns * (size + 2) + x, c);
  return out;
}

/// Pictures 0 and 1 of each class.
std::string draw_folder(const TemporaryDirectory& directory) {
  const std::string data = directory / "pictures";
  sample_pictures::write(data, {.train = 2, .validation = 1, .test = 1});
  return data + "/train";
}

}  // namespace

TEST_CASE("show_augmentations shows each picture and what training makes of it") {
  const TemporaryDirectory directory;
  const std::string data = draw_folder(directory);
  for (const std::string edition : {"1", "2"}) {
    const auto grid = [&](const std::string& run, std::vector<std::string> more) {
      std::vector<std::string> words{"--data",    data,    "--run-dir", directory / (run + edition),
                                     "--edition", edition, "--samples", "3"};
      words.insert(words.end(), more.begin(), more.end());
      call(show_augmentations, words);
      return read_image(directory / (run + edition + "/augmentations.png"));
    };
    const auto whole = grid("run", {"--input-size", "40"});
    REQUIRE(whole.shape() == Shape{4 * 42 + 2, 4 * 42 + 2, 3});
    std::vector<Tensor<std::uint8_t>> seen;
    for (std::int64_t i = 0; i < 16; ++i) {
      const auto shown = cell(whole, 40, 4, i);
      for (const auto& other : seen) CHECK_FALSE(shown == other);
      seen.push_back(shown);
    }
    // The first of a row is the picture as it is read.
    const auto pixels = read_image(data + "/kites/000.jpg");
    if (edition == "1") CHECK(seen[8] == resize_pillow(pixels, 40, 40, PillowFilter::nearest));

    CHECK(grid("again", {"--input-size", "40"}) == whole);
    CHECK_FALSE(grid("other", {"--input-size", "40", "--seed", "1"}) == whole);
    const std::int64_t standard = edition == "1" ? 150 : 180;
    CHECK(grid("book", {}).shape() == Shape{4 * (standard + 2) + 2, 4 * (standard + 2) + 2, 3});
    // Two of four: one of each class.
    const auto two = grid("two", {"--input-size", "40", "--pictures", "2"});
    REQUIRE(two.shape() == Shape{2 * 42 + 2, 4 * 42 + 2, 3});
    CHECK(cell(two, 40, 4, 4) == seen[8]);
  }
}

TEST_CASE("show_augmentations augments as fit does") {
  const TemporaryDirectory directory;
  const std::string data = draw_folder(directory);
  call(show_augmentations, {"--data", data, "--run-dir", directory / "run", "--samples", "1", "--seed", "5"});
  const auto grid = read_image(directory / "run/augmentations.png");
  const auto edition = book::first_edition();
  FlowFromDirectoryOptions flow = edition.flow;
  flow.shuffle = false;
  flow.seed = 5;
  const auto seen =
      network_input(ImageDataGenerator(edition.augmented).flow_from_directory(data, flow).batch(0));
  REQUIRE(seen.shape() == Shape{4, 150, 150, 3});
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto shown = cell(grid, 150, 2, 2 * i + 1);
    float worst = 0;
    for (std::int64_t j = 0; j < shown.size(); ++j)
      worst = std::max(
          worst, std::abs(static_cast<float>(shown.data()[j]) - 255 * seen.data()[i * shown.size() + j]));
    CHECK(worst < 0.51F);
  }
}

TEST_CASE("show_augmentations takes a single picture, or draws two") {
  const TemporaryDirectory directory;
  const std::string data = draw_folder(directory);
  call(show_augmentations, {"--data", data + "/kites/000.jpg", "--run-dir", directory / "one"});
  CHECK(read_image(directory / "one/augmentations.png").shape() == Shape{3 * 152 + 2, 3 * 152 + 2, 3});
  call(show_augmentations, {"--run-dir", directory / "drawn", "--samples", "2"});
  CHECK(read_image(directory / "drawn/augmentations.png").shape() == Shape{2 * 152 + 2, 3 * 152 + 2, 3});
}

TEST_CASE("show_augmentations refuses what it cannot show") {
  const TemporaryDirectory directory;
  const auto from = [&](const std::string& data) {
    call(show_augmentations, {"--data", data, "--run-dir", directory / "run"});
  };
  CHECK_THROWS_WITH(from(directory / "none.jpg"), Contains("none.jpg"));
  CHECK_THROWS_WITH(from(directory.write("text.jpg", "no picture")),
                    Contains("text.jpg") && Contains("no pic"));
  make_directories(directory / "empty");
  CHECK_THROWS_WITH(from(directory / "empty"), Contains("no pictures"));
  CHECK_THROWS_WITH(call(show_augmentations, {"--samples", "0"}), Contains("at least 1"));
  const std::vector<std::string> words{"--run-dir", directory / "run", "--input-size", "32"};
  call(show_augmentations, words);
  CHECK_THROWS_WITH(call(show_augmentations, words), Contains("--overwrite") && !Contains("--resume"));
  call(show_augmentations, {"--run-dir", directory / "run", "--input-size", "32", "--overwrite"});
}
