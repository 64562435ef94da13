#pragma once

// Depthwise convolution, one output per input channel: nothing is summed over channels, which lie side by
// side in NHWC, so they fill the vectors. One row of the output, or of the gradient of the input, per call.

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

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

/// y[ox] = sum over the taps inside the image of x * kernel, for Outputs of them: with Taps in a row of the
/// kernel, Stride and no dilation each column of the image is loaded once. Taps 0: any of these.
template <int Taps, int Stride, int Outputs>
STRATA_ALWAYS_INLINE void depthwise_outputs(const DepthwiseRow& r, long ox, long c, long rest, const float* x,
                                            const float* kernel, float* y) {
  Vec sums[Outputs] = {};
  for (long ky = 0; ky < r.taps_h; ++ky) {
    const float* const from = x + ky * r.tap_step + (ox * r.stride_w - r.pad_left) * r.channels + c;
    const float* const weights = kernel + ky * r.kernel_w * r.channels + c;
    if constexpr (Taps > 0) {
      Vec weight[Taps];
      STRATA_UNROLL
      for (int kx = 0; kx < Taps; ++kx) weight[kx] = load_some(weights + kx * r.channels, rest);
      STRATA_UNROLL
      for (int column = 0; column < (Outputs - 1) * Stride + Taps; ++column) {
        const Vec value = load_some(from + column * r.channels, rest);
        STRATA_UNROLL
        for (int i = 0; i < Outputs; ++i)
          if (const int kx = column - i * Stride; kx >= 0 && kx < Taps)
            sums[i] = fma(value, weight[kx], sums[i]);
      }
    } else {
      for (long kx = 0; kx < r.kernel_w; ++kx) {
        const long ix = ox * r.stride_w - r.pad_left + kx * r.dilation_w;
        if (Outputs == 1 && (ix < 0 || ix >= r.in_w)) continue;
        const Vec weight = load_some(weights + kx * r.channels, rest);
        STRATA_UNROLL
        for (int i = 0; i < Outputs; ++i)
          sums[i] =
              fma(load_some(from + (kx * r.dilation_w + i * r.stride_w) * r.channels, rest), weight, sums[i]);
      }
    }
  }
  STRATA_UNROLL
  for (int i = 0; i < Outputs; ++i) store_some(y + (ox + i) * r.channels + c, sums[i], rest);
}

template <int Taps, int Stride, int Outputs>
STRATA_ALWAYS_INLINE void depthwise_block(const DepthwiseRow& r, long ox, const float* x, const float* kernel,
                                          float* y) {
  for_channels(r.channels, [&](long c, long rest) {
    depthwise_outputs<Taps, Stride, Outputs>(r, ox, c, rest, x, kernel, y);
  });
}

/// Few columns at a time with all their channels, which lie side by side.
template <int Taps, int Stride>
void depthwise_row(const DepthwiseRow& r, const float* x, const float* kernel, float* y) {
  // Between these columns every tap lies inside.
  const long first = columns_under(r, 0).first, last = columns_under(r, r.kernel_w - 1).last;
  for (long ox = 0; ox < r.out_w;) {
    if (ox < first || ox >= last || last - first < 4) {
      depthwise_block<0, 0, 1>(r, ox++, x, kernel, y);
    } else if (ox + 8 <= last) {
      depthwise_block<Taps, Stride, 8>(r, ox, x, kernel, y);
      ox += 8;
    } else {
      const long begin = ox + 4 <= last ? ox : last - 4;  // some are computed twice
      depthwise_block<Taps, Stride, 4>(r, begin, x, kernel, y);
      ox = begin + 4;
    }
  }
}

inline void depthwise(const DepthwiseRow& r, const float* x, const float* kernel, float* y) {
  const auto is = [&](long taps, long stride) {
    return r.kernel_w == taps && r.stride_w == stride && r.dilation_w == 1;
  };
  if (is(3, 1)) return depthwise_row<3, 1>(r, x, kernel, y);
  if (is(3, 2)) return depthwise_row<3, 2>(r, x, kernel, y);
  if (is(5, 1)) return depthwise_row<5, 1>(r, x, kernel, y);
  if (is(5, 2)) return depthwise_row<5, 2>(r, x, kernel, y);
  depthwise_row<0, 0>(r, x, kernel, y);
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
    for (long ky = 0; ky < r.taps_h; ++ky)
      for (long kx = 0; kx < r.kernel_w; ++kx) {
        const Columns columns = columns_under(r, kx);
        const float* const from = x + ky * r.tap_step + (kx * r.dilation_w - r.pad_left) * r.channels + c;
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
