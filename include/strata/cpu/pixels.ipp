#pragma once

#include <limits>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

namespace detail {
/// PixelScaling with one product per value: scale / std and mean / std.
struct ChannelScaling {
  explicit ChannelScaling(const PixelScaling& scaling) : reverse(scaling.reverse_channels) {
    for (int c = 0; c < 4; ++c) {
      scale[c] = scaling.scale / scaling.std[c];
      mean[c] = scaling.mean[c] / scaling.std[c];
    }
  }
  float scale[4], mean[4];
  bool reverse;
};
}  // namespace detail

template <class X>
STRATA_INLINE void CpuBackend::warp_pictures(const PixelGeometry& g, const PixelScaling* scaling,
                                             const PixelSampling& sampling, const PixelWarp* warps,
                                             const X* x, float* y) {
  const std::int64_t pitch = g.width * g.channels, size = g.height * pitch;
  const detail::ChannelScaling by_channel(scaling ? *scaling : PixelScaling{});
  const auto finish = [&](const PixelWarp& warp, std::int64_t pixels, float* to) {
    if (warp.brightness != 1) kernels_.brighten(pixels, g.channels, warp.brightness, to);
    if (scaling)
      kernels_.scale_pixels(pixels, g.channels, by_channel.scale, by_channel.mean, by_channel.reverse, to);
  };
  pool_.for_range(g.batch * g.height, row_grain(pitch), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const PixelWarp& warp = warps[i / g.height];
      const WarpRow row{.height = g.height,
                        .width = g.width,
                        .channels = g.channels,
                        .row = warp.flip_vertical ? g.height - 1 - i % g.height : i % g.height,
                        .matrix = warp.matrix,
                        .reverse = warp.flip_horizontal,
                        .sampling = sampling};
      const X* const from = x + i / g.height * size;
      if constexpr (std::is_same_v<X, float>)
        kernels_.warp_floats(row, from, y + i * pitch);
      else
        kernels_.warp_bytes(row, from, y + i * pitch);
      if (warp.channel_shift == 0) finish(warp, g.width, y + i * pitch);
    }
  });
  // A shift is clipped to what the whole warped picture holds, so it waits for that.
  pool_.for_range(g.batch, 1, [&](std::int64_t n, std::int64_t) {
    const PixelWarp& warp = warps[n];
    if (warp.channel_shift == 0) return;
    float low = std::numeric_limits<float>::infinity(), high = -low;
    kernels_.value_range(size, y + n * size, &low, &high);
    kernels_.shift_values(size, warp.channel_shift, low, high, y + n * size);
    finish(warp, g.height * g.width, y + n * size);
  });
}

STRATA_INLINE void CpuBackend::load_pixels(const PixelGeometry& g, const PixelScaling& scaling,
                                           const PixelSampling& sampling, const PixelWarp* warps,
                                           const std::uint8_t* x, float* y) {
  if (warps) return warp_pictures(g, &scaling, sampling, warps, x, y);
  const detail::ChannelScaling by_channel(scaling);
  const std::int64_t pixels = g.batch * g.height * g.width, channels = g.channels;
  pool_.for_range(pixels, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    kernels_.scale_bytes(end - begin, channels, by_channel.scale, by_channel.mean, by_channel.reverse,
                         x + begin * channels, y + begin * channels);
  });
}

STRATA_INLINE void CpuBackend::warp(const PixelGeometry& g, const PixelSampling& sampling,
                                    const PixelWarp* warps, const float* x, float* y) {
  warp_pictures(g, nullptr, sampling, warps, x, y);
}

}}}  // namespace strata::STRATA_ABI::cpu
