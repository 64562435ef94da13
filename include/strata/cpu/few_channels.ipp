#pragma once

#include <algorithm>
#include <vector>

#include <strata/cpu/few_channels.hpp>
#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

inline PaddedRows padded_input(const Conv2DGeometry& g) {
  return {g.in_h, g.in_w, g.in_c, g.pad_left, (g.out_w - 1) * g.stride_w + g.kernel_w};
}
inline FewChannelRow row_of(const Conv2DGeometry& g) {
  return {static_cast<long>(g.out_w),
          static_cast<long>(g.stride_w * g.in_c),
          static_cast<long>(g.kernel_h),
          static_cast<long>(g.dilation_h * padded_input(g).size()),
          static_cast<long>(g.kernel_w * g.in_c),
          static_cast<long>(g.out_c)};
}
/// Rows of outputs that a task takes, and the rows of inputs they see.
inline std::int64_t rows_together(const Conv2DGeometry& g) {
  constexpr std::int64_t floats = 64 * 1024;  // what stays in the second-level cache
  return std::clamp<std::int64_t>(floats / (g.stride_h * padded_input(g).size()), 1,
                                  std::min<std::int64_t>(16, g.out_h));
}
inline std::int64_t rows_seen(const Conv2DGeometry& g, std::int64_t rows) {
  return (rows - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1;
}

/// Rows of outputs as they are computed, and the rows of y that come of them: two and one where these are
/// pooled.
struct OutputRows {
  std::int64_t each, count, width;  ///< rows at a time; of y, in a picture: rows and pixels
  PoolRow pool;
  std::int64_t together;  ///< rows of y that a task takes

  OutputRows(const Conv2DGeometry& g, bool max_pool, std::int64_t threads = 1)
      : each(max_pool ? 2 : 1),
        count(g.out_h / each),
        width(g.out_w / each),
        pool{g.out_w, g.out_c, width, 2, 2, 0, 2, true},
        together(fair_share(count, std::max<std::int64_t>(1, rows_together(g) / each), threads, g.batch)) {}
};

STRATA_INLINE std::int64_t few_channel_scratch(const Engine& engine, const Conv2DGeometry& g, bool max_pool) {
  const OutputRows rows(g, max_pool, engine.pool.threads());
  return engine.pool.threads() * (rows_seen(g, rows.together * rows.each) * padded_input(g).size() +
                                  (max_pool ? rows.each * g.out_w * g.out_c : 0));
}

STRATA_INLINE void few_channel_convolution(const Engine& engine, const Conv2DGeometry& g, const float* x,
                                           const float* panels, const Epilogue<float>& epilogue, float* y) {
  const KernelTable& kernels = engine.kernels;
  const PaddedRows padded = padded_input(g);
  const FewChannelRow row = row_of(g);
  const bool max_pool = epilogue.max_pool_2x2;
  const OutputRows out(g, max_pool, engine.pool.threads());
  const std::int64_t finished = max_pool ? 0 : g.out_c / kernels.panel() * kernels.panel();  // columns
  const std::int64_t parts = divide_up(out.count, out.together), line = out.width * g.out_c;
  const std::int64_t inputs_size = rows_seen(g, out.together * out.each) * padded.size();
  const std::int64_t scratch = few_channel_scratch(engine, g, max_pool);
  const auto memory = engine.workspace.lease(scratch);
  engine.pool.run(g.batch * parts, [&](std::int64_t task, int worker) {
    float* const inputs = memory.data() + worker * (scratch / engine.pool.threads());
    const std::int64_t image = task / parts, first = task % parts * out.together;
    const std::int64_t rows = std::min(out.together, out.count - first);
    padded.copy(x + image * g.in_h * g.in_w * g.in_c, first * out.each * g.stride_h - g.pad_top,
                rows_seen(g, rows * out.each), inputs);
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t number = image * out.count + first + i;
      float* const to = y + number * line;
      float* const computed = max_pool ? inputs + inputs_size : to;
      const ProductEpilogue whole = epilogue_of(epilogue, g.out_c, number * out.width);
      for (std::int64_t r = 0; r < out.each; ++r)
        kernels.few_channel_forward(row, inputs + (i * out.each + r) * g.stride_h * padded.size(), panels,
                                    max_pool ? nullptr : &whole, computed + r * g.out_w * g.out_c);
      // What follows is increasing where there is a pooling, and may follow that.
      if (epilogue.argmax)
        kernels.max_pool_argmax(out.pool, computed, to, epilogue.argmax + number * line);
      else if (max_pool)
        kernels.max_pool(out.pool, computed, to);
      if (finished < g.out_c)
        kernels.finish(part_of(whole, g.out_c, 0, finished), out.width, g.out_c - finished, g.out_c,
                       to + finished);
    }
  });
}

