#pragma once

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// Four values from x on.
typedef float Quad __attribute__((vector_size(16)));
STRATA_ALWAYS_INLINE Quad load_quad(const float* x) {
  Quad v;
  __builtin_memcpy(&v, x, sizeof v);
  return v;
}
/// Written as a shuffle, because g++ converts bytes to floats one by one.
STRATA_ALWAYS_INLINE Quad load_quad(const std::uint8_t* x) {
  typedef std::uint8_t Bytes __attribute__((vector_size(16)));
  typedef int Ints __attribute__((vector_size(16)));
  int four;
  __builtin_memcpy(&four, x, sizeof four);
  const Bytes bytes = reinterpret_cast<Bytes>(Ints{four});
  const Bytes wide =
      __builtin_shufflevector(bytes, Bytes{}, 0, 16, 16, 16, 1, 16, 16, 16, 2, 16, 16, 16, 3, 16, 16, 16);
  return __builtin_convertvector(reinterpret_cast<Ints>(wide), Quad);
}

STRATA_ALWAYS_INLINE Vec load_values(const float* x) {
  return load(x);
}
STRATA_ALWAYS_INLINE Vec load_values(const std::uint8_t* x) {
#if STRATA_CPU_AVX512
  return _mm512_maskz_cvtepi32_ps(
      0xffff, _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
#elif STRATA_CPU_AVX2
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))));
#else
  return load_quad(x);
#endif
}

/// y may be x. Channels recur in the lanes after so many vectors as there are of them.
template <long Channels, class X>
STRATA_ALWAYS_INLINE void scale_values(long pixels, const float* scale, const float* mean, bool reverse,
                                       const X* x, float* y) {
  if (!reverse) {
    Vec scales[Channels], means[Channels];
    for (long i = 0; i < Channels * width; ++i) {
      scales[i / width][i % width] = scale[i % Channels];
      means[i / width][i % width] = mean[i % Channels];
    }
    for (; pixels >= width; pixels -= width)
      for (long v = 0; v < Channels; ++v, x += width, y += width)
        store(y, scales[v] * load_values(x) - means[v]);
  }
  for (; pixels > 0; --pixels, x += Channels, y += Channels) {
    float pixel[Channels];
    for (long c = 0; c < Channels; ++c) pixel[c] = static_cast<float>(x[reverse ? Channels - 1 - c : c]);
    for (long c = 0; c < Channels; ++c) y[c] = scale[c] * pixel[c] - mean[c];
  }
}

template <class X>
STRATA_ALWAYS_INLINE void scale_any(long pixels, long channels, const float* scale, const float* mean,
                                    bool reverse, const X* x, float* y) {
  switch (channels) {
    case 1:
      return scale_values<1>(pixels, scale, mean, reverse, x, y);
    case 2:
      return scale_values<2>(pixels, scale, mean, reverse, x, y);
    case 3:
      return scale_values<3>(pixels, scale, mean, reverse, x, y);
    default:
      return scale_values<4>(pixels, scale, mean, reverse, x, y);
  }
}
inline void scale_bytes(long pixels, long channels, const float* scale, const float* mean, bool reverse,
                        const std::uint8_t* x, float* y) {
  scale_any(pixels, channels, scale, mean, reverse, x, y);
}
inline void scale_pixels(long pixels, long channels, const float* scale, const float* mean, bool reverse,
                         float* x) {
  scale_any(pixels, channels, scale, mean, reverse, x, x);
}

inline constexpr long strip = 64;  // pixels whose neighbours are found together

/// Where pixels lie along one axis: `part` of the way from `low` to `high`, which is no less; -1 is outside.
struct Neighbours {
  int low[strip], high[strip];
  float part[strip];
};

STRATA_ALWAYS_INLINE int floor_of(double x) {
  const int whole = static_cast<int>(x);
  return whole - (static_cast<double>(whole) > x);
}
/// Any whole number of periods; x / period stays an int.
STRATA_ALWAYS_INLINE double whole_part(double x) {
  return static_cast<double>(static_cast<int>(x));
}
/// x where an int can count its pixels, else 0: what lies farther out is nobody's picture.
STRATA_ALWAYS_INLINE double bounded(double x) {
  return x > -1e9 && x < 1e9 ? x : 0;
}

