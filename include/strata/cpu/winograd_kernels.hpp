#pragma once

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/winograd_transform.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

STRATA_ALWAYS_INLINE long least(long a, long b) {
  return a < b ? a : b;
}

/// Offsets of size x size pixels from (y, x) of a plane on; -1 between images and outside of them. Returns
/// whether all lie in one image.
STRATA_ALWAYS_INLINE bool find_pixels(const ImagePlane& p, long index, long y, long x, long size,
                                      long* offsets) {
  // Most patches lie in one image: their places need no division each.
  const auto image_at = [&](long down, long across) { return (index * p.down + down) * p.across + across; };
  const long down = y / p.pitch_h, across = x / p.pitch_w;
  const long row = y - down * p.pitch_h, column = x - across * p.pitch_w;
  if (y >= 0 && x >= 0 && down < p.down && across < p.across && row + size <= p.h && column + size <= p.w &&
      image_at(down, across) < p.images) {
    const long first = ((image_at(down, across) * p.h + row) * p.w + column) * p.channels;
    for (long r = 0; r < size; ++r)
      for (long c = 0; c < size; ++c) offsets[r * size + c] = first + (r * p.w + c) * p.channels;
    return true;
  }
  long columns[8], images[8];  // where in its image, and which image of a row of them, or -1
  for (long c = 0; c < size; ++c) {
    const long at = x + c;
    images[c] = at < 0 ? -1 : at / p.pitch_w;
    columns[c] = at - images[c] * p.pitch_w;
    if (images[c] >= p.across || columns[c] >= p.w) images[c] = -1;
  }
  for (long r = 0; r < size; ++r) {
    const long at = y + r, below = at < 0 ? -1 : at / p.pitch_h, line = at - below * p.pitch_h;
    const bool inside = below >= 0 && below < p.down && line < p.h;
    for (long c = 0; c < size; ++c) {
      const long image = image_at(below, images[c]);
      const bool found = inside && images[c] >= 0 && image < p.images;
      offsets[r * size + c] = found ? ((image * p.h + line) * p.w + columns[c]) * p.channels : -1;
    }
  }
  return false;
}

/// M X M^T for a patch X of one vector of channels, M [N,S]; result (i, j) goes to out + (i N + j) * stride.
template <const auto& M>
[[gnu::noinline]] void transform_patch(const float* patch, long row_stride, long column_stride, float* out,
                                       long point_stride) {
  constexpr int N = M.rows, S = M.columns;
  Vec half[N][S];
  STRATA_NO_UNROLL
  for (int c = 0; c < S; ++c, patch += column_stride) {
    Vec x[S];
    STRATA_UNROLL
    for (int r = 0; r < S; ++r) x[r] = load(patch + r * row_stride);
    // Points lie far apart, and the stores would wait for their lines.
    STRATA_UNROLL
    for (int p = 0; p < N; ++p) __builtin_prefetch(out + (c * N + p) * point_stride, 1);
    apply<M>(x, [&](int r, Vec v) { half[r][c] = v; });
  }
  STRATA_NO_UNROLL
  for (int r = 0; r < N; ++r, out += N * point_stride)
    apply<M>(half[r], [&](int c, Vec v) { store(out + c * point_stride, v); });
}

/// Transforms the patch at (y, x), all channels; the part outside the images is zero. Vectors of channels go,
/// in pairs `pair_stride` apart, to out and out + odd_stride.
template <const auto& M>
void transform_tile(const ImagePlane& plane, const float* images, long index, long y, long x, float* out,
                    long pair_stride, long odd_stride, long point_stride) {
  constexpr int S = M.columns;
  const long channels = plane.channels;
  long offsets[S * S];
  const bool whole = find_pixels(plane, index, y, x, S, offsets);
  for (long c = 0; c < channels; c += width) {
    float* to = out + c / (2 * width) * pair_stride + (c / width % 2 ? odd_stride : 0);
    const long here = least(width, channels - c);
    if (whole && here == width) {
      transform_patch<M>(images + offsets[0] + c, plane.w * channels, channels, to, point_stride);
      continue;
    }
    Vec patch[S * S];
    for (int i = 0; i < S * S; ++i) {
      patch[i] = Vec{};
      if (offsets[i] < 0) continue;
      const float* from = images + offsets[i] + c;
      patch[i] = here == width ? load(from) : load_part(from, here);
    }
    transform_patch<M>(reinterpret_cast<const float*>(patch), S * width, width, to, point_stride);
  }
}

