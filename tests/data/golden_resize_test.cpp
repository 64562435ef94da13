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

/// [h,w,c] as [w,h,c].
Tensor<std::uint8_t> on_its_side(const Tensor<std::uint8_t>& in) {
  const Shape& shape = in.shape();
  Tensor<std::uint8_t> out({shape[1], shape[0], shape[2]});
  for (std::int64_t y = 0; y < shape[0]; ++y)
    for (std::int64_t x = 0; x < shape[1]; ++x)
      for (std::int64_t c = 0; c < shape[2]; ++c) out(x, y, c) = in(y, x, c);
  return out;
}

}  // namespace

TEST_CASE("resize_pillow stays within pictures that are narrower than a vector", "[data]") {
  for (const std::int64_t channels : {1, 3, 4})
    for (const std::int64_t height : {1, 2, 3, 6, 64})
      for (const std::int64_t width : {1, 2, 3, 5})
        for (const std::int64_t to : {1, 2, 4, 7}) {
          INFO("[" << height << "," << width << "," << channels << "] to a width of " << to);
          Tensor<std::uint8_t> pixels({height, width, channels});
          for (std::int64_t i = 0; i < pixels.size(); ++i)
            pixels.data()[i] = static_cast<std::uint8_t>(i * 89 % 256);
          const GuardedCopy guarded(pixels.data(), pixels.bytes());
          const TensorView view(static_cast<const std::uint8_t*>(guarded.data()), pixels.shape());
          for (const PillowFilter filter : {PillowFilter::bilinear, PillowFilter::lanczos})
            CHECK(resize_pillow(view, height, to, filter) ==
                  on_its_side(resize_pillow(on_its_side(pixels), to, height, filter)));
        }
}

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
