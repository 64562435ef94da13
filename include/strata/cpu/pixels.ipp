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
STRATA_COLD STRATA_INLINE void CpuBackend::warp_pictures(const PixelGeometry& g, const PixelScaling* scaling,
                                                         const PixelSampling& sampling,
                                                         const PixelWarp* warps, const X* x, float* y) {
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

STRATA_COLD STRATA_INLINE void CpuBackend::load_pixels(const PixelGeometry& g, const PixelScaling& scaling,
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

STRATA_COLD STRATA_INLINE void CpuBackend::warp(const PixelGeometry& g, const PixelSampling& sampling,
                                                const PixelWarp* warps, const float* x, float* y) {
  warp_pictures(g, nullptr, sampling, warps, x, y);
}

STRATA_COLD STRATA_INLINE std::vector<float> CpuBackend::adjustment_offsets(const PixelGeometry& g,
                                                                            double contrast,
                                                                            double brightness,
                                                                            const float* x) {
  std::vector<double> sums(static_cast<std::size_t>(g.channels));
  const std::int64_t pixels = g.height * g.width;
  if (contrast != 1) kernels_.column_sums(pixels, g.channels, x, sums.data());
  std::vector<float> out;
  for (const double sum : sums)
    out.push_back(static_cast<float>((1 - contrast) * sum / static_cast<double>(pixels) + brightness));
  return out;
}

STRATA_COLD STRATA_INLINE void CpuBackend::adjust_pixels(const PixelGeometry& g,
                                                         const PixelAdjustment* adjustments, const float* x,
                                                         float* y) {
  const std::int64_t size = g.height * g.width * g.channels;
  pool_.for_range(size ? g.batch : 0, 1, [&](std::int64_t n, std::int64_t) {
    const PixelAdjustment& a = adjustments[n];
    const auto offsets = adjustment_offsets(g, a.contrast, a.brightness, x + n * size);
    const float contrast = static_cast<float>(a.contrast);
    const float least = static_cast<float>(a.least), greatest = static_cast<float>(a.greatest);
    const float* const offset = offsets.data();
    for (std::int64_t i = n * size; i < (n + 1) * size; i += g.channels)
      for (std::int64_t c = 0; c < g.channels; ++c) {
        const float v = contrast * x[i + c] + offset[c];
        y[i + c] = v < least ? least : v > greatest ? greatest : v;
      }
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::adjust_pixels_backward(const PixelGeometry& g,
                                                                  const PixelAdjustment* adjustments,
                                                                  const float* x, const float* dy,
                                                                  float* dx) {
  const std::int64_t size = g.height * g.width * g.channels;
  pool_.for_range(size ? g.batch : 0, 1, [&](std::int64_t n, std::int64_t) {
    const PixelAdjustment& a = adjustments[n];
    const float contrast = static_cast<float>(a.contrast);
    const float least = static_cast<float>(a.least), greatest = static_cast<float>(a.greatest);
    const auto offsets = adjustment_offsets(g, a.contrast, a.brightness, x + n * size);
    for (std::int64_t i = n * size; i < (n + 1) * size; i += g.channels)
      for (std::int64_t c = 0; c < g.channels; ++c) {
        const float v = contrast * x[i + c] + offsets[static_cast<std::size_t>(c)];
        dx[i + c] = v < least || v > greatest ? 0 : dy[i + c];
      }
    // Contrast is its own transpose.
    const auto means = adjustment_offsets(g, a.contrast, 0, dx + n * size);
    for (std::int64_t i = n * size; i < (n + 1) * size; i += g.channels)
      for (std::int64_t c = 0; c < g.channels; ++c)
        dx[i + c] = contrast * dx[i + c] + means[static_cast<std::size_t>(c)];
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
