#pragma once

#include <algorithm>
#include <cstring>

#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/planner.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

inline constexpr std::int64_t max_panel = 32, max_block_rows = 32;  // of any instruction set

STRATA_INLINE PatchRows::PatchRows(const PatchMatrix& patches, std::int64_t row, const float* zeros,
                                   std::int64_t first_column, std::int64_t last_column)
    : patches_(patches),
      zeros_(zeros),
      image_(row / (patches.grid_h * patches.grid_w)),
      y_(row / patches.grid_w % patches.grid_h),
      x_(row % patches.grid_w),
      first_tap_(first_column / patches.channels),
      last_tap_(divide_up(last_column, patches.channels)) {}

STRATA_INLINE std::int64_t PatchRows::next() {
  const PatchMatrix& p = patches_;
  const float* base = p.source + image_ * p.source_h * p.source_w * p.channels;
  const std::int64_t y = y_ * p.step_h, x = x_ * p.step_w;
  pieces_.clear();
  // Runs lie inside or outside as a whole but near the left and right border.
  const std::int64_t left = x + p.taps[0].x;
  const bool whole = left >= 0 && left + p.run <= p.source_w;
  const std::int64_t step = whole ? p.run : 1;
  const std::int64_t first = whole ? first_tap_ / p.run * p.run : first_tap_;
  begin_ = first * p.channels;
  for (std::int64_t t = first; t < last_tap_; t += step) {
    const auto& tap = p.taps[static_cast<std::size_t>(t)];
    const std::int64_t sy = y + tap.y, sx = x + tap.x;
    const bool inside = sy >= 0 && sy < p.source_h && sx >= 0 && sx < p.source_w;
    pieces_.push_back(inside ? base + (sy * p.source_w + sx) * p.channels : zeros_);
  }
  if (++x_ == p.grid_w) {
    x_ = 0;
    if (++y_ == p.grid_h) {
      y_ = 0;
      ++image_;
    }
  }
  return step * p.channels;
}

/// Row blocks of a task: one slice of k of them stays in the second-level cache, beside that slice of one
/// panel.
inline std::int64_t blocks_of_task(std::int64_t block_size) {
  constexpr std::int64_t cache_floats = 96 * 1024;
  return std::clamp<std::int64_t>(cache_floats / block_size, 8, 16);
}

STRATA_INLINE Buffer pack_right_factor(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels,
                                       const ProductKernels& product, std::int64_t k, std::int64_t panels,
                                       FunctionRef<void(std::int64_t, float*)> pack) {
  const std::int64_t panel = kernels.panel(), size = product.units(k) * panel;
  const auto memory = workspace.lease(product.narrow_panel ? pool.threads() * k * panel : 0);
  Buffer out(panels * size);
  pool.run(panels, [&](std::int64_t p, int worker) {
    float* const to = out.data() + p * size;
    float* const floats = product.narrow_panel ? memory.data() + worker * k * panel : to;
    pack(p, floats);
    if (product.narrow_panel) product.narrow_panel(k, floats, to);
  });
  return out;
}

STRATA_INLINE std::int64_t product_scratch(const ThreadPool& pool, const ProductKernels& product,
                                           const PatchMatrix& patches) {
  const std::int64_t padded_k = product.whole_units(patches.columns());
  const std::int64_t block_size = choose_block_rows(product, patches.rows()) * padded_k;
  return patches.run * patches.channels +
         pool.threads() * (blocks_of_task(block_size) * block_size + padded_k * product.per_unit);
}

