#pragma once

#include <strata/cpu/elementwise_kernels.hpp>
#include <strata/cpu/micro_kernel.hpp>
#include <strata/cpu/packing_kernels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

#if STRATA_CPU_BFLOAT16
/// Two bfloat16 in a unit, the first in its low half. AVX512-BF16 is written in assembly, so that the kernels
/// for AVX-512 hold it whatever the flags; who calls has asked the processor.
struct Bfloat16Pairs {
  static constexpr int per_unit = 2;
  STRATA_ALWAYS_INLINE static Vec narrow(Vec first, Vec second) {
    Vec pairs;
    asm("vcvtne2ps2bf16 {%1, %2, %0|%0, %2, %1}" : "=v"(pairs) : "v"(first), "v"(second));
    return pairs;
  }
  STRATA_ALWAYS_INLINE static Vec units(const float* p) { return narrow(load(p), load(p + width)); }
  STRATA_ALWAYS_INLINE static Vec units(const float* p, long count) {
    return count > width ? narrow(load(p), load_part(p + width, count - width))
                         : narrow(load_part(p, count), Vec{});
  }
  STRATA_ALWAYS_INLINE static Vec broadcast(const float* unit) {
    int bits;  // as a float it may be a signaling NaN
    __builtin_memcpy(&bits, unit, sizeof bits);
    return reinterpret_cast<Vec>(bits - IVec{});
  }
  STRATA_ALWAYS_INLINE static Vec multiply_add(Vec a, Vec b, Vec sum) {
    asm("vdpbf16ps {%2, %1, %0|%0, %1, %2}" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
  STRATA_ALWAYS_INLINE static void multiply_add(const float* unit, Vec b0, Vec b1, Vec& c0, Vec& c1) {
    const Vec s = broadcast(unit);
    c0 = multiply_add(s, b0, c0);
    c1 = multiply_add(s, b1, c1);
  }
};

/// x to the nearest bfloat16, in its high half. NaN stays NaN.
STRATA_ALWAYS_INLINE UVec rounded(Vec x) {
  const UVec bits = reinterpret_cast<UVec>(x), nearest = bits + 0x7fff + (bits >> 16 & 1);
  return (x == x ? nearest : bits | 0x400000) & 0xffff0000;
}

/// Pixels of three floats -> two pairs each, the last number a zero.
inline void narrow_colors(long pixels, const float* from, float* to) {
  const auto apart = [](Vec v) {
    return __builtin_shufflevector(v, Vec{}, 0, 1, 2, 16, 3, 4, 5, 16, 6, 7, 8, 16, 9, 10, 11, 16);
  };
  constexpr long half = 12;  // floats of four pixels
  for (long left = 3 * pixels; left > 0; left -= 2 * half, from += 2 * half, to += width) {
    const bool whole = left >= half + width;
    const Vec first = whole ? load(from) : load_part(from, left < half ? left : half);
    const Vec second = whole ? load(from + half) : left > half ? load_part(from + half, left - half) : Vec{};
    store(to, Bfloat16Pairs::narrow(apart(first), apart(second)));
  }
}

/// Pixels of `channels` floats -> pairs, `units` of them each: where those are more than the channels fill,
/// zeros. Up to a vector of units is written beyond the last.
inline void narrow_pixels(long pixels, long channels, long units, const float* from, float* to) {
  if (channels == 3 && units == 2) return narrow_colors(pixels, from, to);
  const bool together = 2 * units == channels;  // nothing stands between the pixels
  const long rows = together ? 1 : pixels, count = together ? pixels * channels : channels;
  for (long r = 0; r < rows; ++r, from += count, to += units)
    pack_row<Bfloat16Pairs>(&from, 1, count, 1, 0, nullptr, to);
}

/// Rows of floats [k,panel] -> pairs of rows, zeros behind them up to a whole vector of units along k.
inline void narrow_panel(long k, const float* from, float* to) {
  constexpr long numbers = 2 * width;
  const long filled = (k + numbers - 1) / numbers * numbers;
  for (long i = 0; i < filled; i += 2, from += 2 * panel, to += panel)
    for (int c = 0; c < panel; c += width) {
      const Vec first = i < k ? load(from + c) : Vec{}, second = i + 1 < k ? load(from + panel + c) : Vec{};
      store(to + c, reinterpret_cast<Vec>(rounded(first) >> 16 | rounded(second)));
    }
}

/// y = f(scale * sum + bias + residual), or of the largest of 2x2 sums, as floats or, two to a float's place,
/// as bfloat16: pixels of y are `pixel` numbers apart, its lines `line`; the residual lies as a y of floats.
template <bool narrow>
void finish_panel(const ProductEpilogue& e, const PanelSums& sums, long pixel, long line, float* y) {
  constexpr long ahead = 8;  // pixels, which lie too far apart for the processor to foresee them
  constexpr long per_unit = narrow ? 2 : 1;
  const long below = sums.pitch * panel, step = sums.max_pool ? 2 : 1, columns = sums.columns;
  const long left = columns % width, first_rest = columns < width ? left : 0;
  const auto write = [&](auto function, bool activates) {
    for (long l = 0; l + step <= sums.lines; l += step) {
      const float* from = sums.data + l * below;
      long at = l / step * line;
      for (long p = 0; p + step <= sums.positions; p += step, from += step * panel, at += pixel) {
        float* const unit = y + at / per_unit;
        for (long c = 0; c < columns; c += per_unit * width)
          __builtin_prefetch(unit + (ahead * pixel + c) / per_unit, 1);
        const auto value = [&](long c, long rest) {
          Vec v = load(from + c);
          if (sums.max_pool)
            v = max(max(v, load(from + panel + c)),
                    max(load(from + below + c), load(from + below + panel + c)));
          return function(scaled(e, v, c, at + c, rest));
        };
        float values[panel];
        if (!narrow || activates) {
          float* const to = narrow ? values : unit;
          for_channels(columns, [&](long c, long rest) { store_some(to + c, value(c, rest), rest); });
          if (activates) activate(e.f, e.slope, columns, to, to);
        }
        if (narrow) {
          const Vec pairs = activates ? Bfloat16Pairs::units(values, columns)
                                      : Bfloat16Pairs::narrow(value(0, first_rest),
                                                              columns > width ? value(width, left) : Vec{});
          store_some(unit, pairs, columns == panel ? 0 : columns / per_unit);
        }
      }
    }
  };
  if (!with_cheap_function(e.f, e.slope, [&](auto function) { write(function, false); }))
    write([](Vec v) { return v; }, true);
}

#endif

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
