#include <catch2/catch.hpp>

#include <limits>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

using namespace strata;
using Catch::Contains;

namespace {
constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
}  // namespace

TEST_CASE("Strides of any size leave one window") {
  for (const Padding padding : {Padding::valid, Padding::same}) {
    const Sequential pool{Input({.shape = {4, 4, 1}}), MaxPooling2D({.strides = huge, .padding = padding})};
    CHECK(pool.predict(Tensor<float>({2, 4, 4, 1})) == Tensor<float>({2, 1, 1, 1}));
    const Sequential convolution{
        Input({.shape = {4, 4, 1}}),
        Conv2D({.filters = 2, .kernel_size = 3, .strides = huge, .padding = padding})};
    CHECK(convolution.predict(Tensor<float>({2, 4, 4, 1})) == Tensor<float>({2, 1, 1, 2}));
  }
}

TEST_CASE("Windows and paddings that no tensor could hold are refused") {
  const Input x({.shape = {4, 4, 1}});
  for (const Padding padding : {Padding::valid, Padding::same})
    for (const std::int64_t size : {huge, huge / 2}) {
      CHECK_THROWS_AS(MaxPooling2D({.pool_size = size, .padding = padding})(x), ShapeError);
      CHECK_THROWS_AS(Conv2D({.filters = 1, .kernel_size = size, .padding = padding})(x), ShapeError);
      CHECK_THROWS_AS(Conv2D({.filters = 1, .kernel_size = 3, .padding = padding, .dilation_rate = size})(x),
                      ShapeError);
    }
  CHECK_THROWS_WITH(ZeroPadding2D({.padding = huge, .name = "pad"})(x),
                    Contains("[zero_padding2d] layer 'pad': a size of 4 + 9223372036854775807"));
  CHECK_THROWS_AS(ZeroPadding2D({.padding = huge / 4})(x), ShapeError);
  const Input wide({.shape = {huge}});
  CHECK_THROWS_AS(Concatenate()({wide, wide}), ShapeError);
}
