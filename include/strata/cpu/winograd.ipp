#pragma once

#include <algorithm>
#include <vector>

#include <strata/cpu/tasks.hpp>
#include <strata/cpu/winograd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Distance between the points of a transform of `size` floats. The extra vectors keep the points of one
/// tile, written together, out of each other's cache sets.
inline std::int64_t winograd_point_stride(const KernelTable& kernels, std::int64_t size) {
  return size + kernels.width;
}

/// Where a tile lies on the planes of a plan.
struct TilePosition {
  std::int64_t plane, y, x;
};
inline TilePosition tile_position(const ConvolutionPlan& plan, std::int64_t tile) {
  const std::int64_t column = tile % plan.tiles_w, row = tile / plan.tiles_w % plan.tiles_h;
  return {tile / (plan.tiles_w * plan.tiles_h), row * plan.tile, column * plan.tile};
}
inline ImagePlane plane_of(const ConvolutionPlan& plan, std::int64_t images, std::int64_t h, std::int64_t w,
                           std::int64_t channels) {
  return {images, h, w, channels, plan.down, plan.across, plan.pitch_h, plan.pitch_w};
}

STRATA_INLINE void pack_winograd(const Engine& engine, int tile, const float* taps, std::int64_t in_c,
                                 std::int64_t out_c, bool flip, Room room) {
  const std::int64_t panel = engine.kernels.panel(), panels = divide_up(out_c, panel);
  const std::int64_t point_stride = winograd_point_stride(engine.kernels, panels * in_c * panel);
  float* const to = room((tile + 2) * (tile + 2) * point_stride);
  const std::int64_t in_stride = flip ? 1 : out_c, out_stride = flip ? in_c : 1;
  engine.pool.run(panels, [&](std::int64_t p, int) {
    engine.kernels.winograd[tile].kernel(taps + p * panel * out_stride, in_c * out_c, in_stride, out_stride,
                                         flip, in_c, std::min(panel, out_c - p * panel),
                                         to + p * in_c * panel, point_stride);
  });
}

/// Floats between the points of one transformed register block, and of its sums.
inline std::pair<std::int64_t, std::int64_t> block_strides(const KernelTable& kernels,
                                                           const ConvolutionPlan& plan,
                                                           const Conv2DGeometry& g) {
  const std::int64_t padded_in = divide_up(g.in_c, kernels.width) * kernels.width;
  return {winograd_point_stride(kernels, plan.block_rows * padded_in),
          winograd_point_stride(kernels, plan.block_rows * plan.slab)};
}

/// The plan with tasks of which these threads have equal shares; where tasks are many, they have as good as
/// that anyway, and larger ones read the kernel less often.
inline ConvolutionPlan share_out(const Engine& engine, ConvolutionPlan plan, const Conv2DGeometry& g) {
  const std::int64_t threads = engine.pool.threads(), panel = engine.kernels.panel();
  const std::int64_t blocks = divide_up(plan.tiles(), plan.block_rows);
  if (plan.shared)
    plan.slab = panel * fair_share(divide_up(g.out_c, panel), plan.slab / panel, threads);
  else if (blocks < 16 * threads)
    plan.group = fair_share(blocks, plan.group, threads);
  return plan;
}

/// Floats of scratch that the shared-out plan takes.
inline std::int64_t shared_out_scratch(const Engine& engine, const ConvolutionPlan& plan,
                                       const Conv2DGeometry& g) {
  const auto [in_stride, sum_stride] = block_strides(engine.kernels, plan, g);
  const std::int64_t threads = engine.pool.threads();
  // A group is all blocks where they are shared.
  return plan.group * plan.points() * ((plan.shared ? 1 : threads) * in_stride + threads * sum_stride);
}
STRATA_INLINE std::int64_t winograd_scratch(const Engine& engine, const ConvolutionPlan& plan,
                                            const Conv2DGeometry& g) {
  return shared_out_scratch(engine, share_out(engine, plan, g), g);
}

