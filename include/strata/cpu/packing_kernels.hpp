#pragma once

#include <strata/cpu/micro_kernel.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// Copies a few floats, without a call and without reading or writing beyond them.
STRATA_ALWAYS_INLINE void copy(long count, const float* from, float* to) {
  long i = 0;
  for (; i + width <= count; i += width) store(to + i, load(from + i));
  for (; i + 4 <= count; i += 4) __builtin_memcpy(to + i, from + i, 4 * sizeof(float));
  for (; i < count; ++i) to[i] = from[i];
}

/// Writes one row of a row block [k / width][rows][width] (see micro_kernel.hpp) in units: the `channels`
/// numbers behind each of the pointers in `taps`, one after the other. `linear` is scratch for the whole row,
/// used where channels do not fill vectors.
template <class Units = Floats>
void pack_row(const float* const* taps, long tap_count, long channels, int rows, int row, float* linear,
              float* block) {
  float* out = block + row * width;
  const long step = static_cast<long>(rows) * width;
  constexpr long numbers = width * Units::per_unit;  // in a vector of units
  if (channels % numbers == 0) {
    for (long t = 0; t < tap_count; ++t)
      for (long c = 0; c < channels; c += numbers, out += step) store(out, Units::units(taps[t] + c));
    return;
  }
  const float* source = taps[0];
  const long k = tap_count * channels;
  if (tap_count > 1) {
    source = linear;
    for (long t = 0; t < tap_count; ++t, linear += channels) copy(channels, taps[t], linear);
  }
  long c = 0;
  for (; c + numbers <= k; c += numbers, out += step) store(out, Units::units(source + c));
  if (c < k) store(out, Units::units(source + c, k - c));
}

/// b [k,columns] -> [ceil(columns / panel)][k][panel], the last panel filled up with zeros.
inline void pack_panels(long k, long columns, const float* b, long b_stride, float* panels) {
  for (long j = 0; j < columns; j += panel) {
    const float* from = b + j;
    const long left = columns - j;
    for (long i = 0; i < k; ++i, from += b_stride, panels += panel) {
      if (left >= panel) {
        store(panels, load(from));
        store(panels + width, load(from + width));
      } else {
        for (int c = 0; c < panel; ++c) panels[c] = c < left ? from[c] : 0.f;
      }
    }
  }
}

/// The same for b given as its transpose [columns,k]; panels are `panel_stride` apart.
inline void pack_panels_transposed(long k, long columns, const float* b, long b_stride, float* panels,
                                   long panel_stride) {
  constexpr long tile = 16;  // rows read together stay in the nearest cache
  for (long j = 0; j < columns; j += panel, panels += panel_stride) {
    const long here = columns - j < panel ? columns - j : panel;
    for (long i0 = 0; i0 < k; i0 += tile) {
      const long i1 = i0 + tile < k ? i0 + tile : k;
      for (long c = 0; c < here; ++c)
        for (long i = i0; i < i1; ++i) panels[i * panel + c] = b[(j + c) * b_stride + i];
      for (long c = here; c < panel; ++c)
        for (long i = i0; i < i1; ++i) panels[i * panel + c] = 0.f;
    }
  }
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
