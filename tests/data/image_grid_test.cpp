#include <catch2/catch.hpp>
#include <cstdlib>

#include <strata/data/image.hpp>
#include <strata/data/image_grid.hpp>
#include <strata/io/file.hpp>

#include "data/pictures.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Matchers::Contains;

namespace {

/// Five pictures of 3 x 2 whose pixels all differ.
Tensor<std::uint8_t> five() {
  Tensor<std::uint8_t> out({5, 3, 2, 3});
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<std::uint8_t>(i);
  return out;
}

}  // namespace

TEST_CASE("image_grid lays pictures in rows", "[data][image]") {
  const auto pictures = five();
  for (const auto& [columns, rows, wide] : {std::tuple{0, 2, 3}, {2, 3, 2}, {5, 1, 5}, {9, 1, 5}, {1, 5, 1}})
    for (const std::int64_t gap : {0, 1, 4}) {
      const auto grid = image_grid(pictures, {.columns = columns, .gap = gap, .background = 200});
      REQUIRE(grid.shape() == Shape{rows * (3 + gap) + gap, wide * (2 + gap) + gap, 3});
      // Every pixel: that of a picture, or background.
      for (std::int64_t y = 0; y < grid.shape()[0]; ++y)
        for (std::int64_t x = 0; x < grid.shape()[1]; ++x)
          for (std::int64_t c = 0; c < 3; ++c) {
            const std::int64_t row = y / (3 + gap), column = x / (2 + gap), i = row * wide + column;
            const std::int64_t v = y % (3 + gap) - gap, u = x % (2 + gap) - gap;
            const bool inside = v >= 0 && u >= 0 && row < rows && column < wide && i < 5;
            REQUIRE(grid(y, x, c) == (inside ? pictures(i, v, u, c) : 200));
          }
    }
}

TEST_CASE("image_grid refuses what makes no picture", "[data][image]") {
  CHECK_THROWS_WITH(image_grid(Tensor<std::uint8_t>({3, 2, 3})),
                    Contains("expected pictures [n,height,width,channels], found [3,2,3]"));
  CHECK_THROWS_AS(image_grid(Tensor<std::uint8_t>({0, 3, 2, 3})), ShapeError);
  CHECK_THROWS_WITH(image_grid(five(), {.columns = -1}), Contains("found -1 and 2"));
  CHECK_THROWS_AS(image_grid(five(), {.gap = -1}), ConfigError);
  CHECK_THROWS_WITH(image_grid(five(), {.gap = 65000}), Contains("at most 65535 pixels a side"));
}

TEST_CASE("feature_maps are the book's", "[data][image]") {
  // In numpy: x -= x.mean(); x /= x.std(); x = np.clip(64 * x + 128, 0, 255).astype("uint8")
  const Tensor<float> x({1, 2, 3, 2}, {1, 7, 2, 7, 3, 7, 4, 7, 5, 7, 60, 7});
  const auto maps = feature_maps(x);
  CHECK(maps == Tensor<std::uint8_t>({2, 2, 3, 1}, {93, 96, 99, 102, 105, 255, 0, 0, 0, 0, 0, 0}));
  CHECK(feature_maps(TensorView<const float>(x).reshaped({2, 3, 2})) == maps);
  CHECK_THROWS_WITH(feature_maps(Tensor<float>({2, 2, 3, 2})),
                    Contains("of one picture") && Contains("found [2,2,3,2]"));
  CHECK_THROWS_AS(feature_maps(Tensor<float>({4})), ShapeError);
}

TEST_CASE("Pillow reads the grids that are written", "[data][image]") {
  if (std::system("python3 -c 'import PIL' 2> /dev/null") != 0) STRATA_SKIP("python3 has no Pillow");
  const TemporaryDirectory directory;
  for (const std::int64_t channels : {1, 3, 4}) {
    Tensor<std::uint8_t> pictures({6, 40, 50, channels});
    for (std::int64_t i = 0; i < pictures.size(); ++i)
      pictures.data()[i] = static_cast<std::uint8_t>(i * i / 97 + i);
    const auto grid = image_grid(pictures, {.columns = 4});
    write_png(directory / "grid.png", grid);
    directory.write("pixels",
                    {reinterpret_cast<const char*>(grid.data()), static_cast<std::size_t>(grid.size())});
    const std::string command =
        "python3 -c 'import sys; from PIL import Image; picture = Image.open(sys.argv[1]); picture.load(); "
        "sys.exit(picture.format != \"PNG\" or picture.size != (" +
        std::to_string(grid.shape()[1]) + ", " + std::to_string(grid.shape()[0]) +
        ") or picture.tobytes() != open(sys.argv[2], \"rb\").read())' '" + (directory / "grid.png") + "' '" +
        (directory / "pixels") + "'";
    CHECK(std::system(command.c_str()) == 0);
  }
}
