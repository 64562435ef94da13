#pragma once

// Depthwise convolution, one output per input channel: nothing is summed over channels, which lie side by
// side in NHWC, so they fill the vectors. One row of the output, or of the gradient of the input, per call.

#include <strata/cpu/elementwise_kernels.hpp>
#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// Rows of output at a time: their 3 x 6 sums and the kernel take 28 of 32 registers, 2 x 4 sums 15 of 16.
inline constexpr int depthwise_rows = max_rows < 8 ? 2 : 3;

/// The outputs [first, last) whose input column under tap kx lies inside the image.
struct Columns {
  long first, last;
};
STRATA_ALWAYS_INLINE Columns columns_under(const DepthwiseRow& r, long kx) {
  const long offset = kx * r.dilation_w - r.pad_left;  // of the input column from stride * output
  const long first = offset < 0 ? (-offset + r.stride_w - 1) / r.stride_w : 0;
  const long last = r.in_w > offset ? (r.in_w - offset + r.stride_w - 1) / r.stride_w : 0;
  return {first, last < r.out_w ? last : r.out_w};
}

/// y = f(scale * sums + bias + residual) for outputs that lie side by side, the first at `at` of y; an f that
/// is not cheap is left out.
template <int Outputs>
STRATA_ALWAYS_INLINE void store_outputs(const ProductEpilogue& e, Vec (&sums)[Outputs], long channels, long c,
                                        long rest, long at, float* y) {
  const auto change = [&](auto to) {
    STRATA_UNROLL
    for (int i = 0; i < Outputs; ++i) sums[i] = to(sums[i], at + i * channels);
  };
  if (e.scale) change([scale = load_some(e.scale + c, rest)](Vec v, long) { return v * scale; });
  if (e.bias) change([bias = load_some(e.bias + c, rest)](Vec v, long) { return v + bias; });
  if (e.residual) change([&](Vec v, long i) { return v + load_some(e.residual + i, rest); });
  with_cheap_function(e.f, e.slope, [&](auto f) { change([f](Vec v, long) { return f(v); }); });
  STRATA_UNROLL
  for (int i = 0; i < Outputs; ++i) store_some(y + at + i * channels, sums[i], rest);
}

/// Outputs from (row, ox) on in Vectors of channels, all of whose taps [first, last) of a row lie inside.
template <int Vectors, int Outputs>
STRATA_ALWAYS_INLINE void any_outputs(const DepthwiseRow& r, const ProductEpilogue& e, long row, long ox,
                                      long first, long last, long c, long rest, const float* x,
                                      const float* kernel, float* y) {
  Vec sums[Vectors][Outputs] = {};
  const long above = row * r.stride_w;  // rows that its first tap lies below that of the first row
  const long end = r.rows > 1 && r.last_tap - above > 3 ? 3 : r.last_tap - above;
  for (long ky = r.first_tap > above ? r.first_tap - above : 0; ky < end; ++ky) {
    const float* const line = x + (above + ky - r.first_tap) * r.tap_step + c;
    for (long kx = first; kx < last; ++kx) {
      const float* const from = line + (ox * r.stride_w - r.pad_left + kx * r.dilation_w) * r.channels;
      const float* const weights = kernel + (ky * r.kernel_w + kx) * r.channels + c;
      STRATA_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        const Vec weight = load_some(weights + v * width, rest);
        STRATA_UNROLL
        for (int i = 0; i < Outputs; ++i)
          sums[v][i] =
              fma(load_some(from + i * r.stride_w * r.channels + v * width, rest), weight, sums[v][i]);
      }
    }
  }
  STRATA_UNROLL
  for (int v = 0; v < Vectors; ++v)
    store_outputs(e, sums[v], r.channels, c + v * width, rest,
                  (row * r.out_w + ox) * r.channels + c + v * width, y);
}

/// One output of every row, with those of its taps that lie inside: several vectors at a time, since each has
/// but one sum.
inline void border_output(const DepthwiseRow& r, const ProductEpilogue& e, long ox, const float* x,
                          const float* kernel, float* y) {
  const long column = ox * r.stride_w - r.pad_left, d = r.dilation_w;
  const long first = column < 0 ? (d - 1 - column) / d : 0;
  const long inside = r.in_w > column ? (r.in_w - column + d - 1) / d : 0;
  const long last = inside < r.kernel_w ? inside : r.kernel_w;
  constexpr int vectors = 4;
  for (long row = 0; row < r.rows; ++row) {
    long c = 0;
    for (; c + vectors * width <= r.channels; c += vectors * width)
      any_outputs<vectors, 1>(r, e, row, ox, first, last, c, 0, x, kernel, y);
    for_channels(r.channels - c, [&](long more, long rest) {
      any_outputs<1, 1>(r, e, row, ox, first, last, c + more, rest, x, kernel, y);
    });
  }
}