/// B^T X B of one tile into row blocks: point p of channel chunk c at out + p * point_stride + c *
/// chunk_stride.
template <int Tile>
void winograd_input(const ImagePlane& plane, const float* images, long index, long y, long x, float* out,
                    long chunk_stride, long point_stride) {
  transform_tile<input_transform<Tile + 2>>(plane, images, index, y, x, out, 2 * chunk_stride, chunk_stride,
                                            point_stride);
}
/// G dY G^T of one tile of output gradients, into panels.
template <int Tile>
void winograd_gradient(const ImagePlane& plane, const float* images, long index, long y, long x, float* out,
                       long panel_stride, long point_stride) {
  transform_tile<kernel_transform<Tile + 2, Tile>>(plane, images, index, y, x, out, panel_stride, width,
                                                   point_stride);
}

/// G g G^T of all kernels of one panel of output channels, in double: the rounding of transformed kernels
/// would meet every output. `flip` turns the taps around, for the gradient of the input.
template <int Tile>
void winograd_kernel(const float* taps, long tap_stride, long in_stride, long out_stride, bool flip,
                     long in_count, long columns, float* to, long point_stride) {
  constexpr int N = Tile + 2;
  constexpr const auto& G = kernel_transform<N, 3>;
  constexpr long half_width = width / 2;
  for (long i = 0; i < in_count; ++i, taps += in_stride)
    for (long first = 0; first < panel; first += half_width, to += half_width) {
      const long here = least(half_width, columns - first);
      DoubleVec half[N][3];
      for (int c = 0; c < 3; ++c) {
        DoubleVec x[3];
        for (int r = 0; r < 3; ++r) {
          const float* from = taps + (flip ? 8 - r * 3 - c : r * 3 + c) * tap_stride + first * out_stride;
          HalfVec v{};
          if (here == half_width && out_stride == 1)
            __builtin_memcpy(&v, from, sizeof v);
          else
            for (long lane = 0; lane < here; ++lane) v[lane] = from[lane * out_stride];
          x[r] = __builtin_convertvector(v, DoubleVec);
        }
        apply<G>(x, [&](int r, DoubleVec v) { half[r][c] = v; });
      }
      for (int r = 0; r < N; ++r)
        apply<G>(half[r], [&](int c, DoubleVec v) {
          const HalfVec rounded = __builtin_convertvector(v, HalfVec);
          __builtin_memcpy(to + (r * N + c) * point_stride, &rounded, sizeof rounded);
        });
    }
}

