#pragma once

#include <algorithm>
#include <cstring>

#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/planner.hpp>

namespace strata::inline STRATA_ABI::cpu {

inline constexpr std::int64_t max_panel = 32, max_block_rows = 16;  // of any instruction set
inline constexpr std::int64_t wanted_tasks = 16;                    // enough to balance a few threads

STRATA_INLINE void PatchMatrix::find_taps(std::int64_t row, std::size_t first, std::size_t last,
                                          const float* zeros, const float** pointers) const {
  const std::int64_t image = row / (grid_h * grid_w), position = row % (grid_h * grid_w);
  const std::int64_t y = position / grid_w * step_h, x = position % grid_w * step_w;
  const float* base = source + image * source_h * source_w * channels;
  for (std::size_t t = first; t < last; ++t) {
    const std::int64_t sy = y + taps[t].y, sx = x + taps[t].x;
    const bool inside = sy >= 0 && sy < source_h && sx >= 0 && sx < source_w;
    *pointers++ = inside ? base + (sy * source_w + sx) * channels : zeros;
  }
}

STRATA_INLINE void multiply(
    ThreadPool& pool, Workspace& workspace, const KernelTable& kernels, const PatchMatrix& patches,
    const RightFactor& b, float* c,
    FunctionRef<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t)> finish) {
  const std::int64_t rows = patches.rows(), k = b.k, columns = b.columns, panel = kernels.panel();
  if (rows == 0 || columns == 0) return;
  const int block_rows = choose_block_rows(kernels, rows);
  const auto kernel = kernels.multiply_rows[block_rows];
  const std::int64_t blocks = divide_up(rows, block_rows), panels = divide_up(columns, panel);
  const std::int64_t padded_k = divide_up(k, kernels.width) * kernels.width;
  const std::int64_t block_size = block_rows * padded_k;

  // A task's row blocks stay in the second-level cache; a slice of k of one panel stays there beside them.
  constexpr std::int64_t cache_floats = 96 * 1024, k_slice = 512;
  const std::int64_t group = std::clamp<std::int64_t>(cache_floats / block_size, 1, 16);
  const std::int64_t groups = divide_up(blocks, group);
  const std::int64_t slabs = std::min(panels, divide_up(wanted_tasks, groups));
  const std::int64_t slab = divide_up(panels, slabs);

  const std::int64_t scratch = group * block_size + padded_k;
  const auto memory = workspace.lease(patches.channels + pool.threads() * scratch);
  float* const zeros = memory.data();
  std::fill_n(zeros, patches.channels, 0.f);

  pool.run(groups * slabs, [&](std::int64_t task, int worker) {
    float* const linear = zeros + patches.channels + worker * scratch;
    float* const a = linear + padded_k;
    const std::int64_t first_row = task / slabs * group * block_rows;
    const std::int64_t task_rows = std::min(group * block_rows, rows - first_row);
    const std::int64_t first_panel = task % slabs * slab;
    const std::int64_t last_panel = std::min(panels, first_panel + slab);
    if (first_panel >= last_panel) return;

    std::vector<const float*> pointers(patches.taps.size());
    for (std::int64_t r = 0; r < task_rows; ++r) {
      patches.find_taps(first_row + r, 0, patches.taps.size(), zeros, pointers.data());
      kernels.pack_row(pointers.data(), static_cast<long>(pointers.size()), patches.channels, block_rows,
                       static_cast<int>(r % block_rows), linear, a + r / block_rows * block_size);
    }
    if (const std::int64_t filled = task_rows % block_rows; filled > 0) {
      float* block = a + task_rows / block_rows * block_size;  // its missing rows count as zeros
      for (std::int64_t chunk = 0; chunk < padded_k / kernels.width;
           ++chunk, block += block_rows * kernels.width)
        std::fill(block + filled * kernels.width, block + block_rows * kernels.width, 0.f);
    }

    float tile[max_block_rows * max_panel];
    for (std::int64_t k0 = 0; k0 < k; k0 += k_slice) {
      const std::int64_t steps = std::min(k_slice, k - k0);
      for (std::int64_t p = first_panel; p < last_panel; ++p) {
        const float* right = b.data + p * b.panel_stride + k0 * b.row_stride;
        const std::int64_t width = std::min(panel, columns - p * panel);
        for (std::int64_t r = 0; r < task_rows; r += block_rows) {
          const float* left = a + r / block_rows * block_size + k0 * block_rows;
          float* out = c + (first_row + r) * columns + p * panel;
          const std::int64_t height = std::min<std::int64_t>(block_rows, task_rows - r);
          if (height == block_rows && width == panel) {
            kernel(steps, left, right, b.row_stride, out, columns, k0 > 0);
            continue;
          }
          kernel(steps, left, right, b.row_stride, tile, panel, false);
          for (std::int64_t i = 0; i < height; ++i)
            for (std::int64_t j = 0; j < width; ++j)
              out[i * columns + j] =
                  k0 > 0 ? out[i * columns + j] + tile[i * panel + j] : tile[i * panel + j];
        }
      }
    }
    const std::int64_t first_column = first_panel * panel;
    finish(first_row, task_rows, first_column, std::min(columns, last_panel * panel) - first_column);
  });
}

