#pragma once

#include <array>
#include <cstdint>

#include <strata/core/shape.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Height and width. Converts from one number: `.kernel_size = 3` is `{3, 3}`.
struct Size2D {
  std::int64_t height = 0, width = 0;
  constexpr Size2D() = default;
  constexpr Size2D(std::int64_t both) : height(both), width(both) {}
  constexpr Size2D(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  friend constexpr bool operator==(const Size2D&, const Size2D&) = default;
  std::string to_string() const { return concat("(", height, ",", width, ")"); }
};

/// `valid`: no padding. `same`: zeros so that the output has ceil(input / stride) rows and columns, the odd
/// one at the bottom and right, as in TensorFlow.
enum class Padding { valid, same };

namespace ops {

struct Window {
  Size2D size, strides = 1, dilation = 1;
  Padding padding = Padding::valid;
};

namespace detail {
struct Extent {
  std::int64_t out, pad_before;
};
inline Extent window_extent(const std::string& who, const char* axis, std::int64_t in, std::int64_t size,
                            std::int64_t stride, std::int64_t dilation, Padding padding) {
  require<ConfigError>(size > 0 && stride > 0 && dilation > 0, who,
                       "expected a window, strides and dilation of at least 1, found ", size, ", ", stride,
                       " and ", dilation);
  const std::int64_t span = (size - 1) * dilation + 1;
  if (padding == Padding::same) {
    const std::int64_t out = (in + stride - 1) / stride;
    const std::int64_t total = (out - 1) * stride + span - in;
    return {out, total > 0 ? total / 2 : 0};
  }
  require<ShapeError>(in >= span, who, "a window of ", span, " does not fit into an input of ", axis, " ", in,
                      " without padding");
  return {(in - span) / stride + 1, 0};
}
inline void require_images(const std::string& who, const Shape& input) {
  require<ShapeError>(input.rank() == 3, who, "expected images of shape [height,width,channels], found ",
                      input);
}
}  // namespace detail

/// Geometry of a convolution of `input` [h,w,c] (no batch axis) with `filters` kernels. `who` opens the error
/// messages.
inline Conv2DGeometry conv2d_geometry(const std::string& who, const Shape& input, std::int64_t filters,
                                      const Window& window, std::int64_t batch = 1) {
  detail::require_images(who, input);
  require<ConfigError>(filters > 0, who, "expected filters of at least 1, found ", filters);
  require<ShapeError>(input[2] > 0, who, "expected images of one or more channels, found ", input);
  const auto [out_h, top] =
      detail::window_extent(who, "height", input[0], window.size.height, window.strides.height,
                            window.dilation.height, window.padding);
  const auto [out_w, left] = detail::window_extent(
      who, "width", input[1], window.size.width, window.strides.width, window.dilation.width, window.padding);
  return {.batch = batch,
          .in_h = input[0],
          .in_w = input[1],
          .in_c = input[2],
          .out_h = out_h,
          .out_w = out_w,
          .out_c = filters,
          .kernel_h = window.size.height,
          .kernel_w = window.size.width,
          .stride_h = window.strides.height,
          .stride_w = window.strides.width,
          .dilation_h = window.dilation.height,
          .dilation_w = window.dilation.width,
          .pad_top = top,
          .pad_left = left};
}

/// Geometry of a pooling of `input` [h,w,c] (no batch axis).
inline Pool2DGeometry pool2d_geometry(const std::string& who, const Shape& input, const Window& window,
                                      std::int64_t batch = 1) {
  detail::require_images(who, input);
  const auto [out_h, top] = detail::window_extent(who, "height", input[0], window.size.height,
                                                  window.strides.height, 1, window.padding);
  const auto [out_w, left] = detail::window_extent(who, "width", input[1], window.size.width,
                                                   window.strides.width, 1, window.padding);
  return {.batch = batch,
          .in_h = input[0],
          .in_w = input[1],
          .channels = input[2],
          .out_h = out_h,
          .out_w = out_w,
          .pool_h = window.size.height,
          .pool_w = window.size.width,
          .stride_h = window.strides.height,
          .stride_w = window.strides.width,
          .pad_top = top,
          .pad_left = left};
}

}  // namespace ops
}}  // namespace strata::STRATA_ABI
