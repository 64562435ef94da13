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

/// y[ox] = sum over the taps inside the image of x * kernel, Outputs at a time: they share loads of the
/// kernel.
template <int Outputs>
STRATA_ALWAYS_INLINE void depthwise_outputs(const DepthwiseRow& r, long ox, long c, long rest, const float* x,
                                            const float* kernel, float* y) {
  const auto read = [&](const float* p) { return rest ? load_part(p, rest) : load(p); };
  Vec sums[Outputs] = {};
  for (long ky = 0; ky < r.taps_h; ++ky)
    for (long kx = 0; kx < r.kernel_w; ++kx) {
      const long ix = ox * r.stride_w - r.pad_left + kx * r.dilation_w;
      if (Outputs == 1 && (ix < 0 || ix >= r.in_w)) continue;
      const float* from = x + ky * r.tap_step + ix * r.channels + c;
      const Vec weight = read(kernel + (ky * r.kernel_w + kx) * r.channels + c);
      STRATA_UNROLL
      for (int i = 0; i < Outputs; ++i)
        sums[i] = fma(read(from + i * r.stride_w * r.channels), weight, sums[i]);
    }
  for (int i = 0; i < Outputs; ++i) {
    float* to = y + (ox + i) * r.channels + c;
    rest ? store_part(to, sums[i], rest) : store(to, sums[i]);
  }
}

inline void depthwise(const DepthwiseRow& r, const float* x, const float* kernel, float* y) {
  constexpr int together = 4;
  // Between these columns every tap lies inside.
  const long first = columns_under(r, 0).first, last = columns_under(r, r.kernel_w - 1).last;
  for (long c = 0; c < r.channels; c += width) {
    const long rest = r.channels - c < width ? r.channels - c : 0;
    for (long ox = 0; ox < r.out_w;) {
      if (ox >= first && ox + together <= last) {
        depthwise_outputs<together>(r, ox, c, rest, x, kernel, y);
        ox += together;
      } else {
        depthwise_outputs<1>(r, ox++, c, rest, x, kernel, y);
      }
    }
  }
}

/// Adds to the row dx what one row of dy and one row of the kernel give.
inline void depthwise_backward_input(const DepthwiseRow& r, const float* dy, const float* kernel, float* dx) {
  for (long c = 0; c < r.channels; c += width) {
    const long rest = r.channels - c < width ? r.channels - c : 0;
    const auto read = [&](const float* p) { return rest ? load_part(p, rest) : load(p); };
    for (long kx = 0; kx < r.kernel_w; ++kx) {
      const Vec weight = read(kernel + kx * r.channels + c);
      const Columns columns = columns_under(r, kx);
      for (long ox = columns.first; ox < columns.last; ++ox) {
        float* to = dx + (ox * r.stride_w - r.pad_left + kx * r.dilation_w) * r.channels + c;
        const Vec sum = fma(read(dy + ox * r.channels + c), weight, read(to));
        rest ? store_part(to, sum, rest) : store(to, sum);
      }
    }
  }
}

/// Adds to the gradient of the kernel what one row of dy gives.
inline void depthwise_backward_kernel(const DepthwiseRow& r, const float* x, const float* dy,
                                      float* dkernel) {
  for (long c = 0; c < r.channels; c += width) {
    const long rest = r.channels - c < width ? r.channels - c : 0;
    const auto read = [&](const float* p) { return rest ? load_part(p, rest) : load(p); };
    for (long ky = 0; ky < r.taps_h; ++ky)
      for (long kx = 0; kx < r.kernel_w; ++kx) {
        const Columns columns = columns_under(r, kx);
        const float* from = x + ky * r.tap_step + (kx * r.dilation_w - r.pad_left) * r.channels + c;
        Vec sum{};
        for (long ox = columns.first; ox < columns.last; ++ox)
          sum = fma(read(from + ox * r.stride_w * r.channels), read(dy + ox * r.channels + c), sum);
        float* to = dkernel + (ky * r.kernel_w + kx) * r.channels + c;
        rest ? store_part(to, read(to) + sum, rest) : store(to, read(to) + sum);
      }
  }
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