STRATA_INLINE void winograd_convolution(const Engine& engine, const ConvolutionPlan& most,
                                        const Conv2DGeometry& g, const float* x, const float* weights,
                                        const OutputEpilogue& epilogue, float* y) {
  const ConvolutionPlan plan = share_out(engine, most, g);
  const KernelTable& kernels = engine.kernels;
  const WinogradKernels& winograd = kernels.winograd[plan.tile];
  const auto multiply = kernels.product.multiply_rows[plan.block_rows];
  const std::int64_t panel = kernels.panel(), panels = divide_up(g.out_c, panel), points = plan.points();
  const std::int64_t rows = plan.block_rows, tiles = plan.tiles(), blocks = divide_up(tiles, rows);
  const std::int64_t in_stride = block_strides(kernels, plan, g).first,
                     sum_stride = block_strides(kernels, plan, g).second;
  const std::int64_t weight_stride = winograd_point_stride(kernels, panels * g.in_c * panel);
  const ImagePlane in_plane = plane_of(plan, g.batch, g.in_h, g.in_w, g.in_c);
  const std::int64_t shrink = epilogue.max_pool ? 2 : 1;
  const ImagePlane out_plane = plane_of(plan, g.batch, g.out_h / shrink, g.out_w / shrink, g.out_c);

  // Transforms the tiles of one register block; rows behind the last tile count as zeros.
  const auto transform_block = [&](std::int64_t block, float* transformed) {
    if ((block + 1) * rows > tiles) std::fill_n(transformed, points * in_stride, 0.f);
    for (std::int64_t t = block * rows; t < std::min(tiles, (block + 1) * rows); ++t) {
      const TilePosition at = tile_position(plan, t);
      winograd.input(in_plane, x, at.plane, at.y - g.pad_top, at.x - g.pad_left,
                     transformed + t % rows * kernels.width, rows * kernels.width, in_stride);
    }
  };
  // Multiplies `count` blocks with the weights of one slab of output channels at every point, and transforms
  // the sums back.
  const auto finish_slab = [&](std::int64_t first_block, std::int64_t count, std::int64_t first_channel,
                               const float* transformed, float* sums) {
    const std::int64_t channels = std::min(plan.slab, g.out_c - first_channel);
    // While a panel is used, the next is fetched, a share with every block: the third-level cache, or the
    // memory, answers too late for the loads themselves.
    const std::int64_t chunks = divide_up(g.in_c, kernels.width);
    const std::int64_t lines = divide_up(g.in_c * panel / 16, count * chunks);
    for (std::int64_t p = 0; p < points; ++p)
      for (std::int64_t j = 0; j < channels; j += panel) {
        const float* b = weights + p * weight_stride + (first_channel + j) * g.in_c;
        const float* next = j + panel < channels ? b + g.in_c * panel : b - j * g.in_c + weight_stride;
        for (std::int64_t i = 0; i < count; ++i)
          multiply(g.in_c, packed_rows(kernels, transformed + (i * points + p) * in_stride, plan.block_rows),
                   b, panel, sums + (i * points + p) * sum_stride + j, plan.slab, false,
                   {next + i * chunks * lines * 16, lines, 16, lines * 16});
      }
    OutputEpilogue part = epilogue;
    if (part.bias) part.bias += first_channel;
    if (part.scale) part.scale += first_channel;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t first = (first_block + i) * rows;
      for (std::int64_t t = first; t < std::min(tiles, first + rows); ++t) {
        const TilePosition at = tile_position(plan, t);
        winograd.output(out_plane, y, at.plane, at.y / shrink, at.x / shrink, first_channel, channels,
                        sums + i * points * sum_stride + (t - first) * plan.slab, sum_stride, part);
      }
    }
  };

  const std::int64_t block_in = points * in_stride, block_sums = points * sum_stride;
  const auto memory = engine.workspace.lease(shared_out_scratch(engine, plan, g));
  if (plan.shared) {
    float* const sums = memory.data() + blocks * block_in;
    engine.pool.run(
        blocks, [&](std::int64_t block, int) { transform_block(block, memory.data() + block * block_in); });
    engine.pool.run(divide_up(g.out_c, plan.slab), [&](std::int64_t slab, int worker) {
      finish_slab(0, blocks, slab * plan.slab, memory.data(), sums + worker * blocks * block_sums);
    });
    return;
  }
  const std::int64_t scratch = plan.group * (block_in + block_sums);
  engine.pool.run(divide_up(blocks, plan.group), [&](std::int64_t task, int worker) {
    float* const transformed = memory.data() + worker * scratch;
    const std::int64_t first = task * plan.group, count = std::min(plan.group, blocks - first);
    for (std::int64_t i = 0; i < count; ++i) transform_block(first + i, transformed + i * block_in);
    for (std::int64_t channel = 0; channel < g.out_c; channel += plan.slab)
      finish_slab(first, count, channel, transformed, transformed + plan.group * block_in);
  });
}