STRATA_INLINE void multiply(
    ThreadPool& pool, Workspace& workspace, const KernelTable& kernels, const ProductKernels& product,
    const PatchMatrix& patches, const RightFactor& b, float* c,
    FunctionRef<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t)> finish) {
  const std::int64_t rows = patches.rows(), k = b.k, columns = b.columns, panel = kernels.panel();
  if (rows == 0 || columns == 0) return;
  const int block_rows = choose_block_rows(product, rows);
  const auto kernel = product.multiply_rows[block_rows];
  const std::int64_t blocks = divide_up(rows, block_rows), panels = divide_up(columns, panel);
  const std::int64_t padded_k = product.whole_units(patches.columns());
  const std::int64_t block_size = block_rows * padded_k;

  // Columns are split only where rows alone do not make tasks enough: each part packs the rows again.
  constexpr std::int64_t k_slice = 512;
  const std::int64_t group = blocks_of_task(block_size);
  const std::int64_t groups = divide_up(blocks, group);
  const std::int64_t slabs = std::min(panels, divide_up(2 * pool.threads(), groups));
  const std::int64_t slab = divide_up(panels, slabs);

  const std::int64_t scratch = group * block_size + padded_k * product.per_unit;
  const std::int64_t zero_count = patches.run * patches.channels;
  const auto memory = workspace.lease(product_scratch(pool, product, patches));
  float* const zeros = memory.data();
  std::fill_n(zeros, zero_count, 0.f);

  pool.run(groups * slabs, [&](std::int64_t task, int worker) {
    float* const linear = zeros + zero_count + worker * scratch;
    float* const a = linear + padded_k * product.per_unit;
    const std::int64_t first_row = task / slabs * group * block_rows;
    const std::int64_t task_rows = std::min(group * block_rows, rows - first_row);
    const std::int64_t first_panel = task % slabs * slab;
    const std::int64_t last_panel = std::min(panels, first_panel + slab);
    if (first_panel >= last_panel) return;

    PatchRows walk(patches, first_row, zeros);
    for (std::int64_t r = 0; r < task_rows; ++r) {
      const std::int64_t length = walk.next();
      product.pack_row(walk.pieces().data(), static_cast<long>(walk.pieces().size()), length, block_rows,
                       static_cast<int>(r % block_rows), linear, a + r / block_rows * block_size);
    }
    if (const std::int64_t filled = task_rows % block_rows; filled > 0) {
      float* block = a + task_rows / block_rows * block_size;  // its missing rows count as zeros
      for (std::int64_t chunk = 0; chunk < padded_k / kernels.width;
           ++chunk, block += block_rows * kernels.width)
        std::fill(block + filled * kernels.width, block + block_rows * kernels.width, 0.f);
    }

    float tile[max_block_rows * max_panel];
    if (product.begin) product.begin();
    for (std::int64_t k0 = 0; k0 < k; k0 += k_slice) {
      const std::int64_t steps = std::min(k_slice, k - k0);
      for (std::int64_t p = first_panel; p < last_panel; ++p) {
        const float* right = b.data + p * b.panel_stride + k0 * b.row_stride;
        const std::int64_t width = std::min(panel, columns - p * panel);
        // Rows that are not packed come from far apart; the first block fetches them one chunk ahead.
        const float* ahead = right + kernels.width * b.row_stride;
        for (std::int64_t r = 0; r < task_rows; r += block_rows) {
          const std::int64_t ahead_lines = r == 0 && b.row_stride > panel ? kernels.width : 0;
          const float* left = a + r / block_rows * block_size + k0 * block_rows;
          float* out = c + (first_row + r) * columns + p * panel;
          const std::int64_t height = std::min<std::int64_t>(block_rows, task_rows - r);
          if (height == block_rows && width == panel) {
            kernel(steps, left, right, b.row_stride, out, columns, k0 > 0, ahead, ahead_lines, b.row_stride);
            continue;
          }
          kernel(steps, left, right, b.row_stride, tile, panel, false, ahead, ahead_lines, b.row_stride);
          for (std::int64_t i = 0; i < height; ++i)
            for (std::int64_t j = 0; j < width; ++j)
              out[i * columns + j] =
                  k0 > 0 ? out[i * columns + j] + tile[i * panel + j] : tile[i * panel + j];
        }
      }
    }
    if (product.end) product.end();
    const std::int64_t first_column = first_panel * panel;
    finish(first_row, task_rows, first_column, std::min(columns, last_panel * panel) - first_column);
  });
}