STRATA_INLINE void few_channel_input_gradient(const Engine& engine, const Conv2DGeometry& g, const float* dy,
                                              const float* kernel, float* dx, bool accumulate) {
  // Pixels that agree modulo the stride meet the same taps.
  const std::int64_t left = std::max<std::int64_t>(0, divide_up(g.kernel_w - 1 - g.pad_left, g.stride_w));
  const PaddedRows padded{g.out_h, g.out_w, g.out_c, left,
                          left + std::max(g.out_w, (g.in_w - 1 + g.pad_left) / g.stride_w + 1)};
  constexpr std::int64_t floats = 64 * 1024;
  const std::int64_t together =
      std::clamp<std::int64_t>(g.stride_h * floats / padded.size(), 1, std::min<std::int64_t>(16, g.in_h));
  const std::int64_t parts = divide_up(g.in_h, together);
  // Of dy, those that rows [first, last) of dx see.
  const auto dy_rows = [&](std::int64_t first, std::int64_t last) {
    const std::int64_t begin = divide_up(first + g.pad_top - (g.kernel_h - 1) * g.dilation_h, g.stride_h);
    return std::pair(std::max<std::int64_t>(0, begin),
                     std::min(g.out_h, (last - 1 + g.pad_top) / g.stride_h + 1));
  };
  const std::int64_t scratch =
      std::min(g.out_h, divide_up(together + (g.kernel_h - 1) * g.dilation_h, g.stride_h) + 1) *
      padded.size();
  const auto memory = engine.workspace.lease(engine.pool.threads() * scratch);
  engine.pool.run(g.batch * parts, [&](std::int64_t task, int worker) {
    float* const gradients = memory.data() + worker * scratch;
    const std::int64_t image = task / parts, first = task % parts * together;
    const std::int64_t last = std::min(g.in_h, first + together);
    const auto [begin, end] = dy_rows(first, last);
    padded.copy(dy + image * g.out_h * g.out_w * g.out_c, begin, std::max<std::int64_t>(0, end - begin),
                gradients);
    std::vector<const float*> from, taps;
    for (std::int64_t y = first; y < last; ++y)
      for (std::int64_t phase = 0; phase < std::min(g.stride_w, g.in_w); ++phase) {
        from.clear(), taps.clear();
        for (std::int64_t ky = 0; ky < g.kernel_h; ++ky) {
          const std::int64_t row = y + g.pad_top - ky * g.dilation_h;
          if (row < 0 || row % g.stride_h != 0 || row / g.stride_h >= g.out_h) continue;
          for (std::int64_t kx = 0; kx < g.kernel_w; ++kx) {
            const std::int64_t column = phase + g.pad_left - kx;
            if (column % g.stride_w != 0) continue;
            from.push_back(gradients + (row / g.stride_h - begin) * padded.size() +
                           (left + column / g.stride_w) * g.out_c);
            taps.push_back(kernel + (ky * g.kernel_w + kx) * g.in_c * g.out_c);
          }
        }
        engine.kernels.few_channel_backward_input(
            {static_cast<long>(divide_up(g.in_w - phase, g.stride_w)), static_cast<long>(g.in_c),
             static_cast<long>(g.stride_w * g.in_c), static_cast<long>(g.out_c),
             static_cast<long>(from.size()), from.data(), taps.data(), accumulate},
            dx + ((image * g.in_h + y) * g.in_w + phase) * g.in_c);
      }
  });
}

