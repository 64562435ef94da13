#pragma once

#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/simd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

/// Calls visit(begin, end, offset of the output pixel) for the windows of one output row; [begin, end) are
/// the input columns of the window inside the image.
template <class Visit>
STRATA_ALWAYS_INLINE void for_windows(const PoolRow& row, Visit visit) {
  for (long ox = 0; ox < row.out_w; ++ox) {
    const long left = ox * row.stride_w - row.pad_left, right = left + row.pool_w;
    visit(left > 0 ? left : 0, right < row.in_w ? right : row.in_w, ox * row.channels);
  }
}
/// Calls body(c, rest) for the vectors of `channels`; rest > 0 marks the last, incomplete one.
template <class Body>
STRATA_ALWAYS_INLINE void for_channels(long channels, Body body) {
  long c = 0;
  for (; c + width <= channels; c += width) body(c, 0L);
  if (c < channels) body(c, channels - c);
}
STRATA_ALWAYS_INLINE Vec load_some(const float* p, long rest) {
  return rest ? load_part(p, rest) : load(p);
}
STRATA_ALWAYS_INLINE void store_some(float* p, Vec v, long rest) {
  rest ? store_part(p, v, rest) : store(p, v);
}

/// x points to the first image row of the window, y to the output row.
inline void max_pool(const PoolRow& row, const float* x, float* y) {
  const long pitch = row.in_w * row.channels;
  for_windows(row, [&](long begin, long end, long out) {
    for_channels(row.channels, [&](long c, long rest) {
      Vec largest = load_some(x + begin * row.channels + c, rest);
      for (long r = 0; r < row.window_h; ++r)
        for (long i = begin; i < end; ++i)
          largest = max(largest, load_some(x + r * pitch + i * row.channels + c, rest));
      store_some(y + out + c, largest, rest);
    });
  });
}

inline void average_pool(const PoolRow& row, const float* x, float* y) {
  const long pitch = row.in_w * row.channels;
  for_windows(row, [&](long begin, long end, long out) {
    const float scale = 1.f / static_cast<float>((end - begin) * row.window_h);
    for_channels(row.channels, [&](long c, long rest) {
      Vec sum{};
      for (long r = 0; r < row.window_h; ++r)
        for (long i = begin; i < end; ++i) sum += load_some(x + r * pitch + i * row.channels + c, rest);
      store_some(y + out + c, sum * scale, rest);
    });
  });
}

/// Adds dy to the first element of each window that equals its maximum y.
inline void max_pool_backward(const PoolRow& row, const float* x, const float* y, const float* dy,
                              float* dx) {
  const long pitch = row.in_w * row.channels;
  for_windows(row, [&](long begin, long end, long out) {
    for_channels(row.channels, [&](long c, long rest) {
      const Vec largest = load_some(y + out + c, rest);
      Vec left = load_some(dy + out + c, rest);  // what is not yet given away
      for (long r = 0; r < row.window_h; ++r)
        for (long i = begin; i < end; ++i) {
          const long at = r * pitch + i * row.channels + c;
          const IVec found = load_some(x + at, rest) == largest;
          store_some(dx + at, load_some(dx + at, rest) + (found ? left : Vec{}), rest);
          left = found ? Vec{} : left;
        }
    });
  });
}

inline void average_pool_backward(const PoolRow& row, const float* dy, float* dx) {
  const long pitch = row.in_w * row.channels;
  for_windows(row, [&](long begin, long end, long out) {
    const float scale = 1.f / static_cast<float>((end - begin) * row.window_h);
    for_channels(row.channels, [&](long c, long rest) {
      const Vec share = load_some(dy + out + c, rest) * scale;
      for (long r = 0; r < row.window_h; ++r)
        for (long i = begin; i < end; ++i) {
          const long at = r * pitch + i * row.channels + c;
          store_some(dx + at, load_some(dx + at, rest) + share, rest);
        }
    });
  });
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
