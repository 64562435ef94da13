#include "columns.cuh"
#include "common.cuh"

#include <strata/cuda/kernels/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

__device__ inline double clamp_pixel(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

/// The two pixels around a place along one axis, and how much of it each has; -1 is outside.
struct PixelNeighbours {
  Int index[2];
  double share[2];
};

/// The rules of scipy.ndimage (ni_interpolation.c, map_coordinate) and of TensorFlow (image_ops.h,
/// MapCoordinate).
__device__ inline PixelNeighbours pixel_neighbours(double at, Int size, const PixelSampling& sampling) {
  const FillMode mode = sampling.fill_mode;
  const bool scipy = sampling.edges == EdgeRule::scipy, constant = mode == FillMode::constant;
  const double last = double(size - 1), n = double(size);
  const PixelNeighbours outside = {{-1, -1}, {1, 0}};
  if (constant && scipy && !(at >= 0 && at <= last)) return outside;
  if (mode == FillMode::nearest) at = clamp_pixel(at, 0, last);
  if (mode == FillMode::reflect) {
    at = fmod(at < 0 ? -at - 1 : at, 2 * n);
    if (at > last + 0.5) at = 2 * n - 1 - at;
  }
  if (mode == FillMode::wrap && (at < 0 || at > last)) {
    // At whole periods the last pixel is taken below the picture, the first above it.
    const double periods = at < 0 ? -floor(-at / last) - 1 : floor(at / last);
    at = size == 1 ? 0 : at - (scipy ? last : n) * periods;
  }
  if (mode == FillMode::wrap) at = clamp_pixel(at, 0, last);
  if (sampling.interpolation == Interpolation::nearest) at = scipy ? floor(at + 0.5) : round(at);
  if (!(fabs(at) < 1e9)) return outside;
  const double low = floor(at);
  const auto index = [&](double i) -> Int {
    return constant && !(i >= 0 && i <= last) ? -1 : Int(clamp_pixel(i, 0, last));
  };
  return {{index(low), index(low + 1)}, {1 - (at - low), at - low}};
}

/// offset + row * by_row + column * by_column, every operation rounded as scipy's: fused ones would fall on
/// the other side of an edge.
__device__ inline double warped_coordinate(double offset, double row, double by_row, double column,
                                           double by_column) {
  return __dadd_rn(__dadd_rn(offset, __dmul_rn(row, by_row)), __dmul_rn(column, by_column));
}

/// Calls f(channel, value) for the channels of a pixel of picture n, interpolated where it is warped.
template <class X, class F>
__device__ inline void read_pixel(const WarpPixels<X>& p, Int n, Int pixel, F f) {
  const PixelGeometry& g = p.geometry;
  const X* const x = p.x + n * g.height * g.width * g.channels;
  if (!p.warps) {
    for (Int c = 0; c < g.channels; ++c) f(c, double(x[pixel * g.channels + c]));
    return;
  }
  const PixelWarp& warp = p.warps[n];
  const double* const m = warp.matrix;
  const Int i = pixel / g.width, j = pixel - i * g.width;
  const double row = double(warp.flip_vertical ? g.height - 1 - i : i);
  const double column = double(warp.flip_horizontal ? g.width - 1 - j : j);
  const PixelNeighbours rows =
      pixel_neighbours(warped_coordinate(m[2], row, m[0], column, m[1]), g.height, p.sampling);
  const PixelNeighbours columns =
      pixel_neighbours(warped_coordinate(m[5], row, m[3], column, m[4]), g.width, p.sampling);
  for (Int c = 0; c < g.channels; ++c) {
    double sum = 0;
    for (int r = 0; r < 2; ++r)
      for (int k = 0; k < 2; ++k) {
        const double share = rows.share[r] * columns.share[k];
        if (share == 0) continue;  // what has no part in it may be NaN
        const bool outside = rows.index[r] < 0 || columns.index[k] < 0;
        sum +=
            share * double(outside ? p.sampling.cval
                                   : float(x[(rows.index[r] * g.width + columns.index[k]) * g.channels + c]));
      }
    f(c, sum);
  }
}

/// The least and greatest value of each warped picture that needs them: a block per picture.
template <class X>
__device__ inline void find_pixel_ranges(const WarpPixels<X>& p) {
  __shared__ double least[Columns::threads], greatest[Columns::threads];
  const Int pixels = p.geometry.height * p.geometry.width;
  for (Int n = blockIdx.x; n < p.geometry.batch; n += gridDim.x) {
    if (p.warps[n].channel_shift == 0) continue;
    double low = INFINITY, high = -INFINITY;
    for (Int i = threadIdx.x; i < pixels; i += blockDim.x)
      read_pixel(p, n, i, [&](Int, double value) {
        low = value < low ? value : low;
        high = value > high ? value : high;
      });
    least[threadIdx.x] = low;
    greatest[threadIdx.x] = high;
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
      __syncthreads();
      if (threadIdx.x >= half) continue;
      least[threadIdx.x] = fmin(least[threadIdx.x], least[threadIdx.x + half]);
      greatest[threadIdx.x] = fmax(greatest[threadIdx.x], greatest[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) {
      p.ranges[2 * n] = least[0];
      p.ranges[2 * n + 1] = greatest[0];
    }
    __syncthreads();
  }
}

/// As Pillow does it: whole numbers times the brightness, rounded down.
__device__ inline double brighten(double value, float brightness, bool alpha) {
  const float whole = float(floor(clamp_pixel(double(float(value)), 0, 255)));
  return alpha ? double(whole) : floor(clamp_pixel(double(brightness * whole), 0, 255));
}

/// A thread per pixel, blockIdx.y counts pictures.
template <class X>
__device__ inline void warp_pixels(const WarpPixels<X>& p) {
  const PixelGeometry& g = p.geometry;
  for (Int n = blockIdx.y; n < g.batch; n += gridDim.y) {
    const float shift = p.warps ? p.warps[n].channel_shift : 0;
    const float brightness = p.warps ? p.warps[n].brightness : 1;
    const double low = shift != 0 ? p.ranges[2 * n] : 0, high = shift != 0 ? p.ranges[2 * n + 1] : 0;
    for (Int i = first(); i < g.height * g.width; i += stride()) {
      float* const y = p.y + (n * g.height * g.width + i) * g.channels;
      read_pixel(p, n, i, [&](Int c, double value) {
        if (shift != 0) value = clamp_pixel(value + double(shift), low, high);
        if (brightness != 1) value = brighten(value, brightness, g.channels == 4 && c == 3);
        const Int to = p.reverse_channels ? g.channels - 1 - c : c;
        y[to] = float(p.scaled ? p.scale[to] * value - p.mean[to] : value);
      });
    }
  }
}

STRATA_KERNEL(strata_load_pixels_ranges, LoadPixels) {
  find_pixel_ranges(p);
}
STRATA_KERNEL(strata_load_pixels, LoadPixels) {
  warp_pixels(p);
}
STRATA_KERNEL(strata_warp_ranges, WarpValues) {
  find_pixel_ranges(p);
}
STRATA_KERNEL(strata_warp, WarpValues) {
  warp_pixels(p);
}

/// contrast * x + offset, with the offset of one picture's channel.
struct PixelLine {
  double contrast, offset;
  __device__ double operator()(float x) const { return contrast * double(x) + offset; }
};

/// Of picture n, from the sums of its slices. All threads of the block must call it.
__device__ inline PixelLine adjustment_line(const AdjustPixels& p, Int n, const double* partial,
                                            double brightness) {
  const double contrast = p.adjustments[n].contrast;
  if (contrast == 1) return {1, brightness};  // whatever the mean
  double sums[1];
  sum_partial(p.columns, partial + n * p.columns.slices * p.columns.channels, sums);
  return {contrast, (1 - contrast) * (sums[0] / double(p.columns.rows)) + brightness};
}

/// dy where the adjusted x is not clipped.
__device__ inline float passed_gradient(const PixelAdjustment& a, double adjusted, float dy) {
  return adjusted < a.least || adjusted > a.greatest ? 0.0f : dy;
}

/// Sums of the pictures' slices: of x, or of the dy that pass.
STRATA_KERNEL(strata_adjust_pixels_sums, AdjustPixels) {
  const Columns& columns = p.columns;
  const Int channel = own_channel(columns), channels = columns.channels;
  for (Int n = blockIdx.z; n < p.batch; n += gridDim.z) {
    const PixelAdjustment& a = p.adjustments[n];
    if (a.contrast == 1) continue;  // no mean counts
    const PixelLine line = p.dy ? adjustment_line(p, n, p.x_partial, a.brightness) : PixelLine{1, 0};
    double sums[1];
    sum_columns(columns, slice_begin(columns), slice_end(columns), sums, [&](Int row, double(&to)[1]) {
      const Int i = (n * columns.rows + row) * channels + channel;
      to[0] += double(p.dy ? passed_gradient(a, line(p.x[i]), p.dy[i]) : p.x[i]);
    });
    store_partial(columns, sums, (p.dy ? p.dy_partial : p.x_partial) + n * columns.slices * channels);
  }
}

STRATA_KERNEL(strata_adjust_pixels, AdjustPixels) {
  const Int size = p.columns.rows * p.columns.channels;
  for (Int n = blockIdx.z; n < p.batch; n += gridDim.z) {
    const PixelAdjustment& a = p.adjustments[n];
    const PixelLine line = adjustment_line(p, n, p.x_partial, a.brightness);
    for_slice(
        p.columns, [&](Int i) { return p.x[n * size + i]; },
        [&](Int i, float x) { p.y[n * size + i] = float(clamp_pixel(line(x), a.least, a.greatest)); });
  }
}

/// Contrast is its own transpose.
STRATA_KERNEL(strata_adjust_pixels_backward, AdjustPixels) {
  struct Pair {
    float x, dy;
  };
  const Int size = p.columns.rows * p.columns.channels;
  for (Int n = blockIdx.z; n < p.batch; n += gridDim.z) {
    const PixelAdjustment& a = p.adjustments[n];
    const PixelLine line = adjustment_line(p, n, p.x_partial, a.brightness);
    const PixelLine transposed = adjustment_line(p, n, p.dy_partial, 0);
    for_slice(
        p.columns,
        [&](Int i) {
          return Pair{p.x[n * size + i], p.dy[n * size + i]};
        },
        [&](Int i, Pair from) {
          p.y[n * size + i] = float(transposed(passed_gradient(a, line(from.x), from.dy)));
        });
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
