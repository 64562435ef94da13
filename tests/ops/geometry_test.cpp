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

TEST_CASE("A target_shape has the elements of the input") {
  const Input x({.shape = {4, 6}});
  const auto reshape = [](std::vector<std::int64_t> target) {
    return Reshape({.target_shape = std::move(target), .name = "r"});
  };
  CHECK(reshape({3, -1, 2})(x).shape() == Shape({3, 4, 2}));
  CHECK_THROWS_WITH(reshape({5, -1})(x),
                    "[reshape] layer 'r': expected a target_shape of 24 elements, as many "
                    "as the input [4,6] has, found [5,-1]");
  CHECK_THROWS_WITH(reshape({5, 5})(x), Contains("of 24 elements") && Contains("found [5,5]"));
  CHECK_THROWS_AS(reshape({0, -1})(x), ShapeError);
  CHECK_THROWS_AS(reshape({0, -1})(Input({.shape = {0, 6}})), ShapeError);
  CHECK_THROWS_AS(reshape({huge, huge})(x), ShapeError);
  CHECK_THROWS_AS(reshape({huge, 2, -1})(x), ShapeError);
  CHECK_THROWS_WITH(reshape({-1, -1})(x), Contains("at most one -1, found -1 twice"));
  CHECK_THROWS_WITH(reshape({-2, 12})(x), Contains("found -2"));
  CHECK_THROWS_AS(reshape(std::vector<std::int64_t>(9, 1))(Input({.shape = {1}})), ShapeError);
}

TEST_CASE("Layers that merge say how many inputs they take, and of which shapes") {
  const Input x({.shape = {4, 6}}), y({.shape = {4, 5}});
  CHECK_THROWS_WITH(Subtract({.name = "s"})({x, x, x}), "[subtract] layer 's': expected two inputs, found 3");
  CHECK_THROWS_WITH(Maximum()({x}),
                    Contains("[maximum]") && Contains("expected two or more inputs, found 1"));
  CHECK_THROWS_WITH(Multiply()({x, y}), Contains("extents of 1 where they differ, found [4,6] and [4,5]"));
}

TEST_CASE("Depthwise convolutions of sizes that cannot be are refused") {
  const Input x({.shape = {6, 6, 3}});
  const auto depthwise = [](std::int64_t multiplier, Size2D kernel) {
    return DepthwiseConv2D({.kernel_size = kernel, .depth_multiplier = multiplier, .name = "d"});
  };
  const auto separable = [](std::int64_t filters, std::int64_t multiplier, Size2D kernel) {
    return SeparableConv2D({.filters = filters, .kernel_size = kernel, .depth_multiplier = multiplier});
  };
  CHECK(depthwise(2, 3)(x).shape() == Shape({4, 4, 6}));
  CHECK(separable(5, 2, {1, 3})(x).shape() == Shape({6, 4, 5}));
  CHECK_THROWS_WITH(depthwise(0, 3)(x),
                    "[depthwise_conv2d] layer 'd': expected a depth_multiplier of at least 1, found 0");
  CHECK_THROWS_AS(separable(1, -1, 3)(x), ConfigError);
  CHECK_THROWS_WITH(separable(0, 1, 3)(x), Contains("[separable_conv2d] expected filters of at least 1"));
  CHECK_THROWS_AS(depthwise(1, 0)(x), ConfigError);
  CHECK_THROWS_AS(depthwise(1, 7)(x), ShapeError);
  CHECK_THROWS_AS(depthwise(huge, 1)(x), ShapeError);
  CHECK_THROWS_AS(separable(1, huge / 2, 1)(x), ShapeError);
  CHECK_THROWS_AS(depthwise(1, huge)(x), ShapeError);
  CHECK_THROWS_AS(depthwise(1, 1)(Input({.shape = {6, 6, 0}})), ShapeError);
  CHECK_THROWS_AS(depthwise(1, 1)(Input({.shape = {6, 6}})), ShapeError);
  const DepthwiseConv2D built = depthwise(1, 1);
  const Sequential model{Input({.shape = {6, 6, 3}}), built};
  CHECK_THROWS_WITH(built(Input({.shape = {6, 6, 4}})), Contains("expected 3 input channels, found 4"));
}

