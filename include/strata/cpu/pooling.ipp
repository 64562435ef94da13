#pragma once

#include <algorithm>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Windows follow each other without gaps, and share nothing.
inline bool is_tiled(const Pool2DGeometry& g) {
  return g.stride_h == g.pool_h && g.stride_w == g.pool_w;
}

/// The part of a window that lies inside the image, for one output row.
struct PoolWindow {
  std::int64_t top;
  PoolRow row;
};
inline PoolWindow window_of(const Pool2DGeometry& g, std::int64_t out_row) {
  const std::int64_t first = out_row * g.stride_h - g.pad_top;
  const std::int64_t top = std::max<std::int64_t>(0, first), bottom = std::min(g.in_h, first + g.pool_h);
  return {top, {g.in_w, g.channels, g.out_w, g.pool_w, g.stride_w, g.pad_left, bottom - top, is_tiled(g)}};
}

STRATA_COLD STRATA_INLINE void CpuBackend::pool2d(const Pool2DGeometry& g, PoolKind kind, const float* x,
                                                  float* y, std::uint8_t* argmax) {
  const auto kernel = kind == PoolKind::max ? kernels_.max_pool : kernels_.average_pool;
  const std::int64_t pitch = g.in_w * g.channels, out_pitch = g.out_w * g.channels;
  pool_.for_range(g.batch * g.out_h, row_grain(pitch * g.pool_h), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const PoolWindow window = window_of(g, i % g.out_h);
      const float* const in = x + (i / g.out_h * g.in_h + window.top) * pitch;
      if (argmax)
        kernels_.max_pool_argmax(window.row, in, y + i * out_pitch, argmax + i * out_pitch);
      else
        kernel(window.row, in, y + i * out_pitch);
    }
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::pool2d_backward(const Pool2DGeometry& g, PoolKind kind,
                                                           const Activation& before, const float* x,
                                                           const float* y, const float* dy, float* dx,
                                                           const std::uint8_t* argmax) {
  const std::int64_t pitch = g.in_w * g.channels, out_pitch = g.out_w * g.channels;
  // Rows of windows that share input rows belong to one task, so no two tasks add to the same place. What a
  // row of windows, or those of an image that share some, adds to is zeroed and taken through the activation
  // while it is in the cache.
  const bool apart = g.stride_h >= g.pool_h;
  const std::int64_t grain = apart ? row_grain(pitch * g.pool_h) : g.out_h;
  const auto first_row = [&](std::int64_t out_row) {
    return out_row == 0 ? 0 : out_row == g.out_h ? g.in_h : std::min(g.in_h, window_of(g, out_row).top);
  };
  const auto through = [&](std::int64_t count, const float* from, const float* gradient, float* to) {
    kernels_.activate_backward(function_of(before), static_cast<float>(before.negative_slope), count, from,
                               gradient, to);
  };
  pool_.for_range(g.batch * g.out_h, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t out_row = i % g.out_h, image = i / g.out_h * g.in_h, out = i * out_pitch;
      const PoolWindow window = window_of(g, out_row);
      const std::int64_t in = (image + window.top) * pitch;
      const std::int64_t from = (image + (apart ? first_row(out_row) : 0)) * pitch;
      const std::int64_t to = (image + (apart ? first_row(out_row + 1) : g.in_h)) * pitch;
      if (window.row.tiled)  // the kernel writes what it has rows of
        std::fill(dx + in + window.row.window_h * pitch, dx + to, 0.f);
      else if (apart || out_row == 0)
        std::fill(dx + from, dx + to, 0.f);
      if (argmax) {
        const float* gradient = dy + out;
        if (before != Activation::linear) {  // waits at the end of what the kernel writes
          float* const waiting = dx + in + window.row.window_h * pitch - out_pitch;
          through(out_pitch, y + out, gradient, waiting);
          gradient = waiting;
        }
        kernels_.max_pool_argmax_backward(window.row, argmax + out, gradient, dx + in);
        continue;
      }
      if (kind == PoolKind::max)
        kernels_.max_pool_backward(window.row, x + in, y + out, dy + out, dx + in);
      else
        kernels_.average_pool_backward(window.row, dy + out, dx + in);
      if (before != Activation::linear && (apart || out_row + 1 == g.out_h))
        through(to - from, x + from, dx + from, dx + from);
    }
  });
}

// Of tiled windows: no element has gradients of two, which would be summed behind `before`.
STRATA_COLD STRATA_INLINE bool CpuBackend::remembers_maxima(const Pool2DGeometry& g) const {
  return is_tiled(g) && g.pool_h * g.pool_w <= 256;
}

}}}  // namespace strata::STRATA_ABI::cpu
