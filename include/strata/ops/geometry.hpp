#pragma once

#include <array>
#include <cstdint>

#include <strata/core/checked.hpp>
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
  std::int64_t groups = 1;  ///< of channels; convolutions only
};

namespace detail {
struct Extent {
  std::int64_t out, pad_before, padded;
};
inline Extent window_extent(const std::string& who, const char* axis, std::int64_t in, std::int64_t size,
                            std::int64_t stride, std::int64_t dilation, Padding padding) {
  require<ConfigError>(size > 0 && stride > 0 && dilation > 0, who,
                       "expected a window, strides and dilation of at least 1, found ", size, ", ", stride,
                       " and ", dilation);
  const std::int64_t span = checked_add(who, checked_multiply(who, size - 1, dilation), 1);
  if (padding == Padding::same) {
    const std::int64_t out = in / stride + (in % stride > 0);
    const std::int64_t read = out > 0 ? checked_add(who, (out - 1) * stride, span) : 0;
    return {out, read > in ? (read - in) / 2 : 0, read > in ? read : in};
  }
  require<ShapeError>(in >= span, who, "a window of ", span, " does not fit into an input of ", axis, " ", in,
                      " without padding");
  return {(in - span) / stride + 1, 0, in};
}
// What a window runs over must be countable, so that no product of these sizes wraps.
inline void require_countable(const std::string& who, std::int64_t height, std::int64_t width,
                              std::int64_t channels) {
  checked_multiply(who, checked_multiply(who, height, width), channels);
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
  require<ConfigError>(window.groups > 0 && input[2] % window.groups == 0 && filters % window.groups == 0,
                       who, "expected groups that divide ", input[2], " input channels and ", filters,
                       " filters, found ", window.groups);
  const auto [out_h, top, padded_h] =
      detail::window_extent(who, "height", input[0], window.size.height, window.strides.height,
                            window.dilation.height, window.padding);
  const auto [out_w, left, padded_w] = detail::window_extent(
      who, "width", input[1], window.size.width, window.strides.width, window.dilation.width, window.padding);
  detail::require_countable(who, padded_h, padded_w, input[2]);
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
          .pad_left = left,
          .groups = window.groups};
}

/// Geometry of a pooling of `input` [h,w,c] (no batch axis).
inline Pool2DGeometry pool2d_geometry(const std::string& who, const Shape& input, const Window& window,
                                      std::int64_t batch = 1) {
  detail::require_images(who, input);
  const auto [out_h, top, padded_h] = detail::window_extent(who, "height", input[0], window.size.height,
                                                            window.strides.height, 1, window.padding);
  const auto [out_w, left, padded_w] = detail::window_extent(who, "width", input[1], window.size.width,
                                                             window.strides.width, 1, window.padding);
  detail::require_countable(who, padded_h, padded_w, input[2]);
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