STRATA_INLINE void multiply_transposed(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels,
                                       const PatchMatrix& patches, const float* b, std::int64_t columns,
                                       float* c, bool accumulate) {
  // A task owns `strip` rows of c, i.e. columns of the patches, and takes the positions in slices. Where
  // there are few strips the positions are split as well, by sizes alone, and summed in order at the end.
  constexpr std::int64_t strip = 64, slice = 128;
  const std::int64_t k = patches.columns(), rows = patches.rows(), panel = kernels.panel();
  const std::int64_t strips = divide_up(k, strip), slices = divide_up(rows, slice);
  const std::int64_t splits =
      std::clamp<std::int64_t>(std::min(divide_up(wanted_tasks, strips), slices / 4), 1, wanted_tasks);
  const std::int64_t slices_per_split = divide_up(slices, splits);
  const std::int64_t padded = divide_up(columns, panel) * panel;

  const std::int64_t scratch = strip * slice + padded * (slice + strip);
  const auto memory = workspace.lease(patches.channels + pool.threads() * scratch + splits * k * columns);
  float* const zeros = memory.data();
  float* const all_scratch = zeros + patches.channels;
  float* const partial = all_scratch + pool.threads() * scratch;
  std::fill_n(zeros, patches.channels, 0.f);

  pool.run(strips * splits, [&](std::int64_t task, int worker) {
    float* const left = all_scratch + worker * scratch;
    float* const right = left + strip * slice;
    float* const sum = right + padded * slice;
    const std::int64_t first = task / splits * strip, last = std::min(k, first + strip),
                       split = task % splits;
    const auto first_tap = static_cast<std::size_t>(first / patches.channels);
    const auto last_tap = static_cast<std::size_t>(divide_up(last, patches.channels));
    std::vector<const float*> pointers(last_tap - first_tap);
    const std::int64_t tile_rows = divide_up(last - first, kernels.transposed_rows) * kernels.transposed_rows;
    std::fill_n(left, strip * slice, 0.f);
    std::fill_n(sum, strip * padded, 0.f);

    const std::int64_t row_end = std::min(rows, (split + 1) * slices_per_split * slice);
    for (std::int64_t r0 = split * slices_per_split * slice; r0 < row_end; r0 += slice) {
      const std::int64_t count = std::min(slice, row_end - r0);
      for (std::int64_t r = 0; r < count; ++r) {
        patches.find_taps(r0 + r, first_tap, last_tap, zeros, pointers.data());
        std::int64_t column = first;
        for (const float* from : pointers) {
          const std::int64_t channel = column % patches.channels;
          const std::int64_t run = std::min(patches.channels - channel, last - column);
          std::copy_n(from + channel, run, left + r * strip + column - first);
          column += run;
        }
      }
      kernels.pack_panels(count, columns, b + r0 * columns, columns, right);
      for (std::int64_t p = 0; p < padded; p += panel)
        for (std::int64_t i = 0; i < tile_rows; i += kernels.transposed_rows)
          kernels.multiply_transposed(count, left + i, strip, right + p * count, panel, sum + i * padded + p,
                                      padded, true);
    }
    const bool direct = splits == 1;
    for (std::int64_t i = first; i < last; ++i) {
      float* out = (direct ? c : partial + split * k * columns) + i * columns;
      const float* from = sum + (i - first) * padded;
      for (std::int64_t j = 0; j < columns; ++j) out[j] = direct && accumulate ? out[j] + from[j] : from[j];
    }
  });
  if (splits == 1) return;
  pool.for_range(k * columns, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    if (!accumulate) std::fill(c + begin, c + end, 0.f);
    for (std::int64_t s = 0; s < splits; ++s)
      kernels.add(end - begin, partial + s * k * columns + begin, c + begin);
  });
}

}  // namespace strata::inline STRATA_ABI::cpu
