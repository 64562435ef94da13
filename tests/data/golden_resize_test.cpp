#include <catch2/catch.hpp>
#include <map>

#include <strata/data/resize.hpp>

#include "support/golden.hpp"
#include "support/guarded_copy.hpp"

using namespace strata;
using namespace strata_test;

namespace {

/// A picture that several cases share.
Tensor<std::uint8_t> picture(const Golden& golden, const Json& resize) {
  return golden.read<std::uint8_t>("pictures/" + resize.get<std::string>("picture"));
}

}  // namespace

TEST_CASE("resize_pillow gives the pixels of Keras's load_img", "[data][golden]") {
  const std::map<std::string, PillowFilter> filters{
      {"nearest", PillowFilter::nearest}, {"bilinear", PillowFilter::bilinear},
      {"bicubic", PillowFilter::bicubic}, {"lanczos", PillowFilter::lanczos},
      {"box", PillowFilter::box},         {"hamming", PillowFilter::hamming}};
  const Golden golden("resize_pillow");
  for (const Json& golden_case : golden.cases()) {
    INFO(Golden::name(golden_case));
    const Json& resize = golden_case.at("resize");
    const auto size = resize.get<Shape>("size");
    const auto pixels = picture(golden, resize);
    const GuardedCopy guarded(pixels.data(), pixels.bytes());
    const TensorView view(static_cast<const std::uint8_t*>(guarded.data()), pixels.shape());
    const auto actual =
        resize_pillow(view, size[0], size[1], filters.at(resize.get<std::string>("interpolation")),
                      resize.get<bool>("keep_aspect_ratio"));
    CHECK(actual == golden.read<std::uint8_t>(golden_case, "y"));
  }
}

TEST_CASE("resize_tf gives the numbers of tf.image.resize", "[data][golden]") {
  const std::map<std::string, TfInterpolation> interpolations{
      {"nearest", TfInterpolation::nearest},   {"bilinear", TfInterpolation::bilinear},
      {"bicubic", TfInterpolation::bicubic},   {"area", TfInterpolation::area},
      {"lanczos3", TfInterpolation::lanczos3}, {"lanczos5", TfInterpolation::lanczos5},
      {"gaussian", TfInterpolation::gaussian}, {"mitchellcubic", TfInterpolation::mitchellcubic}};
  const std::map<std::string, AspectRatio> aspect_ratios{
      {"stretch", AspectRatio::stretch}, {"crop", AspectRatio::crop}, {"pad", AspectRatio::pad}};
  const Golden golden("resize_tensorflow");
  for (const Json& golden_case : golden.cases()) {
    const Json& resize = golden_case.at("resize");
    const auto size = resize.get<Shape>("size");
    const auto pixels = picture(golden, resize);
    const auto interpolation = interpolations.at(resize.get<std::string>("interpolation"));
    const auto aspect_ratio = aspect_ratios.at(resize.get<std::string>("aspect_ratio"));
    const bool antialias = resize.get<bool>("antialias");
    const auto expected = golden.read<float>(golden_case, "y");
    const auto actual = resize_tf(pixels, size[0], size[1], interpolation, antialias, aspect_ratio);
    if (interpolation == TfInterpolation::area) CHECK(actual == expected);
    check_close(Golden::name(golden_case), actual, expected, 1e-6);
    const auto of_floats =
        resize_tf(pixels.cast<float>(), size[0], size[1], interpolation, antialias, aspect_ratio);
    check_close(Golden::name(golden_case) + " of floats", of_floats, expected, 1e-6);
  }
}
