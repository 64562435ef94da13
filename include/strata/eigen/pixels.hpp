#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include <strata/core/parallel.hpp>
#include <strata/eigen/map.hpp>
#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

/// The two pixels around a place along one axis, -1 where one is outside, and the way from one to the other.
struct Between {
  Index low, high;
  double part;
};

/// Where `at` lies on an axis of that size (see EdgeRule).
inline Between between(double at, Index size, const PixelSampling& sampling) {
  const double last = double(size - 1), n = double(size);
  const bool scipy = sampling.edges == EdgeRule::scipy, constant = sampling.fill_mode == FillMode::constant;
  if (!(std::abs(at) < 1e9))
    at = sampling.fill_mode == FillMode::nearest && at > 0 ? last : constant ? -2 : 0;
  switch (sampling.fill_mode) {
    case FillMode::nearest:
      at = std::clamp(at, 0.0, last);
      break;
    case FillMode::reflect:
      if (at < 0) at = -at - 1;
      at = std::fmod(at, 2 * n);
      if (at >= n) at = 2 * n - 1 - at;
      break;
    case FillMode::wrap:
      if (size > 1 && at < 0)
        at += (scipy ? last : n) * (std::trunc(-at / last) + 1);
      else if (size > 1 && at > last)
        at -= (scipy ? last : n) * std::trunc(at / last);
      at = std::clamp(at, 0.0, last);
      break;
    case FillMode::constant:
      if (scipy && !(at >= 0 && at <= last)) return {-1, -1, 0};
  }
  if (sampling.interpolation == Interpolation::nearest) at = scipy ? std::floor(at + 0.5) : std::round(at);
  const double low = std::floor(at);
  const auto index = [&](double i) {
    return constant ? (i >= 0 && i <= last ? Index(i) : -1) : Index(std::clamp(i, 0.0, last));
  };
  return {index(low), index(low + 1), at - low};
}

/// A picture [height * width, channels] from x of the same shape.
template <class T, class X>
void warp_picture(const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp& warp, const X* x,
                  ArrayMap<T> y) {
  const ArrayMap<const X> from(x, g.height * g.width, g.channels);
  const double* const m = warp.matrix;
  using Steps = Eigen::ArrayXd;
  Steps down = Steps::LinSpaced(g.height, 0, double(g.height - 1));
  Steps right = Steps::LinSpaced(g.width, 0, double(g.width - 1));
  if (warp.flip_vertical) down.reverseInPlace();
  if (warp.flip_horizontal) right.reverseInPlace();
  // In memory before they are added: fused with the sums they would round otherwise than scipy's.
  const Steps row_down = m[0] * down, row_right = m[1] * right;
  const Steps column_down = m[3] * down, column_right = m[4] * right;
  for (Index i = 0; i < y.rows(); ++i) {
    const Index r = i / g.width, c = i % g.width;
    const Between rows = between(m[2] + row_down[r] + row_right[c], g.height, sampling);
    const Between columns = between(m[5] + column_down[r] + column_right[c], g.width, sampling);
    const auto pixel = [&](Index row, Index column) -> Row<T> {
      if (row < 0 || column < 0) return Row<T>::Constant(g.channels, T(sampling.cval));
      return from.row(row * g.width + column).template cast<T>();
    };
    const auto across = [&](Index row) -> Row<T> {
      const Row<T> left = pixel(row, columns.low);
      return left + T(columns.part) * (pixel(row, columns.high) - left);
    };
    const Row<T> above = across(rows.low);
    y.row(i) = above + T(rows.part) * (across(rows.high) - above);
  }
  if (warp.channel_shift != 0) {
    const T low = y.minCoeff(), high = y.maxCoeff();
    y = (y + T(warp.channel_shift)).max(low).min(high).eval();
  }
  if (warp.brightness != 1) {
    const Array<float> whole = y.template cast<float>().max(0.f).min(255.f).floor();
    y = (warp.brightness * whole).max(0.f).min(255.f).floor().template cast<T>();
    if (g.channels == 4) y.col(3) = whole.col(3).template cast<T>();  // alpha
  }
}

template <class T, class X>
void warp(ThreadPool& pool, const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp* warps,
          const X* x, T* y) {
  const Index pixels = g.height * g.width;
  pool.run(g.batch, [&](Index n, int) {
    warp_picture<T>(g, sampling, warps[n], x + n * pixels * g.channels,
                    {y + n * pixels * g.channels, pixels, g.channels});
  });
}

/// contrast * (x - mean) + mean + brightness of a picture [height * width, channels].
template <class T>
Array<T> adjusted(double contrast, double brightness, ArrayMap<const T> x) {
  const Row<T> mean = (x.template cast<double>().colwise().mean()).template cast<T>();
  return (T(contrast) * x).rowwise() + (T(1 - contrast) * mean + T(brightness));
}

}}}  // namespace strata::STRATA_ABI::eigen
