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

/// max_pool, and which element of its window each result is: the first of the largest, or the first NaN.
inline void max_pool_argmax(const PoolRow& row, const float* x, float* y, std::uint8_t* argmax) {
  const long pitch = row.in_w * row.channels;
  for_windows(row, [&](long begin, long end, long out) {
    for_channels(row.channels, [&](long c, long rest) {
      Vec largest = load_some(x + begin * row.channels + c, rest);
      IVec place{}, next{};
      for (long r = 0; r < row.window_h; ++r)
        for (long i = begin; i < end; ++i, next += 1)
          keep_larger(load_some(x + r * pitch + i * row.channels + c, rest), next, largest, place);
      store_some(y + out + c, largest, rest);
      store_places(argmax + out + c, place, rest);
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

/// Gives every element of a window its part of dy: share(columns of the window, offset in y, rest) returns a
/// function of offsets in x, which is called for the elements in order.
template <bool Tiled, class Share>
STRATA_ALWAYS_INLINE void pool_backward(const PoolRow& row, float* dx, Share share) {
  const long pitch = row.in_w * row.channels;
  for_windows(row, [&](long begin, long end, long out) {
    for_channels(row.channels, [&](long c, long rest) {
      auto part = share(end - begin, out + c, rest);
      for (long r = 0; r < row.window_h; ++r)
        for (long i = begin; i < end; ++i) {
          const long at = r * pitch + i * row.channels + c;
          const Vec v = part(at);
          store_some(dx + at, Tiled ? v : load_some(dx + at, rest) + v, rest);
        }
    });
  });
  if (!Tiled) return;
  const long end = (row.out_w * row.stride_w - row.pad_left) * row.channels;  // of what the windows reach
  for (long r = 0; r < row.window_h; ++r)
    for (long i = end; i < pitch; ++i) dx[r * pitch + i] = 0;
}

/// Gives dy to the first element of each window that equals its maximum y.
inline void max_pool_backward(const PoolRow& row, const float* x, const float* y, const float* dy,
                              float* dx) {
  const auto share = [&](long, long out, long rest) {
    return [x, rest, largest = load_some(y + out, rest), left = load_some(dy + out, rest)](long at) mutable {
      const IVec found = load_some(x + at, rest) == largest;
      const Vec given = found ? left : Vec{};
      left = found ? Vec{} : left;
      return given;
    };
  };
  row.tiled ? pool_backward<true>(row, dx, share) : pool_backward<false>(row, dx, share);
}

/// The same by the places of the maxima, of windows that are tiled. dy may lie at the end of dx: a window
/// writes to nothing that one behind it, of a column at least, reads.
inline void max_pool_argmax_backward(const PoolRow& row, const std::uint8_t* argmax, const float* dy,
                                     float* dx) {
  pool_backward<true>(row, dx, [&](long, long out, long rest) {
    return [place = load_places(argmax + out, rest), given = load_some(dy + out, rest)](long) mutable {
      const Vec part = place == 0 ? given : Vec{};
      place -= 1;
      return part;
    };
  });
}

inline void average_pool_backward(const PoolRow& row, const float* dy, float* dx) {
  const auto share = [&](long columns, long out, long rest) {
    const Vec part = load_some(dy + out, rest) * (1.f / static_cast<float>(columns * row.window_h));
    return [part](long) { return part; };
  };
  row.tiled ? pool_backward<true>(row, dx, share) : pool_backward<false>(row, dx, share);
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
