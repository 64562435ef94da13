#include <catch2/catch.hpp>
#include <cstdlib>

#include <strata/data/image.hpp>

#include "support/golden.hpp"

using namespace strata;
using namespace strata_test;

namespace {

/// By how much a byte may differ in the mean: libjpeg-turbo's by nothing; stb rounds and interpolates
/// otherwise.
#ifdef STRATA_TEST_LIBJPEG
constexpr double pillow_tolerance = 0, tensorflow_tolerance = 0;
#else
constexpr double pillow_tolerance = 0.7, tensorflow_tolerance = 1.5;
#endif

}  // namespace

TEST_CASE("JPEGs have the pixels of Pillow and of tf.io.decode_image", "[data][image][golden]") {
  const Golden golden("jpeg");
  for (const Json& golden_case : golden.cases()) {
    const auto file = golden.read<std::uint8_t>(golden_case, "file");
    for (const std::string name : {"pillow3", "pillow1", "tensorflow3", "tensorflow1"}) {
      if (!golden.contains(golden_case, name)) continue;
      INFO(Golden::name(golden_case) << " " << name);
      const bool pillow = name.starts_with("pillow");
      const auto actual =
          decode_image(file.values(), "golden", name.back() == '3' ? ColorMode::rgb : ColorMode::grayscale,
                       pillow ? ImageDecoder::pillow : ImageDecoder::tensorflow);
      const auto expected = golden.read<std::uint8_t>(golden_case, name);
      REQUIRE(actual.shape() == expected.shape());
      double difference = 0;
      for (std::int64_t i = 0; i < expected.size(); ++i)
        difference += std::abs(actual.data()[i] - expected.data()[i]);
      CHECK(difference / static_cast<double>(expected.size()) <=
            (pillow ? pillow_tolerance : tensorflow_tolerance));
    }
  }
}

#ifdef STRATA_TEST_LIBJPEG
TEST_CASE("A JPEG of hundreds of scans is refused", "[data][image]") {
  const auto file = Golden("jpeg").read<std::uint8_t>("16x16_progressive_grey/file");
  const std::string whole(file.data(), file.data() + file.size());
  const std::size_t at = whole.find("\xFF\xDA"), end = whole.find("\xFF\xC4", at);  // the first scan's
  const auto decode = [&](int scans) {
    std::string bytes = whole.substr(0, at);
    for (int i = 0; i < scans; ++i) bytes += whole.substr(at, end - at);
    bytes += whole.substr(end);
    return decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, "long.jpg");
  };
  CHECK_NOTHROW(decode(100));
  CHECK_THROWS_WITH(decode(600), Catch::Contains("'long.jpg' is damaged") && Catch::Contains("500 scans"));
}
#endif
