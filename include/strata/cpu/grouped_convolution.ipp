#pragma once

#include <algorithm>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/convolution.ipp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Rows of a depthwise convolution's output, and the first row of the image that they read.
struct DepthwiseTaps {
  DepthwiseRow row;
  std::int64_t first_input_row;
};
/// For output row `oy`, or `rows` from there on; channels are those of the output.
inline DepthwiseTaps depthwise_taps(const Conv2DGeometry& g, std::int64_t oy, std::int64_t rows = 1) {
  const std::int64_t top = oy * g.stride_h - g.pad_top, d = g.dilation_h;
  const std::int64_t taps = g.kernel_h + (rows - 1) * g.stride_h;
  const std::int64_t first = top < 0 ? divide_up(-top, d) : 0;
  const std::int64_t last = std::min(taps, g.in_h > top ? divide_up(g.in_h - top, d) : 0);
  return {{g.in_w, g.out_c, g.out_w, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left, rows, first,
           std::max(first, last), d * g.in_w * g.out_c},
          top + first * d};
}
/// Rows of output that lie over the same rows of the image can be computed at once: see DepthwiseRow.
inline bool joins_rows(const Conv2DGeometry& g) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.dilation_h == 1 && g.dilation_w == 1 &&
         g.stride_h == g.stride_w && g.stride_h <= 2;
}

/// Every element `times` times: inputs of a depthwise convolution that makes several outputs of each. Costs
/// their memory; with one output per input nothing is copied.
inline void repeat_channels(ThreadPool& pool, std::int64_t count, std::int64_t times, const float* x,
                            float* y) {
  pool.for_range(count, row_grain(times), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) std::fill_n(y + i * times, times, x[i]);
  });
}

STRATA_COLD STRATA_INLINE void CpuBackend::grouped_conv2d(const Conv2DGeometry& g, const float* x,
                                                          const float* kernel,
                                                          const Epilogue<float>& epilogue, float* y) {
  const Activation& f = epilogue.activation;
  if (g.group_in() == 1) {
    const std::int64_t times = g.group_out(), pixels = g.batch * g.in_h * g.in_w;
    const auto repeated = workspace_.lease(times > 1 ? pixels * g.out_c : 0);
    if (times > 1) repeat_channels(pool_, pixels * g.in_c, times, x, repeated.data());
    const float* const in = times > 1 ? repeated.data() : x;
    const std::int64_t pitch = g.out_w * g.out_c;
    const std::int64_t rows = joins_rows(g) ? kernels_.depthwise_rows : 1, steps = divide_up(g.out_h, rows);
    // Neighbours share rows of the image: a task takes several where enough tasks are left.
    const std::int64_t several = std::min(16 / rows, g.batch * steps / wanted_tasks);
    const std::int64_t grain = std::max(several, row_grain(rows * pitch * g.kernel_h * g.kernel_w));
    pool_.for_range(g.batch * steps, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t n = i / steps, oy = i % steps * rows, line = n * g.out_h + oy;
        const auto [row, in_row] = depthwise_taps(g, oy, std::min(rows, g.out_h - oy));
        kernels_.depthwise(row, epilogue_of(epilogue, g.out_c, line * g.out_w),
                           in + (n * g.in_h + in_row) * g.in_w * g.out_c, kernel, y + line * pitch);
      }
    });
  } else {
    // Correct, not yet fast: every group is copied out, computed as any convolution, and copied back.
    const Conv2DGeometry one = one_group(g);
    const std::int64_t in = g.batch * g.in_h * g.in_w, out = g.batch * g.out_h * g.out_w;
    const std::int64_t taps = g.kernel_h * g.kernel_w * one.in_c;
    const auto memory = workspace_.lease(in * one.in_c + taps * one.out_c + out * one.out_c);
    float *const part_x = memory.data(), *const part_kernel = part_x + in * one.in_c;
    float* const part_y = part_kernel + taps * one.out_c;
    for (std::int64_t group = 0; group < g.groups; ++group) {
      const std::int64_t first = group * one.out_c;
      copy_block(in, one.in_c, x + group * one.in_c, g.in_c, part_x, one.in_c);
      copy_block(taps, one.out_c, kernel + first, g.out_c, part_kernel, one.out_c);
      conv2d(one, part_x, {part_kernel}, {}, part_y);
      copy_block(out, one.out_c, part_y, one.out_c, y + first, g.out_c);
    }
    pool_.for_range(out, row_grain(g.out_c), [&](std::int64_t begin, std::int64_t end) {
      kernels_.finish(epilogue_of(epilogue, g.out_c, begin), end - begin, g.out_c, g.out_c,
                      y + begin * g.out_c);
    });
  }
  if (f.kind == Activation::Kind::softmax) activation(f, g.batch * g.out_h * g.out_w, g.out_c, y, y);
}