TEST_CASE("A transposed convolution says what it cannot make") {
  const Input x({.shape = {5, 6, 3}});
  const auto transpose = [](Conv2DTransposeOptions options) {
    options.name = "t";
    return Conv2DTranspose(options);
  };
  const auto same = [](Size2D kernel, Size2D strides, OptionalSize2D output_padding = {}) {
    return Conv2DTranspose({.filters = 2,
                            .kernel_size = kernel,
                            .strides = strides,
                            .padding = Padding::same,
                            .output_padding = output_padding,
                            .name = "t"});
  };
  CHECK(same({2, 3}, {3, 1})(x).shape() == Shape({15, 6, 2}));
  CHECK(same({2, 3}, {3, 1}, {1, 0})(x).shape() == Shape({13, 6, 2}));
  CHECK(transpose({.filters = 4, .kernel_size = {1, 5}, .strides = 3})(x).shape() == Shape({15, 20, 4}));
  CHECK(transpose({.filters = 4, .kernel_size = {1, 5}, .strides = 3, .output_padding = 1})(x).shape() ==
        Shape({14, 21, 4}));
  CHECK_THROWS_WITH(same(4, 2, 0)(x),
                    "[conv2d_transpose] layer 't': padding `same` with a kernel of even extent expects an "
                    "output_padding of at least 1, found (0,0)");
  CHECK_THROWS_WITH(same(3, {2, 1}, 1),
                    "[conv2d_transpose] layer 't': expected an output_padding from 0 to less "
                    "than the strides (2,1), found (1,1)");
  CHECK_THROWS_AS(same(3, 2, -1), ConfigError);
  CHECK_THROWS_WITH(
      transpose({.filters = 2, .kernel_size = 3, .strides = {1, 2}, .dilation_rate = {2, 1}}),
      Contains("`strides > 1` not supported in conjunction with `dilation_rate > 1`, found strides "
               "(1,2) and dilation_rate (2,1)"));
  CHECK_THROWS_WITH(transpose({.filters = 2, .kernel_size = {3, 0}})(x),
                    Contains("dilation_rate of at least 1, found 2, 0, 1 and 1"));
  CHECK_THROWS_AS(same(3, {0, 1})(x), ConfigError);
  CHECK_THROWS_AS(same(3, 1)(Input({.shape = {5, 6, 0}})), ShapeError);
  CHECK_THROWS_AS(transpose({.filters = 2, .kernel_size = 3})(Input({.shape = {0, 6, 3}})), ShapeError);
  CHECK_THROWS_AS(transpose({.kernel_size = 3})(x), ConfigError);
  CHECK_THROWS_AS(transpose({.filters = 2, .kernel_size = huge})(x), ShapeError);
  CHECK_THROWS_AS(same(3, huge)(x), ShapeError);
  const Conv2DTranspose built = same(3, 2);
  const Sequential model{Input({.shape = {5, 6, 3}}), built};
  CHECK(built.weights()[0]->shape() == Shape({3, 3, 2, 3}));
  CHECK_THROWS_WITH(built(Input({.shape = {5, 6, 4}})),
                    "[conv2d_transpose] layer 't': expected 3 input channels, found 4 (input shape [5,6,4])");
}

TEST_CASE("Pictures are enlarged as far as sizes can be counted") {
  const Input x({.shape = {6, 5, 3}});
  CHECK(UpSampling2D({.size = {2, 3}})(x).shape() == Shape({12, 15, 3}));
  CHECK_THROWS_WITH(UpSampling2D({.size = {2, 0}, .name = "up"}),
                    Contains("expected a size of at least 1, found (2,0)"));
  CHECK_THROWS_AS(UpSampling2D({.size = huge / 2})(x), ShapeError);
  CHECK_THROWS_AS(UpSampling2D({.size = huge / 100})(x), ShapeError);
  CHECK_THROWS_AS(UpSampling2D()(Input({.shape = {6, 5}})), ShapeError);
}
