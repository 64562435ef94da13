#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/columns.hpp>
#include <strata/cuda/kernels/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

namespace detail {
inline constexpr std::int64_t most_pictures = 65535;  // of a grid's y and z; kernels go round for more
/// Every block adds up its picture's slices itself.
inline constexpr std::int64_t most_picture_slices = 64;

/// A thread per pixel; pictures lie along y.
inline dim3 pixel_grid(const PixelGeometry& g) {
  const std::int64_t blocks = (g.height * g.width + Columns::threads - 1) / Columns::threads;
  return dim3(static_cast<unsigned>(std::min<std::int64_t>(blocks, 4096)),
              static_cast<unsigned>(g.channels > 0 ? std::min(g.batch, most_pictures) : 0));
}
/// A block per picture.
inline dim3 picture_grid(const PixelGeometry& g) {
  return dim3(
      static_cast<unsigned>(g.height * g.width * g.channels > 0 ? std::min(g.batch, most_pictures) : 0));
}
}  // namespace detail

STRATA_INLINE void CudaBackend::load_pixels(const PixelGeometry& g, const PixelScaling& scaling,
                                            const PixelSampling& sampling, const PixelWarp* warps,
                                            const std::uint8_t* x, float* y) {
  const auto ranges = scratch<double>(warps ? 2 * g.batch : 0);
  LoadPixels p{.geometry = g,
               .sampling = sampling,
               .warps = warps,
               .ranges = ranges.data(),
               .scaled = true,
               .reverse_channels = scaling.reverse_channels,
               .x = x,
               .y = y};
  for (int c = 0; c < 4; ++c) {
    p.scale[c] = static_cast<double>(scaling.scale) / static_cast<double>(scaling.std[c]);
    p.mean[c] = static_cast<double>(scaling.mean[c]) / static_cast<double>(scaling.std[c]);
  }
  if (warps) launch("strata_load_pixels_ranges", detail::picture_grid(g), Columns::threads, p);
  launch("strata_load_pixels", detail::pixel_grid(g), Columns::threads, p);
}

STRATA_INLINE void CudaBackend::warp(const PixelGeometry& g, const PixelSampling& sampling,
                                     const PixelWarp* warps, const float* x, float* y) {
  const auto ranges = scratch<double>(2 * g.batch);
  const WarpValues p{
      .geometry = g, .sampling = sampling, .warps = warps, .ranges = ranges.data(), .x = x, .y = y};
  launch("strata_warp_ranges", detail::picture_grid(g), Columns::threads, p);
  launch("strata_warp", detail::pixel_grid(g), Columns::threads, p);
}

STRATA_INLINE void CudaBackend::adjust_pixels(const PixelGeometry& g, const PixelAdjustment* adjustments,
                                              const float* x, float* y) {
  const Columns columns = columns_of(g.height * g.width, g.channels, detail::most_picture_slices);
  const auto partial = scratch<double>(g.batch * columns.slices * g.channels);
  const AdjustPixels p{.columns = columns,
                       .batch = g.batch,
                       .adjustments = adjustments,
                       .x = x,
                       .x_partial = partial.data(),
                       .y = y};
  const dim3 grid = grid_of(columns, columns.slices, std::min(g.batch, detail::most_pictures));
  launch("strata_adjust_pixels_sums", grid, Columns::threads, p);
  launch("strata_adjust_pixels", grid, Columns::threads, p);
}

STRATA_INLINE void CudaBackend::adjust_pixels_backward(const PixelGeometry& g,
                                                       const PixelAdjustment* adjustments, const float* x,
                                                       const float* dy, float* dx) {
  const Columns columns = columns_of(g.height * g.width, g.channels, detail::most_picture_slices);
  const std::int64_t partials = g.batch * columns.slices * g.channels;
  const auto partial = scratch<double>(2 * partials);
  AdjustPixels p{.columns = columns,
                 .batch = g.batch,
                 .adjustments = adjustments,
                 .x = x,
                 .x_partial = partial.data(),
                 .dy_partial = partial.data() + partials,
                 .y = dx};
  const dim3 grid = grid_of(columns, columns.slices, std::min(g.batch, detail::most_pictures));
  launch("strata_adjust_pixels_sums", grid, Columns::threads, p);  // of x
  p.dy = dy;
  launch("strata_adjust_pixels_sums", grid, Columns::threads, p);  // of dy, which needs the first
  launch("strata_adjust_pixels_backward", grid, Columns::threads, p);
}

}}}  // namespace strata::STRATA_ABI::cuda