/// Neighbours of the place fold(x) in (-1, size) for all x of the strip.
template <class Fold>
STRATA_ALWAYS_INLINE void find_neighbours(long count, const double* x, long size, bool nearest,
                                          Neighbours& out, Fold fold) {
  const int last = static_cast<int>(size - 1);
  for (long i = 0; i < count; ++i) {
    const double at = fold(x[i]);
    const int low = floor_of(nearest ? at + 0.5 : at), high = nearest ? low : low + 1;
    out.part[i] = nearest ? 0.f : static_cast<float>(at - low);
    out.low[i] = low < 0 ? 0 : low > last ? last : low;
    out.high[i] = high < 0 ? 0 : high > last ? last : high;
  }
}

/// The rules of scipy.ndimage (ni_interpolation.c, map_coordinate) and of TensorFlow (image_ops.h,
/// MapCoordinate), operation by operation: `wrap` jumps at whole coordinates.
inline void neighbours_of(long count, const double* x, long size, const PixelSampling& sampling,
                          Neighbours& out) {
  const bool nearest = sampling.interpolation == Interpolation::nearest;
  const bool scipy = sampling.edges == EdgeRule::scipy;
  const double n = static_cast<double>(size), last = n - 1;
  switch (sampling.fill_mode) {
    case FillMode::nearest:
      return find_neighbours(count, x, size, nearest, out, [=](double v) {
        v = v > 0 ? v : 0;
        return v < last ? v : last;
      });
    case FillMode::reflect:
      return find_neighbours(count, x, size, nearest, out, [=](double v) {
        v = bounded(v);
        const double u = v < 0 ? -v - 1 : v;  // the halves are alike
        const double w = u < 0 ? u : u - 2 * n * whole_part(u / (2 * n));
        return w >= n ? 2 * n - w - 1 : w;
      });
    case FillMode::wrap:
      if (size == 1) return find_neighbours(count, x, 1, true, out, [](double) { return 0.0; });
      return find_neighbours(count, x, size, nearest, out, [=, step = scipy ? last : n](double v) {
        v = bounded(v);
        const double w = v < 0      ? v + step * (whole_part(-v / last) + 1)
                         : v > last ? v - step * whole_part(v / last)
                                    : v;
        return w < 0 ? 0 : w > last ? last : w;
      });
    case FillMode::constant:
      if (scipy) {
        find_neighbours(count, x, size, nearest, out, [=](double v) { return v >= 0 && v <= last ? v : 0; });
        for (long i = 0; i < count; ++i)
          if (!(x[i] >= 0 && x[i] <= last)) out.low[i] = out.high[i] = -1;
        return;
      }
      for (long i = 0; i < count; ++i) {
        const double v = x[i] > -2 ? (x[i] < n + 1 ? x[i] : n + 1) : -2;
        const int low = !nearest ? floor_of(v) : v < 0 ? -floor_of(0.5 - v) : floor_of(v + 0.5);
        const int high = nearest ? low : low + 1;
        out.part[i] = nearest ? 0.f : static_cast<float>(v - low);
        out.low[i] = low >= 0 && low < size ? low : -1;
        out.high[i] = high >= 0 && high < size ? high : -1;
      }
  }
}

