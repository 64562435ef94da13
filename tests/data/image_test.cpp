#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <strata/data/image.hpp>
#include <strata/io/file.hpp>

#include "data/pictures.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Matchers::Contains;

namespace {

Tensor<std::uint8_t> decode(const std::string& bytes, ColorMode mode = ColorMode::rgb) {
  return decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, "hostile.img",
                      mode);
}

/// The picture, or nothing where decoding reported a DataError that names the file.
std::optional<Tensor<std::uint8_t>> try_decode(const std::string& bytes) {
  try {
    return decode(bytes);
  } catch (const DataError& error) {
    CHECK_THAT(error.what(), Contains("hostile.img"));
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("lossless formats return the pixels written", "[data][image]") {
  const auto colors = waves(37, 53, 3);
  CHECK(decode(encode_png(colors)) == colors);
  CHECK(decode(encode_bmp(colors)) == colors);

  auto grey = waves(19, 41, 1);
  CHECK(decode(encode_png(grey), ColorMode::grayscale) == grey);
  for (std::uint8_t& value : grey.values()) value /= 2;
  const auto shown = decode(encode_gif(grey), ColorMode::grayscale);
  REQUIRE(shown.shape() == grey.shape());
  for (std::int64_t i = 0; i < grey.size(); ++i) REQUIRE(shown.data()[i] == 2 * grey.data()[i]);
}

TEST_CASE("JPEG keeps smooth pictures within its loss", "[data][image]") {
  Tensor<std::uint8_t> ramp({64, 48, 3});
  for (std::int64_t y = 0; y < 64; ++y)
    for (std::int64_t x = 0; x < 48; ++x)
      for (std::int64_t c = 0; c < 3; ++c) ramp(y, x, c) = static_cast<std::uint8_t>(40 + 2 * y + x + 10 * c);
  const auto back = decode(encode_jpeg(ramp));
  REQUIRE(back.shape() == ramp.shape());
  for (std::int64_t i = 0; i < ramp.size(); ++i) REQUIRE(std::abs(back.data()[i] - ramp.data()[i]) <= 6);
}

TEST_CASE("color modes convert as Pillow does", "[data][image]") {
  const Tensor<std::uint8_t> one({1, 2, 4}, {200, 100, 50, 7, 1, 2, 3, 255});
  const std::string bytes = encode_png(one);
  CHECK(decode(bytes, ColorMode::rgba) == one);
  CHECK(decode(bytes) == Tensor<std::uint8_t>({1, 2, 3}, {200, 100, 50, 1, 2, 3}));
  // Image.convert("L") of Pillow gives 124 and 2.
  CHECK(decode(bytes, ColorMode::grayscale) == Tensor<std::uint8_t>({1, 2, 1}, {124, 2}));
  const std::string grey = encode_png(Tensor<std::uint8_t>({1, 1, 1}, {77}));
  CHECK(decode(grey) == Tensor<std::uint8_t>({1, 1, 3}, {77, 77, 77}));
  CHECK(decode(grey, ColorMode::rgba) == Tensor<std::uint8_t>({1, 1, 4}, {77, 77, 77, 255}));
}

TEST_CASE("the content decides the format and errors name the file", "[data][image]") {
  const TemporaryDirectory folder;
  const auto picture = waves(8, 9, 3);
  write_png(folder / "really_png.jpg", picture);
  CHECK(read_image(folder / "really_png.jpg") == picture);
  CHECK_NOTHROW(check_image_file(folder / "really_png.jpg"));

  const std::string text = folder.write("text.jpg", "dear diary, today");
  CHECK_THROWS_WITH(read_image(text),
                    Contains("text.jpg") && Contains("not a JPEG") && Contains("dear diary"));
  CHECK_THROWS_AS(check_image_file(text), DataError);
  CHECK_THROWS_WITH(read_image(folder.write("none.png", "")), Contains("none.png") && Contains("empty"));
  CHECK_THROWS_WITH(read_image(folder / "absent.png"), Contains("absent.png"));
  CHECK_THROWS_WITH(read_image(folder.path()), Contains("is a directory"));
  CHECK_THROWS_AS(write_jpeg(folder / "four.jpg", waves(4, 4, 4)), ShapeError);
  CHECK_THROWS_AS(write_jpeg(folder / "bad.jpg", picture, 0), ConfigError);
  CHECK_THROWS_AS(write_png(folder / "no/such/folder.png", picture), DataError);
}

TEST_CASE("a truncated picture is an error or the same picture", "[data][image]") {
  auto grey = waves(60, 70, 1);
  for (std::uint8_t& value : grey.values()) value /= 2;
  const std::string files[] = {encode_jpeg(waves(60, 70, 3)), encode_png(waves(60, 70, 3)),
                               encode_bmp(waves(20, 30, 3)), encode_gif(grey)};
  for (const std::string& whole : files) {
    const auto picture = decode(whole);
    int refused = 0;
    for (std::size_t length = 0; length < whole.size(); length += length < 64 ? 1 : 97) {
      const auto cut = try_decode(whole.substr(0, length));
      if (cut)
        CHECK(*cut == picture);
      else
        ++refused;
    }
    CHECK(refused > 64);
    CHECK_FALSE(try_decode(whole.substr(0, whole.size() - whole.size() / 5)));
  }
}

TEST_CASE("a damaged PNG is an error or the same picture", "[data][image]") {
  const auto picture = waves(12, 15, 3);
  const std::string whole = encode_png(picture);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x21);
    const auto decoded = try_decode(damaged);
    if (decoded) CHECK(*decoded == picture);
  }
}

