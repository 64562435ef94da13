#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include <strata/core/profile.hpp>
#include <strata/data/pillow_sum.ipp>
#include <strata/data/resize.hpp>

namespace strata { inline namespace STRATA_ABI {
namespace detail {

/// Which inputs an output position along an axis reads: `first` to `first + count`.
struct ResizeTaps {
  std::int64_t first = 0, count = 1;
};

/// The inputs of every output position along one axis, and their weights, of which each has room for `span`.
template <class W>
class ResizeAxis {
 public:
  ResizeAxis(std::int64_t out, std::int64_t max_taps)
      : span(max_taps),
        taps_(static_cast<std::size_t>(out)),
        weights_(static_cast<std::size_t>(out * max_taps)) {}
  std::int64_t size() const { return static_cast<std::int64_t>(taps_.size()); }
  const ResizeTaps& operator[](std::int64_t i) const { return taps_.data()[i]; }
  ResizeTaps& operator[](std::int64_t i) { return taps_.data()[i]; }
  const W* weights(std::int64_t i) const { return weights_.data() + i * span; }
  W* weights(std::int64_t i) { return weights_.data() + i * span; }

  const std::int64_t span;

 private:
  std::vector<ResizeTaps> taps_;
  std::vector<W> weights_;
};

/// A window [top, top + height) x [left, left + width) of a picture.
struct CropBox {
  std::int64_t top, left, height, width;
};

/// One row of pixels along `axis`; C channels known to the compiler, or 0.
template <int C>
void resize_row(const float* in, std::int64_t channels, const ResizeAxis<float>& axis, float* out) {
  if constexpr (C > 0) {
    for (std::int64_t x = 0; x < axis.size(); ++x, out += C) {
      const float* pixel = in + axis[x].first * C;
      const float* weight = axis.weights(x);
      float sum[std::size_t{C}] = {};
      for (std::int64_t k = axis[x].count; k > 0; --k, pixel += C, ++weight)
        for (int c = 0; c < C; ++c) sum[c] += pixel[c] * *weight;
      for (int c = 0; c < C; ++c) out[c] = sum[c];
    }
  } else {
    for (std::int64_t x = 0; x < axis.size(); ++x, out += channels)
      for (std::int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (std::int64_t k = 0; k < axis[x].count; ++k)
          sum += in[(axis[x].first + k) * channels + c] * axis.weights(x)[k];
        out[c] = sum;
      }
  }
}
inline void resize_row(const float* in, std::int64_t channels, const ResizeAxis<float>& axis, float* out) {
  if (channels == 3) return resize_row<3>(in, channels, axis, out);
  if (channels == 1) return resize_row<1>(in, channels, axis, out);
  if (channels == 4) return resize_row<4>(in, channels, axis, out);
  resize_row<0>(in, channels, axis, out);
}

/// The weighted sum of `taps` lines of `line` values each, one below the other.
template <class In>
void resize_lines(const In* in, std::int64_t line, std::int64_t taps, const float* weights, float* out) {
  constexpr int block = 32;  // a fixed count stays in registers
  for (std::int64_t i = 0; i < line; i += block) {
    float sum[block] = {};
    const std::int64_t width = std::min<std::int64_t>(block, line - i);
    for (std::int64_t k = 0; k < taps; ++k) {
      const In* from = in + k * line + i;
      if (width == block)
        for (int j = 0; j < block; ++j) sum[j] += static_cast<float>(from[j]) * weights[k];
      else
        for (int j = 0; j < width; ++j) sum[j] += static_cast<float>(from[j]) * weights[k];
    }
    std::copy_n(sum, width, out + i);
  }
}

template <int C, class In, class Out>
void pick_row(const In* in, std::int64_t channels, const std::vector<std::int64_t>& columns, Out* out) {
  const std::int64_t count = C ? C : channels;
  for (const std::int64_t x : columns)
    for (std::int64_t c = 0; c < count; ++c) *out++ = in[x * count + c];
}
template <class In, class Out>
void pick_row(const In* in, std::int64_t channels, const std::vector<std::int64_t>& columns, Out* out) {
  channels == 3 ? pick_row<3>(in, channels, columns, out) : pick_row<0>(in, channels, columns, out);
}

// --- Pillow (libImaging/Resample.c, libImaging/Geometry.c) ---

inline double pillow_sinc(double x) {
  return x == 0 ? 1.0 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi);
}

inline double pillow_support(PillowFilter filter) {
  switch (filter) {
    case PillowFilter::bicubic:
      return 2;
    case PillowFilter::lanczos:
      return 3;
    case PillowFilter::box:
      return 0.5;
    default:
      return 1;
  }
}

inline double pillow_weight(PillowFilter filter, double x) {
  switch (filter) {
    case PillowFilter::box:
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    case PillowFilter::bicubic: {
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }
    case PillowFilter::lanczos:
      return -3 <= x && x < 3 ? pillow_sinc(x) * pillow_sinc(x / 3) : 0;
    case PillowFilter::hamming:
      x = std::abs(x);
      if (x == 0) return 1;
      if (x >= 1) return 0;
      x *= std::numbers::pi;
      return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
    default:
      x = std::abs(x);
      return x < 1 ? 1 - x : 0;
  }
}

// Taps in pairs; of an odd one the second weighs nothing.
using PillowAxis = ResizeAxis<PillowPair>;

/// The part of `in` pixels that starts at `begin` and has `extent`; the filter reaches beyond it.
inline PillowAxis pillow_axis(PillowFilter filter, std::int64_t in, std::int64_t begin, std::int64_t extent,
                              std::int64_t out) {
  const double scale = static_cast<double>(extent) / static_cast<double>(out),
               filter_scale = std::max(scale, 1.0);
  const double support = pillow_support(filter) * filter_scale, inverse = 1.0 / filter_scale;
  PillowAxis axis(out, static_cast<std::int64_t>(std::ceil(support)) + 1);
  std::vector<double> buffer(static_cast<std::size_t>(2 * axis.span));
  double* const weights = buffer.data();
  for (std::int64_t i = 0; i < out; ++i) {
    const double center = static_cast<double>(begin) + (static_cast<double>(i) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
    const std::int64_t last = std::min(in, static_cast<std::int64_t>(center + support + 0.5));
    double sum = 0;
    for (std::int64_t k = first; k < last; ++k)
      sum += weights[k - first] = pillow_weight(filter, (static_cast<double>(k) - center + 0.5) * inverse);
    for (std::int64_t k = 0; k < last - first; ++k) {
      const double weight = sum != 0 ? weights[k] / sum : weights[k];
      axis.weights(i)[k / 2].set(
          k % 2, static_cast<std::int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << pillow_bits)));
    }
    axis[i].first = first;
    axis[i].count = last - first;
  }
  return axis;
}

inline constexpr std::int64_t pillow_excess = 4;  // bytes behind the rows of pillow_row that it touches

inline void pillow_row(const std::uint8_t* in, std::int64_t channels, const PillowAxis& columns,
                       std::uint8_t* out) {
  for (std::int64_t x = 0; x < columns.size(); ++x, out += channels) {
    const std::uint8_t* pixel = in + columns[x].first * channels;
    const PillowPair* weights = columns.weights(x);
    PillowSum sum;
    for (std::int64_t k = columns[x].count; k > 0; k -= 2, pixel += 2 * channels)
      sum.add(in_turn(in_turn(pillow_load_four(pixel), pillow_load_four(pixel + channels))), *weights++);
    const PillowInts four = sum.value();
    const PillowBytes bytes = pillow_bytes(four, four, four, four);
    std::memcpy(out, &bytes, 4);
  }
}
/// Rows [first, last) of `in`, narrowed or widened.
inline Tensor<std::uint8_t> pillow_horizontal(TensorView<const std::uint8_t> in, const PillowAxis& columns,
                                              std::int64_t first, std::int64_t last) {
  const std::int64_t channels = in.shape()[2], line = in.shape()[1] * channels,
                     row = columns.size() * channels;
  Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized({last - first, columns.size(), channels});
  // Of rows at the end pillow_row would read and write what lies behind them: copies have room.
  const std::int64_t least = std::min(line, row), apart = (pillow_excess + least - 1) / least;
  std::vector<std::uint8_t> line_copy(static_cast<std::size_t>(line + pillow_excess)),
      row_copy(static_cast<std::size_t>(row + pillow_excess));
  for (std::int64_t y = first; y < last; ++y) {
    const std::uint8_t* from = in.data() + y * line;
    std::uint8_t* const to = out.data() + (y - first) * row;
    if (y + apart < last) {
      pillow_row(from, channels, columns, to);
    } else {
      std::copy_n(from, line, line_copy.data());
      pillow_row(line_copy.data(), channels, columns, row_copy.data());
      std::copy_n(row_copy.data(), row, to);
    }
  }
  return out;
}

/// `rows` counts from the picture's row `first`, where `in` begins.
inline Tensor<std::uint8_t> pillow_vertical(TensorView<const std::uint8_t> in, const PillowAxis& rows,
                                            std::int64_t first) {
  const std::int64_t line = in.shape()[1] * in.shape()[2], width = std::min<std::int64_t>(16, line);
  Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized({rows.size(), in.shape()[1], in.shape()[2]});
  const auto load = [&](const std::uint8_t* from) {
    return width == 16 ? pillow_load(from) : pillow_load(from, static_cast<std::size_t>(width));
  };
  for (std::int64_t y = 0; y < rows.size(); ++y)
    for (std::int64_t i = 0; i < line; i += 16) {
      const std::int64_t at = std::min(i, line - width);  // the last vector overlaps the one before
      const std::uint8_t* from = in.data() + (rows[y].first - first) * line + at;
      const PillowPair* weights = rows.weights(y);
      PillowSum sums[4];
      for (std::int64_t k = rows[y].count; k > 0; k -= 2, from += 2 * line, ++weights) {
        const PillowBytes a = load(from), b = k > 1 ? load(from + line) : a;
        const PillowBytes low = in_turn(a, b), high = upper_in_turn(a, b);
        sums[0].add(in_turn(low), *weights);
        sums[1].add(upper_in_turn(low), *weights);
        sums[2].add(in_turn(high), *weights);
        sums[3].add(upper_in_turn(high), *weights);
      }
      const PillowBytes bytes =
          pillow_bytes(sums[0].value(), sums[1].value(), sums[2].value(), sums[3].value());
      std::memcpy(out.data() + y * line + at, &bytes, static_cast<std::size_t>(width));
    }
  return out;
}

inline Tensor<std::uint8_t> pillow_filter(TensorView<const std::uint8_t> in, const CropBox& box,
                                          std::int64_t height, std::int64_t width, PillowFilter filter) {
  const std::int64_t in_height = in.shape()[0], in_width = in.shape()[1];
  const PillowAxis rows = pillow_axis(filter, in_height, box.top, box.height, height);
  const PillowAxis columns = pillow_axis(filter, in_width, box.left, box.width, width);
  const bool vertical = height != in_height || box.top != 0 || box.height != height;
  const bool horizontal = width != in_width || box.left != 0 || box.width != width;
  if (!vertical) return pillow_horizontal(in, columns, 0, in_height);
  if (!horizontal) return pillow_vertical(in, rows, 0);
  // Each pass rounds to bytes, so their order shows. Pillow 12 and later take the vertical one first where
  // it shrinks the picture by much more.
  if (height < in_height && in_height - height > 2 * (in_width - width))
    return pillow_horizontal(pillow_vertical(in, rows, 0), columns, 0, height);
  const std::int64_t first = rows[0].first, last = rows[height - 1].first + rows[height - 1].count;
  return pillow_vertical(pillow_horizontal(in, columns, first, last), rows, first);
}

inline std::vector<std::int64_t> pillow_nearest(std::int64_t begin, std::int64_t in, std::int64_t out) {
  // Pillow adds the step up instead of multiplying, which decides ties.
  const double step = static_cast<double>(in) / static_cast<double>(out);
  double at = static_cast<double>(begin) + step * 0.5;
  std::vector<std::int64_t> index(static_cast<std::size_t>(out));
  for (std::int64_t& i : index) {
    i = std::min(static_cast<std::int64_t>(at), begin + in - 1);
    at += step;
  }
  return index;
}

/// a * b / 255, rounded, for bytes.
inline std::uint8_t pillow_multiply(unsigned a, unsigned b) {
  const unsigned product = a * b + 128;
  return static_cast<std::uint8_t>(((product >> 8) + product) >> 8);
}

inline Tensor<std::uint8_t> premultiplied(TensorView<const std::uint8_t> pixels) {
  Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized(pixels.shape());
  for (std::int64_t i = 0; i < out.size(); i += 4) {
    const std::uint8_t* from = pixels.data() + i;
    for (int c = 0; c < 3; ++c) out.data()[i + c] = pillow_multiply(from[c], from[3]);
    out.data()[i + 3] = from[3];
  }
  return out;
}

inline void undo_premultiplied(Tensor<std::uint8_t>& pixels) {
  for (std::int64_t i = 0; i < pixels.size(); i += 4) {
    std::uint8_t* pixel = pixels.data() + i;
    const int alpha = pixel[3];
    if (alpha == 0 || alpha == 255) continue;
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(std::min(255, 255 * pixel[c] / alpha));
  }
}

// --- TensorFlow (core/kernels/image) ---

/// Weights as the non-antialiased kernels and ScaleAndTranslate make them, in float throughout.
inline ResizeAxis<float> tf_bilinear_axis(std::int64_t begin, std::int64_t in, std::int64_t out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  ResizeAxis<float> axis(out, 2);
  for (std::int64_t i = 0; i < out; ++i) {
    const float at = (static_cast<float>(i) + 0.5f) * scale - 0.5f, below = std::floor(at);
    const std::int64_t low = std::max<std::int64_t>(static_cast<std::int64_t>(below), 0);
    const std::int64_t high = std::min(static_cast<std::int64_t>(std::ceil(at)), in - 1);
    axis[i].first = begin + low;
    axis[i].count = high > low ? 2 : 1;
    axis.weights(i)[1] = at - below;
    axis.weights(i)[0] = high > low ? 1 - (at - below) : 1;
  }
  return axis;
}

inline float tf_cubic_weight(float x) {  // Keys, a = -0.5
  if (x >= 2) return 0;
  if (x >= 1) return ((-0.5f * x + 2.5f) * x - 4.0f) * x + 2.0f;
  return ((1.5f * x - 2.5f) * x) * x + 1.0f;
}

inline ResizeAxis<float> tf_bicubic_axis(std::int64_t begin, std::int64_t in, std::int64_t out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  ResizeAxis<float> axis(out, 4);
  for (std::int64_t i = 0; i < out; ++i) {
    const float at = (static_cast<float>(i) + 0.5f) * scale - 0.5f, below = std::floor(at);
    // TensorFlow looks its weights up in a table of 1024 steps.
    const float step = static_cast<float>(std::lrint((at - below) * 1024)) / 1024;
    const std::int64_t start = static_cast<std::int64_t>(below) - 1;
    const std::int64_t low = std::max<std::int64_t>(start, 0), high = std::min(start + 4, in);
    float sum = 0;
    for (std::int64_t k = low; k < high; ++k)
      sum += axis.weights(i)[k - low] = tf_cubic_weight(std::abs(step + static_cast<float>(start + 1 - k)));
    for (std::int64_t k = 0; k < high - low; ++k) axis.weights(i)[k] /= sum;
    axis[i].first = begin + low;
    axis[i].count = high - low;
  }
  return axis;
}

/// Overlaps, not divided by the scale yet: TensorFlow does that at the end.
inline ResizeAxis<float> tf_area_axis(std::int64_t begin, std::int64_t in, std::int64_t out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  ResizeAxis<float> axis(out, static_cast<std::int64_t>(std::ceil(scale)) + 2);
  std::fill_n(axis.weights(0), out * axis.span, 0.f);
  for (std::int64_t i = 0; i < out; ++i) {
    const float from = static_cast<float>(i) * scale, to = static_cast<float>(i + 1) * scale;
    const std::int64_t low = std::min(static_cast<std::int64_t>(from), in - 1);
    const std::int64_t high = std::clamp(static_cast<std::int64_t>(std::ceil(to)), low + 1, low + axis.span);
    for (std::int64_t k = low; k < high; ++k) {
      const auto left = static_cast<float>(k), right = static_cast<float>(k + 1);
      const float overlap =
          left < from ? (right > to ? scale : right - from) : (right > to ? to - left : 1.f);
      // Behind the border, where rounding leads, the last pixel counts again.
      axis.weights(i)[std::min(k, in - 1) - low] += overlap;
    }
    axis[i].first = begin + low;
    axis[i].count = std::min(high, in) - low;
  }
  return axis;
}

struct TfKernel {
  float radius;
  float (*weight)(float x);
};

template <int radius>
float tf_lanczos_weight(float x) {
  constexpr float pi = std::numbers::pi_v<float>;
  if (x > radius) return 0;
  if (x <= 1e-3f) return 1;
  return radius * std::sin(pi * x) * std::sin(pi * x / radius) / (pi * pi * x * x);
}

inline TfKernel tf_kernel(TfInterpolation interpolation) {
  switch (interpolation) {
    case TfInterpolation::bicubic:
      return {2, tf_cubic_weight};
    case TfInterpolation::lanczos3:
      return {3, tf_lanczos_weight<3>};
    case TfInterpolation::lanczos5:
      return {5, tf_lanczos_weight<5>};
    case TfInterpolation::gaussian:
      return {1.5f, [](float x) { return x >= 1.5f ? 0.0f : std::exp(-x * x / (2 * 0.5f * 0.5f)); }};
    case TfInterpolation::mitchellcubic:
      return {2, [](float x) {
                if (x >= 2) return 0.0f;
                if (x >= 1) return ((-7.0f / 18 * x + 2) * x - 10.0f / 3) * x + 16.0f / 9;
                return ((7.0f / 6 * x - 2) * x) * x + 8.0f / 9;
              }};
    default:
      return {1, [](float x) { return x < 1 ? 1 - x : 0.0f; }};
  }
}

inline ResizeAxis<float> tf_kernel_axis(const TfKernel& kernel, bool antialias, std::int64_t begin,
                                        std::int64_t in, std::int64_t out) {
  const float inverse = 1.0f / (static_cast<float>(out) / static_cast<float>(in));
  const float kernel_scale = antialias ? std::max(inverse, 1.0f) : 1.0f, reach = kernel.radius * kernel_scale;
  ResizeAxis<float> axis(out, std::min(2 * static_cast<std::int64_t>(std::ceil(reach)) + 1, in));
  for (std::int64_t i = 0; i < out; ++i) {
    const float at = (static_cast<float>(i) + 0.5f) * inverse;
    const std::int64_t low =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(at - reach - 0.5f)), 0, in - 1);
    const std::int64_t high = std::min(
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(at + reach - 0.5f)), 0, in - 1) + 1,
        low + axis.span);
    float* weight = axis.weights(i);
    float sum = 0;
    for (std::int64_t k = low; k < high; ++k)
      sum += weight[k - low] = kernel.weight(std::abs((static_cast<float>(k) + 0.5f - at) / kernel_scale));
    if (std::abs(sum) >= 1000 * std::numeric_limits<float>::min())
      for (std::int64_t k = 0; k < high - low; ++k) weight[k] *= 1 / sum;
    axis[i].first = begin + low;
    axis[i].count = high - low;
  }
  return axis;
}