STRATA_INLINE void few_channel_kernel_gradient(const Engine& engine, const Conv2DGeometry& g, const float* x,
                                               const float* dy, Gradient<float> dkernel,
                                               Gradient<float> dbias, const std::uint8_t* argmax) {
  // A task owns rows of dy and sums of its own, which are added in order at the end.
  const KernelTable& kernels = engine.kernels;
  const PaddedRows padded = padded_input(g);
  FewChannelRow row = row_of(g);
  const std::int64_t panel = kernels.panel(), columns = divide_up(g.out_c, panel) * panel;
  row.columns = static_cast<long>(columns);
  const OutputRows out(g, argmax);
  const std::int64_t k = g.kernel_h * g.kernel_w * g.in_c, line = out.width * g.out_c;
  const std::int64_t lines = g.batch * out.count, tasks = std::min(lines, wanted_tasks);
  const std::int64_t inputs_size = rows_seen(g, out.together * out.each) * padded.size();
  const bool whole = columns == g.out_c;
  const std::int64_t part_size = whole ? 0 : g.out_w * columns;
  const std::int64_t scratch = inputs_size + part_size + (argmax ? out.each * g.out_w * g.out_c : 0);
  const auto memory = engine.workspace.lease(tasks * k * columns + engine.pool.threads() * scratch);
  float* const all_sums = memory.data();
  std::vector<double> bias(static_cast<std::size_t>(dbias.data ? 2 * tasks * g.out_c : 0));

  engine.pool.run(tasks, [&](std::int64_t task, int worker) {
    float* const sums = all_sums + task * k * columns;
    float* const inputs = all_sums + tasks * k * columns + worker * scratch;
    float* const part = inputs + inputs_size;  // a row of dy, its last panel filled up with zeros
    float* const unpooled = part + part_size;
    double* const bias_sums = dbias.data ? bias.data() + 2 * task * g.out_c : nullptr;
    std::fill_n(sums, k * columns, 0.f);
    if (!whole) std::fill_n(part, g.out_w * columns, 0.f);
    const std::int64_t last = lines * (task + 1) / tasks;
    for (std::int64_t first = lines * task / tasks; first < last;) {
      const std::int64_t image = first / out.count, y = first % out.count;
      const std::int64_t rows = std::min({out.together, out.count - y, last - first});
      padded.copy(x + image * g.in_h * g.in_w * g.in_c, y * out.each * g.stride_h - g.pad_top,
                  rows_seen(g, rows * out.each), inputs);
      for (std::int64_t i = 0; i < rows; ++i, ++first) {
        const float* gradient = dy + first * line;
        if (dbias.data) {  // of pooled rows the same
          kernels.column_sums(out.width, g.out_c, gradient, bias_sums + g.out_c);
          for (std::int64_t c = 0; c < g.out_c; ++c) bias_sums[c] += bias_sums[g.out_c + c];
        }
        if (argmax) {
          kernels.max_pool_argmax_backward(out.pool, argmax + first * line, gradient, unpooled);
          gradient = unpooled;
        }
        for (std::int64_t r = 0; r < out.each; ++r, gradient += g.out_w * g.out_c) {
          const float* from = gradient;
          if (!whole) {
            for (std::int64_t p = 0; p < g.out_w; ++p)
              std::copy_n(from + p * g.out_c, g.out_c, part + p * columns);
            from = part;
          }
          kernels.few_channel_gradient(row, inputs + (i * out.each + r) * g.stride_h * padded.size(), from,
                                       sums);
        }
      }
    }
  });
  for (std::int64_t p = 0; p < columns; p += panel)
    for (std::int64_t i = 0; i < k; ++i) {
      const float* from = all_sums + p * k + i * panel;
      for (std::int64_t c = 0; c < std::min(panel, g.out_c - p); ++c) {
        float sum = 0;
        for (std::int64_t task = 0; task < tasks; ++task) sum += from[task * k * columns + c];
        float& to = dkernel.data[i * g.out_c + p + c];
        to = dkernel.accumulate ? to + sum : sum;
      }
    }
  for (std::int64_t c = 0; c < g.out_c && dbias.data; ++c) {
    double sum = 0;
    for (std::int64_t task = 0; task < tasks; ++task)
      sum += bias[static_cast<std::size_t>(2 * task * g.out_c + c)];
    dbias.data[c] = static_cast<float>(sum) + (dbias.accumulate ? dbias.data[c] : 0.f);
  }
}

}}}  // namespace strata::STRATA_ABI::cpu