STRATA_INLINE void multiply_transposed(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels,
                                       const PatchMatrix& patches, const float* b, std::int64_t columns,
                                       float* c, bool accumulate) {
  // A task owns `strip` rows of c, i.e. columns of the patches, and takes the positions in slices: each strip
  // packs b again. Where there are few strips the positions are split as well, by sizes alone, and summed in
  // order at the end.
  constexpr std::int64_t most_rows = 192, slice = 128;
  const std::int64_t k = patches.columns(), rows = patches.rows(), panel = kernels.panel();
  const std::int64_t strips = divide_up(k, most_rows), slices = divide_up(rows, slice);
  const std::int64_t strip =
      divide_up(divide_up(k, strips), kernels.transposed_rows) * kernels.transposed_rows;
  const std::int64_t splits =
      std::clamp<std::int64_t>(std::min(divide_up(wanted_tasks, strips), slices / 4), 1, wanted_tasks);
  const std::int64_t slices_per_split = divide_up(slices, splits);
  const std::int64_t padded = divide_up(columns, panel) * panel;

  const std::int64_t scratch = strip * slice + padded * (slice + strip);
  const std::int64_t zero_count = patches.run * patches.channels;
  const auto memory = workspace.lease(zero_count + pool.threads() * scratch + splits * k * columns);
  float* const zeros = memory.data();
  float* const all_scratch = zeros + zero_count;
  float* const partial = all_scratch + pool.threads() * scratch;
  std::fill_n(zeros, zero_count, 0.f);

  pool.run(strips * splits, [&](std::int64_t task, int worker) {
    float* const left = all_scratch + worker * scratch;
    float* const right = left + strip * slice;
    float* const sum = right + padded * slice;
    const std::int64_t first = task / splits * strip, last = std::min(k, first + strip),
                       split = task % splits;
    const std::int64_t tile_rows = divide_up(last - first, kernels.transposed_rows) * kernels.transposed_rows;
    // Whole tiles are written where they belong.
    const bool direct = splits == 1, whole = tile_rows == last - first && padded == columns;
    const bool in_place = direct && whole && !accumulate;
    float* const to = in_place ? c + first * columns : sum;
    if (tile_rows != last - first) std::fill_n(left, strip * slice, 0.f);

    const std::int64_t row_begin = split * slices_per_split * slice,
                       row_end = std::min(rows, row_begin + slices_per_split * slice);
    if (row_begin >= row_end) std::fill_n(to, (last - first) * padded, 0.f);
    for (std::int64_t r0 = row_begin; r0 < row_end; r0 += slice) {
      const std::int64_t count = std::min(slice, row_end - r0);
      PatchRows walk(patches, r0, zeros, first, last);
      for (std::int64_t r = 0; r < count; ++r) {
        const std::int64_t length = walk.next();
        for (std::int64_t column = first; column < last;) {
          const std::int64_t skip = (column - walk.begin()) % length,
                             run = std::min(length - skip, last - column);
          const float* from =
              walk.pieces()[static_cast<std::size_t>((column - walk.begin()) / length)] + skip;
          std::copy_n(from, run, left + r * strip + column - first);
          column += run;
        }
      }
      kernels.pack_panels(count, columns, b + r0 * columns, columns, right);
      for (std::int64_t p = 0; p < padded; p += panel)
        for (std::int64_t i = 0; i < tile_rows; i += kernels.transposed_rows)
          kernels.multiply_transposed(count, left + i, strip, right + p * count, panel, to + i * padded + p,
                                      padded, r0 > row_begin);
    }
    for (std::int64_t i = first; i < last && !in_place; ++i) {
      float* const out = (direct ? c : partial + split * k * columns) + i * columns;
      const float* const from = sum + (i - first) * padded;
      if (direct && accumulate)
        kernels.add(columns, from, out);
      else
        std::copy_n(from, columns, out);
    }
  });
  if (splits == 1) return;
  pool.for_range(k * columns, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    if (!accumulate) std::fill(c + begin, c + end, 0.f);
    for (std::int64_t s = 0; s < splits; ++s)
      kernels.add(end - begin, partial + s * k * columns + begin, c + begin);
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
