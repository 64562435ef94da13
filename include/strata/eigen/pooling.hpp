#pragma once

#include <algorithm>
#include <limits>

#include <strata/eigen/activation.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

/// Calls f(output pixel, for_pixels) for every output pixel of one image; for_pixels(visit) visits the input
/// pixels of its window in row-major order. Windows are cut at the border.
template <class F>
void for_windows(const Pool2DGeometry& g, F f) {
  for (Index oy = 0; oy < g.out_h; ++oy)
    for (Index ox = 0; ox < g.out_w; ++ox) {
      const Index top = oy * g.stride_h - g.pad_top, left = ox * g.stride_w - g.pad_left;
      const auto for_pixels = [&, bottom = std::min(top + g.pool_h, g.in_h),
                               right = std::min(left + g.pool_w, g.in_w)](auto&& visit) {
        for (Index iy = std::max<Index>(top, 0); iy < bottom; ++iy)
          for (Index ix = std::max<Index>(left, 0); ix < right; ++ix) visit(iy * g.in_w + ix);
      };
      f(oy * g.out_w + ox, for_pixels);
    }
}

/// Pools one image [in_h * in_w, channels], all channels of a pixel at once.
template <class T>
void pool_image(const Pool2DGeometry& g, PoolKind kind, const T* image, T* pooled) {
  const ArrayMap<const T> x(image, g.in_h * g.in_w, g.channels);
  ArrayMap<T> y(pooled, g.out_h * g.out_w, g.channels);
  for_windows(g, [&](Index out, const auto& for_pixels) {
    auto result = y.row(out);
    if (kind == PoolKind::max) {
      result.setConstant(-std::numeric_limits<T>::infinity());
      for_pixels([&](Index in) { result = maximum(result, x.row(in)); });
    } else {
      Index count = 0;
      result.setZero();
      for_pixels([&](Index in) { result += x.row(in), ++count; });
      result /= T(count);
    }
  });
}

/// An average hands its gradient to all pixels of the window alike, a maximum to the first that equals it.
template <class T>
void pool_image_backward(const Pool2DGeometry& g, PoolKind kind, const T* image, const T* pooled,
                         const T* pooled_gradient, T* image_gradient) {
  const ArrayMap<const T> x(image, g.in_h * g.in_w, g.channels);
  const ArrayMap<const T> y(pooled, g.out_h * g.out_w, g.channels);
  const ArrayMap<const T> dy(pooled_gradient, g.out_h * g.out_w, g.channels);
  ArrayMap<T> dx(image_gradient, g.in_h * g.in_w, g.channels);
  Row<bool> waiting(g.channels), hit(g.channels);
  dx.setZero();
  for_windows(g, [&](Index out, const auto& for_pixels) {
    if (kind == PoolKind::max) {
      waiting.setConstant(true);
      for_pixels([&](Index in) {
        hit = waiting && (x.row(in) == y.row(out) || x.row(in).isNaN());
        dx.row(in) += hit.select(dy.row(out), T(0));
        waiting = waiting && !hit;
      });
    } else {
      Index count = 0;
      for_pixels([&](Index) { ++count; });
      for_pixels([&](Index in) { dx.row(in) += dy.row(out) / T(count); });
    }
  });
}

}}}  // namespace strata::STRATA_ABI::eigen