inline ResizeAxis<float> tf_axis(TfInterpolation interpolation, bool antialias, std::int64_t begin,
                                 std::int64_t in, std::int64_t out) {
  if (interpolation == TfInterpolation::area) return tf_area_axis(begin, in, out);
  if (!antialias && interpolation == TfInterpolation::bilinear) return tf_bilinear_axis(begin, in, out);
  if (!antialias && interpolation == TfInterpolation::bicubic) return tf_bicubic_axis(begin, in, out);
  return tf_kernel_axis(tf_kernel(interpolation), antialias, begin, in, out);
}

inline std::vector<std::int64_t> tf_nearest(std::int64_t begin, std::int64_t in, std::int64_t out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  std::vector<std::int64_t> index(static_cast<std::size_t>(out));
  for (float at = 0.5f; std::int64_t & i : index) {
    i = begin + std::min(static_cast<std::int64_t>(at * scale), in - 1);
    at += 1;
  }
  return index;
}

/// Resizes `box` of `in` into [height,width,channels] at `out`, whose rows are `stride` floats apart.
template <class T>
void tf_resize(TensorView<const T> in, const CropBox& box, std::int64_t height, std::int64_t width,
               float* out, std::int64_t stride, TfInterpolation interpolation, bool antialias) {
  const std::int64_t in_width = in.shape()[1], channels = in.shape()[2], line = in_width * channels;
  if (interpolation == TfInterpolation::nearest) {
    const std::vector<std::int64_t> columns = tf_nearest(box.left, box.width, width);
    for (const std::int64_t y : tf_nearest(box.top, box.height, height)) {
      pick_row(in.data() + y * line, channels, columns, out);
      out += stride;
    }
    return;
  }
  // Rows first, as TensorFlow: the loop over a whole line vectorises.
  const ResizeAxis<float> rows = tf_axis(interpolation, antialias, box.top, box.height, height);
  const ResizeAxis<float> columns = tf_axis(interpolation, antialias, box.left, box.width, width);
  std::vector<float> sums(static_cast<std::size_t>(line));
  if (interpolation == TfInterpolation::area) {  // columns first
    const float share = 1 / (static_cast<float>(box.height) / static_cast<float>(height) *
                             (static_cast<float>(box.width) / static_cast<float>(width)));
    std::vector<float> part(static_cast<std::size_t>(width * channels));
    for (std::int64_t y = 0; y < height; ++y) {
      float* to = out + y * stride;
      std::fill_n(to, part.size(), 0.f);
      for (std::int64_t k = 0; k < rows[y].count; ++k) {
        std::copy_n(in.data() + (rows[y].first + k) * line, line, sums.data());
        resize_row(sums.data(), channels, columns, part.data());
        for (std::size_t i = 0; i < part.size(); ++i) to[i] += part[i] * rows.weights(y)[k];
      }
      for (std::size_t i = 0; i < part.size(); ++i) to[i] *= share;
    }
    return;
  }
  for (std::int64_t y = 0; y < height; ++y) {
    resize_lines(in.data() + rows[y].first * line, line, rows[y].count, rows.weights(y), sums.data());
    resize_row(sums.data(), channels, columns, out + y * stride);
  }
}