/// Outputs from ox on of all rows, at most Rows, all of whose Taps of a row lie inside, with Stride and no
/// dilation: each input is loaded once.
template <int Taps, int Stride, int Rows, int Outputs>
STRATA_ALWAYS_INLINE void near_outputs(const DepthwiseRow& r, const ProductEpilogue& e, long ox, long c,
                                       long rest, const float* x, const float* kernel, float* y) {
  const long channels = r.channels;
  const float* from = x + (ox * Stride - r.pad_left) * channels + c;
  Vec sums[Rows][Outputs] = {};
  const auto add_line = [&](int line, const float* weights) {
    STRATA_UNROLL
    for (int column = 0; column < (Outputs - 1) * Stride + Taps; ++column) {
      const Vec value = load_some(from + column * channels, rest);
      STRATA_UNROLL
      for (int row = 0; row < Rows; ++row) {
        if (line < row * Stride || line >= row * Stride + Taps) continue;
        STRATA_UNROLL
        for (int i = 0; i < Outputs; ++i)
          if (const int kx = column - i * Stride; kx >= 0 && kx < Taps)
            sums[row][i] =
                fma(value, load_some(weights + (kx - row * Stride * Taps) * channels, rest), sums[row][i]);
      }
    }
    from += r.tap_step;
  };
  const float* const weights = kernel + c;
  if constexpr (Rows == 1) {
    for (long ky = r.first_tap; ky < r.last_tap; ++ky) add_line(0, weights + ky * Taps * channels);
  } else {
    STRATA_UNROLL
    for (int line = 0; line < (Rows - 1) * Stride + Taps; ++line)
      if (line >= r.first_tap && line < r.last_tap) add_line(line, weights + line * Taps * channels);
  }
  STRATA_UNROLL
  for (int row = 0; row < Rows; ++row)
    if (row < r.rows) store_outputs(e, sums[row], channels, c, rest, (row * r.out_w + ox) * channels + c, y);
}

/// Few columns at a time with all their channels, which lie side by side. Taps 0: any, of one row.
template <int Taps, int Stride, int Rows>
void depthwise_row(const DepthwiseRow& r, const ProductEpilogue& e, const float* x, const float* kernel,
                   float* y) {
  // Between these columns every tap lies inside.
  const long first = columns_under(r, 0).first, last = columns_under(r, r.kernel_w - 1).last;
  const auto block = [&]<int Outputs>(long ox) {
    for_channels(r.channels, [&](long c, long rest) {
      if constexpr (Taps > 0)
        near_outputs<Taps, Stride, Rows, Outputs>(r, e, ox, c, rest, x, kernel, y);
      else
        any_outputs<1, Outputs>(r, e, 0, ox, 0, r.kernel_w, c, rest, x, kernel, y);
    });
  };
  constexpr int outputs = Rows == 1 ? 8 : 2 * Rows;
  for (long ox = 0; ox < r.out_w;) {
    // At the end some are computed twice, unless y is then its own residual.
    const bool few = last - first < 4 || (e.residual && last - ox < 4);
    if (ox < first || ox >= last || few) {
      border_output(r, e, ox++, x, kernel, y);
    } else if (ox + outputs <= last) {
      block.template operator()<outputs>(ox);
      ox += outputs;
    } else {
      const long begin = ox + 4 <= last ? ox : last - 4;
      block.template operator()<4>(begin);
      ox = begin + 4;
    }
  }
}

/// y = f(scale * sums + bias + residual) of a row, or of several; x is the first row inside the image.
inline void depthwise(const DepthwiseRow& r, const ProductEpilogue& e, const float* x, const float* kernel,
                      float* y) {
  const auto is = [&](long taps, long stride) {
    return r.kernel_w == taps && r.stride_w == stride && r.dilation_w == 1;
  };
  if (r.rows > 1)
    r.stride_w == 1 ? depthwise_row<3, 1, depthwise_rows>(r, e, x, kernel, y)
                    : depthwise_row<3, 2, depthwise_rows>(r, e, x, kernel, y);
  else if (is(3, 1))
    depthwise_row<3, 1, 1>(r, e, x, kernel, y);
  else if (is(3, 2))
    depthwise_row<3, 2, 1>(r, e, x, kernel, y);
  else if (is(5, 1))
    depthwise_row<5, 1, 1>(r, e, x, kernel, y);
  else if (is(5, 2))
    depthwise_row<5, 2, 1>(r, e, x, kernel, y);
  else
    depthwise_row<0, 0, 1>(r, e, x, kernel, y);
  // Other functions cost more than another pass over what lies in a near cache.
  if (!with_cheap_function(e.f, e.slope, [](auto) {}))
    activate(e.f, e.slope, r.rows * r.out_w * r.channels, y, y);
}

/// Adds to the row dx what one row of dy and one row of the kernel give.
inline void depthwise_backward_input(const DepthwiseRow& r, const float* dy, const float* kernel, float* dx) {
  for (long ox = 0; ox < r.out_w; ++ox)
    for (long kx = 0; kx < r.kernel_w; ++kx) {
      const long ix = ox * r.stride_w - r.pad_left + kx * r.dilation_w;
      if (ix < 0 || ix >= r.in_w) continue;
      for_channels(r.channels, [&](long c, long rest) {
        float* const to = dx + ix * r.channels + c;
        const Vec weight = load_some(kernel + kx * r.channels + c, rest);
        store_some(to, fma(load_some(dy + ox * r.channels + c, rest), weight, load_some(to, rest)), rest);
      });
    }
}

/// Adds to the gradient of the kernel what one row of dy gives.
inline void depthwise_backward_kernel(const DepthwiseRow& r, const float* x, const float* dy,
                                      float* dkernel) {
  for_channels(r.channels, [&](long c, long rest) {
    for (long ky = r.first_tap; ky < r.last_tap; ++ky)
      for (long kx = 0; kx < r.kernel_w; ++kx) {
        const Columns columns = columns_under(r, kx);
        const float* const from =
            x + (ky - r.first_tap) * r.tap_step + (kx * r.dilation_w - r.pad_left) * r.channels + c;
        Vec sum{};
        for (long ox = columns.first; ox < columns.last; ++ox)
          sum = fma(load_some(from + ox * r.stride_w * r.channels, rest),
                    load_some(dy + ox * r.channels + c, rest), sum);
        float* const to = dkernel + (ky * r.kernel_w + kx) * r.channels + c;
        store_some(to, load_some(to, rest) + sum, rest);
      }
  });
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