STRATA_COLD STRATA_INLINE void CpuBackend::grouped_backward_input(const Conv2DGeometry& g, const float* dy,
                                                                  const float* kernel, Gradient<float> dx) {
  if (g.group_in() == 1 && g.group_out() == 1 && g.stride_h == 1 && g.stride_w == 1 && !dx.accumulate) {
    // dy convolved with the kernel turned round.
    const std::int64_t taps = g.kernel_h * g.kernel_w;
    const auto turned = workspace_.lease(taps * g.out_c);
    for (std::int64_t t = 0; t < taps; ++t)
      std::copy_n(kernel + (taps - 1 - t) * g.out_c, g.out_c, turned.data() + t * g.out_c);
    return grouped_conv2d(transposed(g), dy, turned.data(), {}, dx.data);
  }
  if (g.group_in() == 1) {
    const std::int64_t times = g.group_out(), pitch = g.in_w * g.out_c;
    const auto repeated = workspace_.lease(times > 1 ? g.batch * g.in_h * pitch : 0);
    float* const out = times > 1 ? repeated.data() : dx.data;
    pool_.for_range(g.batch * g.in_h, row_grain(pitch * g.kernel_h * g.kernel_w),
                    [&](std::int64_t begin, std::int64_t end) {
                      const DepthwiseRow row = depthwise_taps(g, 0).row;
                      for (std::int64_t line = begin; line < end; ++line) {
                        if (times > 1 || !dx.accumulate) std::fill_n(out + line * pitch, pitch, 0.f);
                        for (std::int64_t ky = 0; ky < g.kernel_h; ++ky) {
                          const std::int64_t top = line % g.in_h + g.pad_top - ky * g.dilation_h;
                          if (top < 0 || top % g.stride_h != 0 || top / g.stride_h >= g.out_h) continue;
                          const std::int64_t out_row = line / g.in_h * g.out_h + top / g.stride_h;
                          kernels_.depthwise_backward_input(row, dy + out_row * g.out_w * g.out_c,
                                                            kernel + ky * g.kernel_w * g.out_c,
                                                            out + line * pitch);
                        }
                      }
                    });
    if (times == 1) return;
    pool_.for_range(g.batch * g.in_h * g.in_w * g.in_c, row_grain(times),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        float sum = dx.accumulate ? dx.data[i] : 0;
                        for (std::int64_t t = 0; t < times; ++t) sum += out[i * times + t];
                        dx.data[i] = sum;
                      }
                    });
    return;
  }
  const Conv2DGeometry one = one_group(g);
  const std::int64_t in = g.batch * g.in_h * g.in_w, out = g.batch * g.out_h * g.out_w;
  const std::int64_t taps = g.kernel_h * g.kernel_w * one.in_c;
  const auto memory = workspace_.lease(in * one.in_c + taps * one.out_c + out * one.out_c);
  float *const part_dx = memory.data(), *const part_kernel = part_dx + in * one.in_c;
  float* const part_dy = part_kernel + taps * one.out_c;
  for (std::int64_t group = 0; group < g.groups; ++group) {
    copy_block(out, one.out_c, dy + group * one.out_c, g.out_c, part_dy, one.out_c);
    copy_block(taps, one.out_c, kernel + group * one.out_c, g.out_c, part_kernel, one.out_c);
    float* const to = dx.data + group * one.in_c;
    if (dx.accumulate) copy_block(in, one.in_c, to, g.in_c, part_dx, one.in_c);
    conv2d_backward_input(one, part_dy, {part_kernel}, {part_dx, dx.accumulate});
    copy_block(in, one.in_c, part_dx, one.in_c, to, g.in_c);
  }
}

STRATA_COLD STRATA_INLINE void CpuBackend::grouped_backward_kernel(const Conv2DGeometry& g, const float* x,
                                                                   const float* dy, Gradient<float> dkernel) {
  const std::int64_t in = g.batch * g.in_h * g.in_w, out = g.batch * g.out_h * g.out_w;
  if (g.group_in() == 1) {
    // Rows of dy fall into blocks by sizes alone; their sums are added in order.
    constexpr std::int64_t most_blocks = 32;
    const std::int64_t times = g.group_out(), lines = g.batch * g.out_h;
    const std::int64_t block = std::max<std::int64_t>(1, divide_up(lines, most_blocks));
    const std::int64_t blocks = divide_up(lines, block), size = g.kernel_h * g.kernel_w * g.out_c;
    const auto memory = workspace_.lease(blocks * size + (times > 1 ? in * g.out_c : 0));
    float *const partial = memory.data(), *const repeated = partial + blocks * size;
    if (times > 1) repeat_channels(pool_, in * g.in_c, times, x, repeated);
    const float* const from = times > 1 ? repeated : x;
    pool_.run(blocks, [&](std::int64_t b, int) {
      float* const sums = partial + b * size;
      std::fill_n(sums, size, 0.f);
      for (std::int64_t line = b * block; line < std::min(lines, (b + 1) * block); ++line) {
        const auto [row, in_row] = depthwise_taps(g, line % g.out_h);
        kernels_.depthwise_backward_kernel(row, from + (line / g.out_h * g.in_h + in_row) * g.in_w * g.out_c,
                                           dy + line * g.out_w * g.out_c, sums);
      }
    });
    if (!dkernel.accumulate) std::fill_n(dkernel.data, size, 0.f);
    for (std::int64_t b = 0; b < blocks; ++b) kernels_.add(size, partial + b * size, dkernel.data);
    return;
  }
  const Conv2DGeometry one = one_group(g);
  const std::int64_t taps = g.kernel_h * g.kernel_w * one.in_c;
  const auto memory = workspace_.lease(in * one.in_c + taps * one.out_c + out * one.out_c);
  float *const part_x = memory.data(), *const part_dkernel = part_x + in * one.in_c;
  float* const part_dy = part_dkernel + taps * one.out_c;
  for (std::int64_t group = 0; group < g.groups; ++group) {
    float* const to = dkernel.data + group * one.out_c;
    copy_block(in, one.in_c, x + group * one.in_c, g.in_c, part_x, one.in_c);
    copy_block(out, one.out_c, dy + group * one.out_c, g.out_c, part_dy, one.out_c);
    if (dkernel.accumulate) copy_block(taps, one.out_c, to, g.out_c, part_dkernel, one.out_c);
    conv2d_backward_kernel(one, part_x, part_dy, {part_dkernel, dkernel.accumulate});
    copy_block(taps, one.out_c, part_dkernel, one.out_c, to, g.out_c);
  }
}

}}}  // namespace strata::STRATA_ABI::cpu