/// Pixels of a strip from their four neighbours in a picture of `size` values. a + part (b - a) leaves equal
/// values as they are.
template <long Channels, class X>
STRATA_ALWAYS_INLINE void blend(long count, long any_channels, long pitch, long size, const Neighbours& rows,
                                const Neighbours& columns, float cval, const X* x, float* y) {
  const long channels = Channels ? Channels : any_channels;
  const auto mixed = [&](long i, auto a, auto b, auto c, auto d) {
    const auto above = a + columns.part[i] * (b - a), below = c + columns.part[i] * (d - c);
    return above + rows.part[i] * (below - above);
  };
  for (long i = 0; i < count; ++i, y += channels) {
    const long top = rows.low[i] * pitch, bottom = rows.high[i] * pitch;
    const long left = columns.low[i] * channels, right = columns.high[i] * channels;
    const bool inside = (rows.low[i] | rows.high[i] | columns.low[i] | columns.high[i]) >= 0;
    if (Channels == 3 && inside && i + 1 < count && bottom + right + 4 <= size) {
      // One value more than there are channels: it belongs to the next pixel, which comes next.
      const Quad pixel = mixed(i, load_quad(x + top + left), load_quad(x + top + right),
                               load_quad(x + bottom + left), load_quad(x + bottom + right));
      __builtin_memcpy(y, &pixel, sizeof pixel);
    } else if (inside) {
      for (long c = 0; c < channels; ++c)
        y[c] = mixed(i, static_cast<float>(x[top + left + c]), static_cast<float>(x[top + right + c]),
                     static_cast<float>(x[bottom + left + c]), static_cast<float>(x[bottom + right + c]));
    } else {
      const auto read = [&](long row, long column, long c) {
        return row < 0 || column < 0 ? cval : static_cast<float>(x[row + column + c]);
      };
      for (long c = 0; c < channels; ++c)
        y[c] =
            mixed(i, read(top, left, c), read(top, right, c), read(bottom, left, c), read(bottom, right, c));
    }
  }
}

/// out[i] = (first + i step) * factor. Never inlined, so that no compiler fuses these products with the sums
/// they go into: those would round otherwise than scipy's, and fall on the other side of an edge.
[[gnu::noinline]] inline void products(long count, double first, double step, double factor, double* out) {
  for (long i = 0; i < count; ++i) out[i] = (first + static_cast<double>(i) * step) * factor;
}

template <class X>
inline void warp_row(const WarpRow& row, const X* x, float* y) {
  const double* const m = row.matrix;
  double down[2];
  products(1, static_cast<double>(row.row), 0, m[0], &down[0]);
  products(1, static_cast<double>(row.row), 0, m[3], &down[1]);
  Neighbours rows, columns;
  double at_row[strip], at_column[strip];
  for (long begin = 0; begin < row.width; begin += strip, y += strip * row.channels) {
    const long count = row.width - begin < strip ? row.width - begin : strip;
    const double first = static_cast<double>(row.reverse ? row.width - 1 - begin : begin);
    products(count, first, row.reverse ? -1 : 1, m[1], at_row);
    products(count, first, row.reverse ? -1 : 1, m[4], at_column);
    for (long i = 0; i < count; ++i) {
      at_row[i] += m[2] + down[0];
      at_column[i] += m[5] + down[1];
    }
    neighbours_of(count, at_row, row.height, row.sampling, rows);
    neighbours_of(count, at_column, row.width, row.sampling, columns);
    const long pitch = row.width * row.channels, size = row.height * pitch;
    const float cval = row.sampling.cval;
    switch (row.channels) {
      case 1:
        blend<1>(count, 1, pitch, size, rows, columns, cval, x, y);
        break;
      case 3:
        blend<3>(count, 3, pitch, size, rows, columns, cval, x, y);
        break;
      default:
        blend<0>(count, row.channels, pitch, size, rows, columns, cval, x, y);
    }
  }
}

inline void value_range(long count, const float* x, float* low, float* high) {
  float least = *low, greatest = *high;
  for (long i = 0; i < count; ++i) {
    least = x[i] < least ? x[i] : least;
    greatest = x[i] > greatest ? x[i] : greatest;
  }
  *low = least, *high = greatest;
}

inline void shift_values(long count, float shift, float low, float high, float* x) {
  map(count, x, x, [=](Vec v) { return clamp(v + shift, low, high); });
}

inline void brighten(long pixels, long channels, float brightness, float* x) {
  const long colors = channels == 4 ? 3 : channels;  // alpha is only rounded down
  for (long p = 0; p < pixels; ++p, x += channels)
    for (long c = 0; c < channels; ++c) {
      const float value = x[c] > 0 ? x[c] < 255 ? x[c] : 255.f : 0.f;
      const float whole = static_cast<float>(static_cast<int>(value)), bright = brightness * whole;
      x[c] = c < colors
                 ? static_cast<float>(static_cast<int>(bright > 0 ? bright < 255 ? bright : 255.f : 0.f))
                 : whole;
    }
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