STRATA_INLINE Conv2DGeometry without_zero_border(const Conv2DGeometry& g, const float* dy) {
  if (!winograd_serves(g)) return g;
  const auto zeros = [](const float* from, std::int64_t count) {
    return std::all_of(from, from + count, [](float v) { return v == 0; });
  };
  const std::int64_t row = g.out_w * g.out_c, last = row - g.out_c;
  bool row_is_zero = g.out_h > 1, column_is_zero = g.out_w > 1;
  for (std::int64_t n = 1; n <= g.batch && row_is_zero; ++n)
    row_is_zero = zeros(dy + (n * g.out_h - 1) * row, row);
  for (std::int64_t r = 0; r < g.batch * g.out_h && column_is_zero; ++r)
    column_is_zero = zeros(dy + r * row + last, g.out_c);
  Conv2DGeometry out = g;
  out.out_h -= row_is_zero;
  out.out_w -= column_is_zero;
  return out;
}

STRATA_INLINE void winograd_kernel_gradient(const Engine& engine, const ConvolutionPlan& plan,
                                            const Conv2DGeometry& g, const float* x, const float* dy,
                                            Gradient<float> dkernel, Gradient<float> dbias) {
  // The same product with other roles: sums over tiles of (B^T X B) .* (G dY G^T), turned back into 3x3 taps
  // by A^T. Tiles are taken in groups, whose transforms are multiplied point by point into sums [in_c,out_c].
  const KernelTable& kernels = engine.kernels;
  const WinogradKernels& winograd = kernels.winograd[plan.tile];
  const std::int64_t width = kernels.width, panel = kernels.panel(), points = plan.points();
  const std::int64_t chunks = divide_up(g.in_c, width), panels = divide_up(g.out_c, panel);
  const std::int64_t tiles = plan.tiles(), group = plan.group, columns = panels * panel;
  const std::int64_t in_stride = winograd_point_stride(kernels, chunks * group * width);
  const std::int64_t gradient_stride = winograd_point_stride(kernels, group * columns);
  const std::int64_t sum_stride = winograd_point_stride(kernels, chunks * width * columns);
  const ImagePlane in_plane = plane_of(plan, g.batch, g.in_h, g.in_w, g.in_c);
  const ImagePlane out_plane = plane_of(plan, g.batch, g.out_h, g.out_w, g.out_c);
  const std::int64_t tasks = plan.shared ? 1 : wanted_tasks;
  const std::int64_t transforms = points * (in_stride + gradient_stride), sums_size = points * sum_stride;
  const std::int64_t all_transforms = (plan.shared ? 1 : engine.pool.threads()) * transforms;
  const auto memory = engine.workspace.lease(all_transforms + tasks * sums_size);
  float* const all_transformed = memory.data();
  float* const all_sums = all_transformed + all_transforms;
  const std::int64_t bias_size = dbias.data ? columns + panel : 0;
  std::vector<double> all_bias(static_cast<std::size_t>(tasks * bias_size));

  const auto transform = [&](std::int64_t tile, std::int64_t t, float* transformed) {
    const TilePosition at = tile_position(plan, tile);
    winograd.input(in_plane, x, at.plane, at.y - g.pad_top, at.x - g.pad_left, transformed + t * width,
                   group * width, in_stride);
    winograd.gradient(out_plane, dy, at.plane, at.y, at.x, transformed + points * in_stride + t * panel,
                      group * panel, gradient_stride);
  };
  const auto add_point = [&](std::int64_t p, std::int64_t count, const float* transformed, std::int64_t task,
                             bool accumulate) {
    const float* const inputs = transformed + p * in_stride;
    const float* const gradients = transformed + points * in_stride + p * gradient_stride;
    float* const sums = all_sums + task * sums_size + p * sum_stride;
    for (std::int64_t j = 0; j < columns && dbias.data && p == winograd.sum_point; j += panel) {
      double *const bias = all_bias.data() + task * bias_size, *const part = bias + columns;
      kernels.column_sums(count, panel, gradients + j * group, part);
      for (std::int64_t c = 0; c < panel; ++c) bias[j + c] += part[c];
    }
    for (std::int64_t j = 0; j < columns; j += panel)
      for (std::int64_t i = 0; i < chunks * width; i += kernels.transposed_rows)
        kernels.multiply_transposed(count, inputs + i / width * group * width + i % width, width,
                                    gradients + j * group, panel, sums + i * columns + j, columns,
                                    accumulate);
  };

  if (plan.shared) {  // each task owns a point
    for (std::int64_t first = 0; first < tiles; first += group) {
      const std::int64_t count = std::min(group, tiles - first);
      engine.pool.for_range(count, 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) transform(first + t, t, all_transformed);
      });
      engine.pool.run(points,
                      [&](std::int64_t p, int) { add_point(p, count, all_transformed, 0, first > 0); });
    }
  } else {  // each task owns tiles, and sums that are added in order
    engine.pool.run(tasks, [&](std::int64_t task, int worker) {
      float* const transformed = all_transformed + worker * transforms;
      const std::int64_t begin = tiles * task / tasks, end = tiles * (task + 1) / tasks;
      for (std::int64_t first = begin; first < end; first += group) {
        const std::int64_t count = std::min(group, end - first);
        for (std::int64_t t = 0; t < count; ++t) transform(first + t, t, transformed);
        for (std::int64_t p = 0; p < points; ++p) add_point(p, count, transformed, task, first > begin);
      }
    });
    engine.pool.run(points, [&](std::int64_t p, int) {
      for (std::int64_t task = 1; task < tasks; ++task)
        kernels.add(chunks * width * columns, all_sums + task * sums_size + p * sum_stride,
                    all_sums + p * sum_stride);
    });
  }
  engine.pool.run(chunks, [&](std::int64_t chunk, int) {
    const std::int64_t row = chunk * width;
    winograd.kernel_gradient(std::min(width, g.in_c - row), g.out_c, all_sums + row * columns, columns,
                             sum_stride, dkernel.data + row * g.out_c, g.out_c, g.in_c * g.out_c,
                             dkernel.accumulate);
  });
  for (std::int64_t c = 0; c < g.out_c && dbias.data; ++c) {
    double total = 0;
    for (std::int64_t task = 0; task < tasks; ++task)
      total += all_bias[static_cast<std::size_t>(task * bias_size + c)];
    const float sum = static_cast<float>(winograd.sum_scale * total);
    dbias.data[c] = dbias.accumulate ? dbias.data[c] + sum : sum;
  }
}

}}}  // namespace strata::STRATA_ABI::cpu
