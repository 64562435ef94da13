#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_COLD STRATA_INLINE std::vector<double> CpuBackend::reduce_rows(
    std::int64_t rows, std::int64_t channels, FunctionRef<void(std::int64_t, std::int64_t, double*)> block) {
  constexpr std::int64_t block_rows = 128;
  const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
  std::vector<double> partial(static_cast<std::size_t>(blocks * channels));
  pool_.for_range(blocks, std::max<std::int64_t>(1, row_grain(channels) / block_rows),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t b = begin; b < end; ++b)
                      block(b * block_rows, std::min(block_rows, rows - b * block_rows),
                            partial.data() + b * channels);
                  });
  std::vector<double> sums(static_cast<std::size_t>(channels), 0.0);
  for (std::int64_t b = 0; b < blocks; ++b)
    for (std::int64_t c = 0; c < channels; ++c)
      sums[static_cast<std::size_t>(c)] += partial[static_cast<std::size_t>(b * channels + c)];
  return sums;
}

STRATA_COLD STRATA_INLINE void CpuBackend::bias_gradient(std::int64_t rows, std::int64_t channels,
                                                         const float* dy, Gradient<float> dbias) {
  const auto sums = reduce_rows(rows, channels, [&](std::int64_t first, std::int64_t count, double* out) {
    kernels_.column_sums(count, channels, dy + first * channels, out);
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    const float sum = static_cast<float>(sums[static_cast<std::size_t>(c)]);
    dbias.data[c] = dbias.accumulate ? dbias.data[c] + sum : sum;
  }
}

STRATA_COLD STRATA_INLINE void CpuBackend::activation(const Activation& f, std::int64_t rows,
                                                      std::int64_t channels, const float* x, float* y) {
  if (f.kind == Activation::Kind::softmax) {
    pool_.for_range(rows, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
      kernels_.softmax(end - begin, channels, x + begin * channels, y + begin * channels);
    });
    return;
  }
  pool_.for_range(rows * channels, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    kernels_.activate(function_of(f), static_cast<float>(f.negative_slope), end - begin, x + begin,
                      y + begin);
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::activation_backward(const Activation& f, std::int64_t rows,
                                                               std::int64_t channels, const float* x,
                                                               const float* y, const float* dy, float* dx) {
  if (f.kind == Activation::Kind::softmax) {
    pool_.for_range(rows, row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t at = begin * channels;
      kernels_.softmax_backward(end - begin, channels, y + at, dy + at, dx + at);
    });
    return;
  }
  const float* const from = derivative_needs_input(f.kind) ? x : y;
  pool_.for_range(rows * channels, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    kernels_.activate_backward(function_of(f), static_cast<float>(f.negative_slope), end - begin,
                               from + begin, dy + begin, dx + begin);
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::affine(std::int64_t count, float scale, float offset,
                                                  const float* x, float* y) {
  pool_.for_range(count, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    kernels_.affine(end - begin, scale, offset, x + begin, y + begin);
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::axpy(std::int64_t count, float alpha, const float* x, float* y) {
  pool_.for_range(count, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    kernels_.axpy(end - begin, alpha, x + begin, y + begin);
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::copy_block(std::int64_t rows, std::int64_t columns, const float* x,
                                                      std::int64_t x_stride, float* y,
                                                      std::int64_t y_stride) {
  if (columns == 0) return;
  pool_.for_range(rows, row_grain(columns), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      std::memcpy(y + r * y_stride, x + r * x_stride, static_cast<std::size_t>(columns) * sizeof(float));
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::pad2d(const Pad2DGeometry& g, const float* x, float* y) {
  const std::int64_t out_h = g.top + g.in_h + g.bottom;
  const std::int64_t left = g.left * g.channels, inner = g.in_w * g.channels, right = g.right * g.channels;
  const std::int64_t pitch = left + inner + right;
  pool_.for_range(g.batch * out_h, row_grain(pitch), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t image = row / out_h, in_row = row % out_h - g.top;
      float* to = y + row * pitch;
      if (in_row < 0 || in_row >= g.in_h) {
        std::fill_n(to, pitch, 0.f);
        continue;
      }
      std::fill_n(to, left, 0.f);
      std::copy_n(x + (image * g.in_h + in_row) * inner, inner, to + left);
      std::fill_n(to + left + inner, right, 0.f);
    }
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::pad2d_backward(const Pad2DGeometry& g, const float* dy,
                                                          float* dx) {
  const std::int64_t out_h = g.top + g.in_h + g.bottom, inner = g.in_w * g.channels;
  const std::int64_t pitch = (g.left + g.in_w + g.right) * g.channels;
  pool_.for_range(g.batch * g.in_h, row_grain(inner), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t out_row = row / g.in_h * out_h + g.top + row % g.in_h;
      std::copy_n(dy + out_row * pitch + g.left * g.channels, inner, dx + row * inner);
    }
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::dropout(std::int64_t count, double rate,
                                                   const RandomStream& random, const float* x, float* y) {
  const auto key = random.key();
  const float scale = static_cast<float>(1 / (1 - rate));
  // The least 24-bit number that is not below rate: comparing floats with it is comparing them with rate.
  const float threshold = static_cast<float>(std::ceil(rate * 0x1p24) * 0x1p-24);
  pool_.for_range(count, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    kernels_.dropout(begin / 4, end - begin, threshold, scale, key.data(), random.step(), x + begin,
                     y + begin);
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