inline void require_resizable(const Shape& shape, std::int64_t height, std::int64_t width) {
  constexpr std::int64_t most = 1 << 16;
  require<ShapeError>(shape.rank() == 3 && shape.size() > 0,
                      "[resize] expected pixels [height,width,channels], found ", shape);
  require<ShapeError>(height >= 1 && width >= 1 && height <= most && width <= most,
                      "[resize] expected a height and width of 1 to ", most, ", found ", height, " x ",
                      width);
}

template <class T>
Tensor<float> tf_resize(TensorView<const T> pixels, std::int64_t height, std::int64_t width,
                        TfInterpolation interpolation, bool antialias, AspectRatio aspect_ratio) {
  require_resizable(pixels.shape(), height, width);
  const std::int64_t in_height = pixels.shape()[0], in_width = pixels.shape()[1],
                     channels = pixels.shape()[2];
  CropBox box{0, 0, in_height, in_width};
  const auto quotient = [](std::int64_t a, std::int64_t b) {
    return static_cast<float>(a) / static_cast<float>(b);
  };
  if (aspect_ratio == AspectRatio::pad) {
    const float ratio = std::max(quotient(in_width, width), quotient(in_height, height));
    const float inner_height = static_cast<float>(in_height) / ratio,
                inner_width = static_cast<float>(in_width) / ratio;
    const auto rows = std::max<std::int64_t>(static_cast<std::int64_t>(inner_height), 1);
    const auto columns = std::max<std::int64_t>(static_cast<std::int64_t>(inner_width), 1);
    const auto border = [](std::int64_t outer, float inner) {
      return std::max<std::int64_t>(
          static_cast<std::int64_t>(std::floor((static_cast<float>(outer) - inner) / 2)), 0);
    };
    const std::int64_t top = std::min(border(height, inner_height), height - rows);
    const std::int64_t left = std::min(border(width, inner_width), width - columns);
    Tensor<float> out({height, width, channels});
    tf_resize(pixels, box, rows, columns, out.data() + (top * width + left) * channels, width * channels,
              interpolation, antialias);
    return out;
  }
  if (aspect_ratio == AspectRatio::crop) {
    const auto cut = [&](std::int64_t full, std::int64_t other, std::int64_t target,
                         std::int64_t other_target) {
      return std::max<std::int64_t>(
          std::min(full, static_cast<std::int64_t>(quotient(other * target, other_target))), 1);
    };
    box.height = cut(in_height, in_width, height, width);
    box.width = cut(in_width, in_height, width, height);
    box.top = (in_height - box.height) / 2;
    box.left = (in_width - box.width) / 2;
  }
  Tensor<float> out = Tensor<float>::uninitialized({height, width, channels});
  tf_resize(pixels, box, height, width, out.data(), width * channels, interpolation, antialias);
  return out;
}

}  // namespace detail

