#include <catch2/catch.hpp>
#include <cstdio>

#include <strata/data/affine_transform.hpp>
#include <strata/training/fit.hpp>

#include "support/golden.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;

namespace {

FillMode fill_mode(const Json& warp) {
  const auto name = warp.get<std::string>("fill_mode");
  return name == "nearest"    ? FillMode::nearest
         : name == "constant" ? FillMode::constant
         : name == "reflect"  ? FillMode::reflect
                              : FillMode::wrap;
}

/// The case's warp of the picture, by the parameters of ImageDataGenerator or the matrix of Keras's layers.
Batch batch_of(const Golden& golden, const Json& golden_case) {
  const Json& warp = golden_case.at("warp");
  Batch batch;
  batch.pixels = golden.read<std::uint8_t>(warp.get<std::string>("picture"));
  const Shape shape = batch.pixels.shape();
  batch.pixels.reshape(shape.with_batch(1));
  batch.sampling = {.fill_mode = fill_mode(warp),
                    .cval = static_cast<float>(warp.get<double>("cval")),
                    .interpolation = warp.get<std::string>("interpolation") == "nearest"
                                         ? Interpolation::nearest
                                         : Interpolation::bilinear,
                    .edges = warp.contains("matrix") ? EdgeRule::tensorflow : EdgeRule::scipy};
  if (warp.contains("matrix")) {
    std::vector<double> m;  // of x and y
    for (const Json& value : warp.at("matrix").as_array()) m.push_back(value.as<double>());
    batch.warps = {{.matrix = {m[4], m[3], m[5], m[1], m[0], m[2]}}};
    return batch;
  }
  const Json& t = warp.at("transform");
  PixelWarp out = affine_warp({.theta = t.get("theta", 0.0),
                               .tx = t.get("tx", 0.0),
                               .ty = t.get("ty", 0.0),
                               .shear = t.get("shear", 0.0),
                               .zx = t.get("zx", 1.0),
                               .zy = t.get("zy", 1.0)},
                              shape[0], shape[1]);
  out.flip_horizontal = t.contains("flip_horizontal");
  out.flip_vertical = t.contains("flip_vertical");
  out.channel_shift = static_cast<float>(t.get("channel_shift_intensity", 0.0));
  out.brightness = static_cast<float>(t.get("brightness", 1.0));
  batch.warps = {out};
  return batch;
}

}  // namespace

TEST_CASE("Warps are those of Keras's ImageDataGenerator and of its layers") {
  const Golden golden("warps");
  double worst = 0;
  for (const Json& golden_case : golden.cases()) {
    INFO(Golden::name(golden_case));
    const Batch batch = batch_of(golden, golden_case);
    const Tensor<float> expected = golden.read<float>(golden_case, "y");
    Batch values = batch;  // the same picture as floats
    values.x = batch.pixels.cast<float>();
    values.pixels = {};
    for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})})
      for (const Batch* input : {&batch, &std::as_const(values)}) {
        const Tensor<float> y = network_input(*input, device);
        REQUIRE(y.size() == expected.size());
        double error = 0;
        for (std::int64_t i = 0; i < y.size(); ++i)
          error = std::max(error, std::abs(double(y.data()[i]) - double(expected.data()[i])));
        CHECK(error <= 255 * 1e-4);
        worst = std::max(worst, error);
      }
  }
  CHECK(golden.cases().size() > 200);
  std::printf("warps: error at most %.1e of 255\n", worst / 255);
}

TEST_CASE("A warp that changes nothing is exact") {
  const PixelWarp warp = affine_warp({}, 13, 8), none;
  for (int i = 0; i < 6; ++i) CHECK(warp.matrix[i] == none.matrix[i]);
}
