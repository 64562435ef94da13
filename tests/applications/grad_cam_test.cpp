#include <catch2/catch.hpp>

#include <strata/applications/grad_cam.hpp>
#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>

#include "support/golden.hpp"
#include "support/gradient_check.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

namespace {

/// Maps of one output unit behind a linear layer are known by hand.
Model one_unit(Activation activation) {
  const Sequential base({Input({.shape = {4, 5, 2}}),
                         Conv2D({.filters = 3, .kernel_size = 1, .activation = "relu", .name = "conv"}),
                         MaxPooling2D({.pool_size = 1, .name = "pool"})},
                        {.name = "base"});
  return Sequential(
      {base, GlobalAveragePooling2D(), Dense({.units = 1, .activation = activation, .name = "dense"})},
      {.seed = 5});
}

/// By the recipe: behind global average pooling the weights of channels are those of the dense layer.
Tensor<float> by_hand(const Model& model, const Tensor<float>& x, float sign) {
  const Tensor<float> maps =
      BasicNetwork<float>(std::static_pointer_cast<ModelImpl<float>>(model.layer("base").impl())).predict(x);
  const Tensor<float> kernel = model.layer("dense").get_weights()[0];
  Tensor<float> out({x.shape()[0], 4, 5});
  for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
    float largest = 0;
    for (std::int64_t i = 0; i < 20; ++i) {
      float sum = 0;
      for (std::int64_t c = 0; c < 3; ++c) sum += sign * kernel(c, 0) * maps.data()[(n * 20 + i) * 3 + c];
      largest = std::max(largest, out.data()[n * 20 + i] = std::max(sum, 0.0F));
    }
    for (std::int64_t i = 0; i < 20 && largest > 0; ++i) out.data()[n * 20 + i] /= largest;
  }
  return out;
}

}  // namespace

TEST_CASE("A heat map of one sigmoid unit shows the class, or its opposite") {
  const Model model = one_unit(Activation::sigmoid);
  model.layer("dense").set_weights({Tensor<float>({3, 1}, {2, -1, -0.5F}), Tensor<float>({1}, {-0.1F})});
  const Tensor<float> x = random_tensor({6, 4, 5, 2}).cast<float>();
  CHECK(last_convolution(model) == "base/conv");
  const Tensor<float> one = by_hand(model, x, 1), zero = by_hand(model, x, -1), said = model.predict(x);
  check_close("class 1", grad_cam(model, x, {.class_index = 1}), one, 1e-6);
  check_close("class 0", grad_cam(model, x, {.class_index = 0}), zero, 1e-6);
  check_close("of another layer", grad_cam(model, x, {.layer = "base/pool", .class_index = 1}), one, 1e-6);
  const Tensor<float> largest = grad_cam(model, x);
  std::int64_t ones = 0;
  for (std::int64_t n = 0; n < 6; ++n) {
    const Tensor<float>& expected = said(n, 0) < 0.5F ? zero : one;
    ones += said(n, 0) >= 0.5F;
    for (std::int64_t i = n * 20; i < n * 20 + 20; ++i)
      CHECK(largest.data()[i] == Approx(expected.data()[i]).margin(1e-6));
  }
  CHECK((ones > 0 && ones < 6));

  // A score that is 1 to the last bit has no gradient left, its logit does.
  model.layer("dense").set_weights({Tensor<float>({3, 1}, {2, -1, -0.5F}), Tensor<float>({1}, {40})});
  CHECK(model.predict(x)(0, 0) == 1);
  check_close("saturated", grad_cam(model, x, {.class_index = 1}), one, 1e-6);
}