STRATA_INLINE Tensor<std::uint8_t> resize_pillow(TensorView<const std::uint8_t> pixels, std::int64_t height,
                                                 std::int64_t width, PillowFilter filter,
                                                 bool keep_aspect_ratio) {
  const PhaseTimer timer(Phase::resize);
  detail::require_resizable(pixels.shape(), height, width);
  const std::int64_t in_height = pixels.shape()[0], in_width = pixels.shape()[1],
                     channels = pixels.shape()[2];
  require<ShapeError>(channels == 1 || channels == 3 || channels == 4,
                      "[resize] expected 1, 3 or 4 channels, found ", pixels.shape());
  detail::CropBox box{0, 0, in_height, in_width};
  const bool same = in_height == height && in_width == width;  // then load_img does not crop either
  if (keep_aspect_ratio && !same) {
    box.height = std::max<std::int64_t>(std::min(in_height, in_width * height / width), 1);
    box.width = std::max<std::int64_t>(std::min(in_width, in_height * width / height), 1);
    box.top = (in_height - box.height) / 2;
    box.left = (in_width - box.width) / 2;
  }
  Tensor<std::uint8_t> out;
  if (same || filter == PillowFilter::nearest) {
    out = Tensor<std::uint8_t>::uninitialized({height, width, channels});
    const auto columns = detail::pillow_nearest(box.left, box.width, width);
    std::uint8_t* to = out.data();
    for (const std::int64_t y : detail::pillow_nearest(box.top, box.height, height)) {
      detail::pick_row(pixels.data() + y * in_width * channels, channels, columns, to);
      to += width * channels;
    }
  } else if (channels == 4) {
    out = detail::pillow_filter(detail::premultiplied(pixels), box, height, width, filter);
    detail::undo_premultiplied(out);
  } else {
    out = detail::pillow_filter(pixels, box, height, width, filter);
  }
  return out;
}

STRATA_INLINE Tensor<float> resize_tf(TensorView<const std::uint8_t> pixels, std::int64_t height,
                                      std::int64_t width, TfInterpolation interpolation, bool antialias,
                                      AspectRatio aspect_ratio) {
  const PhaseTimer timer(Phase::resize);
  return detail::tf_resize(pixels, height, width, interpolation, antialias, aspect_ratio);
}

STRATA_INLINE Tensor<float> resize_tf(TensorView<const float> pixels, std::int64_t height, std::int64_t width,
                                      TfInterpolation interpolation, bool antialias,
                                      AspectRatio aspect_ratio) {
  const PhaseTimer timer(Phase::resize);
  return detail::tf_resize(pixels, height, width, interpolation, antialias, aspect_ratio);
}

}}  // namespace strata::STRATA_ABI
