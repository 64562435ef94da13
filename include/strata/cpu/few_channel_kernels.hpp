#pragma once

#include <utility>

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/micro_kernel.hpp>
#include <strata/cpu/simd.hpp>

// Convolutions of few channels: a row of the kernel covers neighbouring numbers of a row of the image, so
// that patches need no packing. Rows of the image are read with their padding.

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// Calls use.template operator()<n>() for n from 1 to Most.
template <int Most, class Use>
STRATA_ALWAYS_INLINE void with_count(long n, Use use) {
  if constexpr (Most > 1) {
    if (n < Most) return with_count<Most - 1>(n, use);
  }
  use.template operator()<Most>();
}

/// multiply_rows with the first vector of the panel alone.
template <int Rows>
void multiply_one_vector(long k, const LeftRows& a, const float* b, float* c, long c_stride) {
  Vec sum[Rows];
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) sum[i] = Vec{};
  const float* first = a.data;
  for (long left = k; left > 0; left -= a.run, first += a.run_step)
    for (long j = 0; j < a.run; ++j, b += panel) {
      const Vec b0 = load(b);
      STRATA_UNROLL
      for (int i = 0; i < Rows; ++i) sum[i] = fma(splat(first[j + i * a.row_step]), b0, sum[i]);
    }
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) store(c + i * c_stride, sum[i]);
}

/// A row of outputs y [positions,columns] from the kernel's panels [taps_h * run,panel]. The epilogue, unless
/// it is null, follows the columns of whole panels.
inline void few_channel_forward(const FewChannelRow& r, const float* x, const float* panels,
                                const ProductEpilogue* epilogue, float* y) {
  const long k = r.taps_h * r.run, blocks = (r.positions + max_rows - 1) / max_rows;
  for (long block = 0, first = 0; block < blocks; ++block) {
    const long rows = (r.positions - first) / (blocks - block);
    with_count<max_rows>(rows, [&]<int Rows>() {
      const LeftRows left{x + first * r.step, r.step, r.run, r.tap_step};
      float* const to = y + first * r.columns;
      for (long column = 0; column < r.columns; column += panel) {
        const float* const b = panels + column * k;
        const long rest = r.columns - column;
        if (rest == width) {
          multiply_one_vector<Rows>(k, left, b, to + column, r.columns);
        } else if (rest >= panel) {
          const ProductEpilogue here =
              part_of(epilogue ? *epilogue : ProductEpilogue{}, r.columns, first, column);
          multiply_rows<Rows>(k, left, b, panel, to + column, r.columns, {false, &here}, {});
        } else {
          float tile[Rows * panel];
          multiply_rows<Rows>(k, left, b, panel, tile, panel, {false, nullptr}, {});
          for (long i = 0; i < Rows; ++i)
            for (long c = 0; c < rest; ++c) to[i * r.columns + column + c] = tile[i * panel + c];
        }
      }
    });
    first += rows;
  }
}

/// sums [Rows,panel] += what one row of dy gives to neighbouring rows of the kernel's gradient.
template <int Rows>
void few_channel_gradient_block(const FewChannelRow& r, const float* x, const float* dy, float* sums) {
  Vec sum[Rows][2];
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = Vec{};
  STRATA_NO_UNROLL
  for (long j = 0; j < r.positions; ++j, x += r.step, dy += r.columns)
    add_outer_product(x, load(dy), load(dy + width), sum);
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    float* to = sums + i * panel;
    store(to, load(to) + sum[i][0]);
    store(to + width, load(to + width) + sum[i][1]);
  }
}

/// sums [columns / panel][taps_h * run][panel] += the gradient of the kernel from one row of outputs, of
/// whose dy the last panel is complete.
inline void few_channel_gradient(const FewChannelRow& r, const float* x, const float* dy, float* sums) {
  const long blocks = (r.run + max_rows - 1) / max_rows, height = (r.run + blocks - 1) / blocks;
  for (long column = 0; column < r.columns; column += panel)
    for (long ky = 0; ky < r.taps_h; ++ky)
      for (long i = 0; i < r.run; i += height) {
        const long rows = i + height <= r.run ? height : r.run - i;
        with_count<max_rows>(rows, [&]<int Rows>() {
          few_channel_gradient_block<Rows>(r, x + ky * r.tap_step + i, dy + column, sums);
        });
        sums += rows * panel;
      }
}

/// Lane i of the result takes, from every group of 2 * Half lanes, one half of a and one of b: the first
/// (Upper = 0) or the second.
template <int Half, int Upper, int... I>
STRATA_ALWAYS_INLINE Vec take_halves(Vec a, Vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(
      a, b, (I / Half % 2 * width + I / (2 * Half) * 2 * Half + Upper * Half + I % Half)...);
}
/// Lane i is the sum of the lanes of v[i]; v [width] is overwritten.
template <int Half = width / 2>
STRATA_ALWAYS_INLINE Vec sums_of_lanes(Vec* v) {
  constexpr std::make_integer_sequence<int, width> lanes{};
  STRATA_UNROLL
  for (int i = 0; i < Half; ++i)
    v[i] = take_halves<Half, 0>(v[i], v[i + Half], lanes) + take_halves<Half, 1>(v[i], v[i + Half], lanes);
  if constexpr (Half > 1)
    return sums_of_lanes<Half / 2>(v);
  else
    return v[0];
}

/// dx of `Pixels` neighbours of Channels each: output channels lie in the lanes, which are added up at the
/// end.
template <int Channels, int Pixels>
void few_channel_input_block(const FewChannelInputRow& r, long first, float* dx) {
  constexpr int count = Channels * Pixels, vectors = (count + width - 1) / width;
  Vec sum[vectors * width];
  STRATA_UNROLL
  for (int i = 0; i < vectors * width; ++i) sum[i] = Vec{};
  for (long t = 0; t < r.taps; ++t) {
    const float *dy = r.dy[t] + first * r.columns, *w = r.kernel[t];
    STRATA_NO_UNROLL
    for (long o = 0; o < r.columns; o += width, dy += width, w += width) {
      Vec weight[Channels];
      STRATA_UNROLL
      for (int c = 0; c < Channels; ++c) weight[c] = load(w + c * r.columns);
      STRATA_UNROLL
      for (int i = 0; i < Pixels; ++i) {
        const Vec d = load(dy + i * r.columns);
        STRATA_UNROLL
        for (int c = 0; c < Channels; ++c) sum[i * Channels + c] = fma(d, weight[c], sum[i * Channels + c]);
      }
    }
  }
  float values[vectors * width];
  STRATA_UNROLL
  for (int i = 0; i < vectors; ++i) store(values + i * width, sums_of_lanes(sum + i * width));
  for (int i = 0; i < Pixels; ++i, dx += r.step)
    for (int c = 0; c < Channels; ++c)
      dx[c] = r.accumulate ? dx[c] + values[i * Channels + c] : values[i * Channels + c];
}

/// Those pixels of a row of dx that meet the same taps.
inline void few_channel_backward_input(const FewChannelInputRow& r, float* dx) {
  with_count<8>(r.channels, [&]<int Channels>() {
    constexpr int together = Channels < width ? width / Channels : 1;
    long first = 0;
    for (; first + together <= r.pixels; first += together)
      few_channel_input_block<Channels, together>(r, first, dx + first * r.step);
    for (; first < r.pixels; ++first) few_channel_input_block<Channels, 1>(r, first, dx + first * r.step);
  });
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