TEST_CASE("A map is 0 where nothing speaks for the class, and each picture has its own") {
  const Model model = one_unit(Activation::linear);
  model.layer("dense").set_weights({Tensor<float>({3, 1}, {-1, -2, -1}), Tensor<float>({1})});
  const Tensor<float> x = random_tensor({3, 4, 5, 2}).cast<float>();
  const Tensor<float> none = grad_cam(model, x, {.class_index = 1});
  for (const float value : none.values()) CHECK(value == 0);
  const Tensor<float> heat = grad_cam(model, x, {.class_index = 0});
  CHECK(grad_cam(model, x) == heat);  // logits below 0
  model.layer("dense").set_weights({Tensor<float>({3, 1}, {0.01F, 0.02F, 0.01F}), Tensor<float>({1})});
  CHECK(model.predict(x)(0, 0) < 0.5F);
  CHECK(grad_cam(model, x) == grad_cam(model, x, {.class_index = 1}));  // above
  for (std::int64_t n = 0; n < 3; ++n) {
    const auto map = heat.slice(n, n + 1);
    CHECK(*std::max_element(map.data(), map.data() + 20) == 1);
    CHECK(*std::min_element(map.data(), map.data() + 20) >= 0);
  }
}

TEST_CASE("What has no heat map is refused") {
  const Model model = one_unit(Activation::sigmoid);
  const Tensor<float> x({1, 4, 5, 2});
  CHECK_THROWS_WITH(grad_cam(model, x, {.class_index = 2}),
                    Contains("class_index below 2") && Contains("found 2"));
  CHECK_THROWS_WITH(grad_cam(model, x, {.layer = "conv"}), Contains("'base/conv'"));
  CHECK_THROWS_WITH(grad_cam(model, x, {.layer = "global_average_pooling2d"}),
                    Contains("'global_average_pooling2d'") && Contains("[1,3]"));
  CHECK_THROWS_WITH(grad_cam(model, x, {.layer = "dense"}), Contains("layer 'dense'"));
  CHECK_THROWS_WITH(grad_cam(Sequential{Input({.shape = {4, 5, 2}}), Flatten(), Dense(2)}, x),
                    Contains("expected a convolution"));
  CHECK_THROWS_WITH(
      grad_cam(Sequential{Input({.shape = {4, 5, 2}}), Conv2D({.filters = 2, .kernel_size = 1})}, x),
      Contains("one row of scores"));
  CHECK_THROWS_AS(overlay_heat_map(Tensor<std::uint8_t>({4, 4, 3}), Tensor<float>({2, 2}), -1), ConfigError);
  CHECK_THROWS_AS(overlay_heat_map(Tensor<std::uint8_t>({4, 4, 1}), Tensor<float>({2, 2})), ShapeError);
  CHECK_THROWS_AS(overlay_heat_map(Tensor<std::uint8_t>({4, 4, 3}), Tensor<float>({2, 2, 1})), ShapeError);
}

TEST_CASE("A heat map lies over the picture in the colours of jet, as in the book") {
  Tensor<std::uint8_t> picture({1, 5, 3});
  std::fill_n(picture.data(), 15, std::uint8_t{100});
  const Tensor<float> heat({1, 5}, {0, 0.25F, 0.5F, 0.75F, 1});
  const auto over = overlay_heat_map(picture, heat);
  // 0.4 * 255 = 102, half of it 51.
  CHECK(over == Tensor<std::uint8_t>(
                    {1, 5, 3}, {100, 100, 151, 100, 151, 202, 151, 202, 151, 202, 151, 100, 151, 100, 100}));
  // 355 is too bright: everything gets 255 / 355 of it.
  const auto strong = overlay_heat_map(picture, heat, 1);
  CHECK(strong(0, 1, 2) == 255);
  CHECK(strong(0, 1, 0) == 72);
  CHECK(overlay_heat_map(picture, heat, 0) == picture);
  // Enlarged as tf.image.resize and OpenCV do: between two values, not in steps.
  const auto wide = overlay_heat_map(Tensor<std::uint8_t>({2, 4, 3}), Tensor<float>({1, 2}, {0, 1}), 1);
  CHECK(wide(0, 0, 2) == 128);  // 0
  CHECK(wide(0, 1, 2) == 255);  // 0.25
  CHECK(wide(1, 2, 0) == 255);  // 0.75
  CHECK(wide(1, 3, 0) == 128);  // 1
}