TEST_CASE("damaged JPEG, BMP and GIF files never crash", "[data][image]") {
  auto grey = waves(30, 40, 1);
  for (std::uint8_t& value : grey.values()) value /= 2;
  const std::string files[] = {encode_jpeg(waves(30, 40, 3)), encode_bmp(waves(10, 12, 3)), encode_gif(grey)};
  int attempts = 0;
  for (const std::string& whole : files)
    for (std::size_t i = 0; i < whole.size(); ++i)
      for (const int flip : {0x01, 0x80, 0xFF}) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        try_decode(damaged);
        ++attempts;
      }
  CHECK(attempts > 3000);
}

TEST_CASE("a JPEG whose Huffman table overflows is refused", "[data][image]") {
  std::string table(1, '\0');
  table += std::string(16, '\xFF') + std::string(16 * 255, '\x01');
  const std::string length{static_cast<char>((table.size() + 2) >> 8),
                           static_cast<char>((table.size() + 2) & 0xFF)};
  CHECK_THROWS_WITH(decode("\xFF\xD8\xFF\xC4" + length + table + "\xFF\xD9"), Contains("4080 codes"));
}

TEST_CASE("decompression bombs are refused", "[data][image]") {
  // A complete PNG header that claims 60,000 x 60,000 pixels, then the end.
  const std::string head(
      "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\xEA\x60\0\0\xEA\x60\x08\x02\0\0\0\x0F\xB0\xE2\x15"
      "\0\0\0\0IEND\xAE\x42\x60\x82",
      45);
  CHECK_THROWS_WITH(decode(head), Contains("60000 x 60000"));
}

TEST_CASE("photographs decode whole", "[data][image][real]") {
  const char* data = std::getenv("STRATA_DATA");
  if (!data) STRATA_SKIP("STRATA_DATA is not set: no photographs");
  const std::string folder = std::string(data) + "/cats_vs_dogs/test/cats";
  if (!std::filesystem::is_directory(folder)) STRATA_SKIP("no photographs in " + folder);
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (++count > 50) break;
    const std::string bytes = read_file(entry.path().string());
    const auto picture = decode(bytes);
    INFO(entry.path().string());
    CHECK(std::max(picture.shape()[0], picture.shape()[1]) <= 200);
    for (std::size_t length = bytes.size() % 997; length + 2 < bytes.size(); length += 997) {
      const auto cut = try_decode(bytes.substr(0, length));
      if (cut) CHECK(*cut == picture);
    }
  }
  CHECK(count > 0);
}

TEST_CASE("Transparent pixels of a GIF have Pillow's colours, or TensorFlow's black", "[data][image]") {
  // A 2x2 frame of the colours 0, 1, 2, 3 at (1,1) of 4x3 pixels; number 1 is transparent, 2 the background.
  const auto gif = [](std::string_view control) {
    return std::string("GIF89a\4\0\3\0\xF1\2\0\x0A\x14\x1E\x28\x32\x3C\x46\x50\x5A\x64\x6E\x78", 25) +
           std::string(control) + std::string("\x2C\1\0\1\0\2\0\2\0\0\2\4\4\x43\x71\5\0;", 18);
  };
  const auto red = [](const Tensor<std::uint8_t>& picture) {
    std::vector<int> out;
    for (std::int64_t i = 0; i < picture.size(); i += picture.shape().back())
      out.push_back(picture.data()[i]);
    return out;
  };
  const std::string clear = gif(std::string_view("\x21\xF9\4\1\0\0\1\0", 8)), opaque = gif("");
  CHECK(red(decode(clear)) == std::vector<int>{40, 40, 40, 40, 40, 10, 40, 40, 40, 70, 100, 40});
  CHECK(red(decode(opaque)) == std::vector<int>{10, 10, 10, 10, 10, 10, 40, 10, 10, 70, 100, 10});
  CHECK(red(decode(clear, ColorMode::grayscale)) ==
        std::vector<int>{48, 48, 48, 48, 48, 18, 48, 48, 48, 78, 108, 48});
  const auto rgba = decode(clear, ColorMode::rgba);
  for (std::int64_t i = 0; i < 12; ++i)
    CHECK(static_cast<int>(rgba.data()[4 * i + 3]) == (i == 5 || i == 9 || i == 10 ? 255 : 0));
  const auto tensorflow = decode_image({reinterpret_cast<const std::uint8_t*>(clear.data()), clear.size()},
                                       "gif", ColorMode::rgb, ImageDecoder::tensorflow);
  CHECK(red(tensorflow) == std::vector<int>{0, 0, 0, 0, 0, 10, 0, 0, 0, 70, 100, 0});
}

TEST_CASE("Grey pictures are cut down to whole numbers in TensorFlow", "[data][image]") {
  // tf.io.decode_image(channels=1) of a PNG gives 124, 1, 149 and 7, Pillow 124, 2, 150 and 7.
  const std::string bytes =
      encode_png(Tensor<std::uint8_t>({1, 4, 3}, {200, 100, 50, 1, 2, 3, 0, 255, 0, 7, 7, 7}));
  const auto grey = [&](ImageDecoder decoder) {
    return decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, "png",
                        ColorMode::grayscale, decoder);
  };
  CHECK(grey(ImageDecoder::tensorflow) == Tensor<std::uint8_t>({1, 4, 1}, {124, 1, 149, 7}));
  CHECK(grey(ImageDecoder::pillow) == Tensor<std::uint8_t>({1, 4, 1}, {124, 2, 150, 7}));
}