/// A^T S A of one tile for `channels` channels from `first_channel` on, then the epilogue; pixels outside the
/// images are dropped. With max_pool, `plane` and (y, x) are those of the pooled images.
template <int Tile>
void winograd_output(const ImagePlane& plane, float* images, long index, long y, long x, long first_channel,
                     long channels, const float* sums, long point_stride, const OutputEpilogue& epilogue) {
  constexpr int N = Tile + 2;
  constexpr const auto& A = output_transform<N, Tile>;
  const bool pool = epilogue.max_pool;
  const int size = pool ? Tile / 2 : Tile;
  long offsets[Tile * Tile];
  const bool whole = find_pixels(plane, index, y, x, size, offsets);
  float* to[Tile][Tile] = {};
  for (int r = 0; r < size; ++r)
    for (int c = 0; c < size; ++c)
      if (const long offset = offsets[r * size + c]; offset >= 0) to[r][c] = images + offset + first_channel;
  // A slope of 0 is a bound and no factor, so that infinity becomes 0 and not NaN.
  const bool leaky = epilogue.slope != 0 && epilogue.slope != 1;
  const Vec least_value = splat(epilogue.slope == 0 ? 0.f : -__builtin_inff());
  const float* rows[N];
  for (int r = 0; r < N; ++r) rows[r] = sums + r * N * point_stride;
  for (long k = 0; k < channels; k += width) {
    const long here = least(width, channels - k);
    Vec half[Tile][N];
    long at = k;
    STRATA_NO_UNROLL
    for (int c = 0; c < N; ++c, at += point_stride) {
      Vec s[N];
      STRATA_UNROLL
      for (int r = 0; r < N; ++r) s[r] = load(rows[r] + at);
      apply_by_columns<A>(s, [&](int r, Vec v) { half[r][c] = v; });
    }
    const auto read = [&](const float* from) { return here == width ? load(from) : load_part(from, here); };
    const Vec bias = epilogue.bias ? read(epilogue.bias + k) : Vec{};
    const Vec scale = epilogue.scale ? read(epilogue.scale + k) : Vec{} + 1.f;
    const bool plain = whole && here == width && !leaky && !epilogue.residual;
    const auto finish = [&](float* out, Vec v) {
      v = fma(v, scale, bias);
      if (plain) {
        store(out + k, at_least(least_value, v));
        // The next vector's pixels are in no cache, and the stores would wait for them.
        __builtin_prefetch(out + k + width, 1);
        return;
      }
      if (!out) return;
      if (epilogue.residual) v += read(epilogue.residual + (out - images) + k);
      v = leaky ? (v < 0.f ? v * epilogue.slope : v) : at_least(least_value, v);
      here == width ? store(out + k, v) : store_part(out + k, v, here);
    };
    Vec above[Tile] = {};
    STRATA_NO_UNROLL
    for (int r = 0; r < Tile; ++r) {
      Vec row[Tile];
      apply_by_columns<A>(half[r], [&](int c, Vec v) { row[c] = v; });
      if (!pool) {
        STRATA_UNROLL
        for (int c = 0; c < Tile; ++c) finish(to[r][c], row[c]);
      } else if (r % 2 == 0) {
        STRATA_UNROLL
        for (int c = 0; c < Tile; ++c) above[c] = row[c];
      } else {
        STRATA_UNROLL
        for (int c = 0; c + 1 < Tile; c += 2) {
          float* const out = to[r / 2][c / 2];
          Vec largest = above[c];
          if (epilogue.argmax && out) {
            IVec place{};
            keep_larger(above[c + 1], IVec{} + 1, largest, place);
            keep_larger(row[c], IVec{} + 2, largest, place);
            keep_larger(row[c + 1], IVec{} + 3, largest, place);
            store_places(epilogue.argmax + (out - images) + k, place, here == width ? 0 : here);
          } else {
            largest = max(max(largest, above[c + 1]), max(row[c], row[c + 1]));
          }
          finish(out, largest);
        }
      }
    }
  }
}

/// A^T S A back to 3x3 taps, for rows of sums [points][rows][columns].
template <int Tile>
void winograd_kernel_gradient(long rows, long columns, const float* sums, long row_stride, long point_stride,
                              float* taps, long taps_row_stride, long tap_stride, bool accumulate) {
  constexpr int N = Tile + 2;
  constexpr const auto& A = output_transform<N, 3>;
  for (long i = 0; i < rows; ++i, sums += row_stride, taps += taps_row_stride)
    for (long k = 0; k < columns; k += width) {
      const long here = least(width, columns - k);
      Vec half[3][N];
      for (int c = 0; c < N; ++c) {
        Vec s[N];
        for (int r = 0; r < N; ++r) s[r] = load(sums + (r * N + c) * point_stride + k);
        apply_by_columns<A>(s, [&](int r, Vec v) { half[r][c] = v; });
      }
      for (int r = 0; r < 3; ++r)
        apply_by_columns<A>(half[r], [&](int c, Vec v) {
          float* out = taps + (r * 3 + c) * tap_stride + k;
          if (accumulate) v += here == width ? load(out) : load_part(out, here);
          here == width ? store(out, v) : store_part(out, v, here);
        });
    }
}

template <int Tile>
constexpr WinogradKernels winograd_kernels() {
  WinogradKernels to{Tile,
                     winograd_input<Tile>,
                     winograd_kernel<Tile>,
                     winograd_output<Tile>,
                     winograd_gradient<Tile>,
                     winograd_kernel_gradient<Tile>};
  // A polynomial at 1 is the sum of its coefficients: a row of equal numbers.
  constexpr int N = Tile + 2;
  constexpr const auto& G = kernel_transform<N, Tile>;
  for (int r = 0; r < N; ++r) {
    bool equal = true;
    for (int c = 1; c < Tile; ++c) equal = equal && G.at[r][c] == G.at[r][0];
    if (!equal) continue;
    const double factor = static_cast<double>(static_cast<float>(G.at[r][0]));
    to.sum_point = r * N + r;
    to.sum_scale = 1 / (factor * factor);
  }
  return to;
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
