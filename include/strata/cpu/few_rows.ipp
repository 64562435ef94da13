#pragma once

#include <algorithm>
#include <bit>

#include <strata/cpu/few_rows.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// How a product of few rows is split, by sizes alone. A task takes `part` rows of the weight in a strip of
/// its columns, and has sums of its own, [rows,pitch], that stay in the nearest cache.
struct FewRowsSplit {
  std::int64_t strip, strips, pitch, part, parts;

  FewRowsSplit(const DenseGeometry& g, const KernelTable& kernels) {
    constexpr std::int64_t cached_sums = 5 * 1024, least_part = 256, most_part = 2048, step = 16;
    const std::int64_t panel = kernels.panel(), panels = divide_up(g.out, panel);
    strips = divide_up(panels, std::max<std::int64_t>(1, cached_sums / (g.rows * panel)));
    strip = divide_up(panels, strips) * panel;
    strips = divide_up(panels * panel, strip);
    pitch = strip + 16;  // keeps rows of sums out of each other's cache sets
    // Sums are written and read once for each part: that should be little beside its weight. A power of two
    // of parts leaves no thread idle at the end.
    const auto some = static_cast<std::uint64_t>(divide_up(g.in, std::max(least_part, 64 * g.rows)));
    const auto most = static_cast<std::int64_t>(std::bit_ceil(some));
    parts = std::min(std::max(divide_up(wanted_tasks, strips), divide_up(g.in, most_part)), most);
    part = divide_up(g.in, parts * step) * step;
    parts = divide_up(g.in, part);
  }
  std::int64_t sums(const DenseGeometry& g) const { return parts * strips * g.rows * pitch; }
};

STRATA_INLINE std::int64_t few_rows_scratch(const Engine& engine, const DenseGeometry& g) {
  const FewRowsSplit split(g, engine.kernels);
  return split.sums(g) + engine.pool.threads() * g.rows * split.part;
}

STRATA_INLINE void few_rows_product(const Engine& engine, const DenseGeometry& g, const float* x,
                                    const float* kernel, float* y,
                                    FunctionRef<void(std::int64_t, std::int64_t)> finish) {
  const KernelTable& kernels = engine.kernels;
  const ProductKernels& product = kernels.product;
  const FewRowsSplit split(g, kernels);
  const std::int64_t panel = kernels.panel(), width = kernels.width;
  const std::int64_t blocks = divide_up(g.rows, product.max_rows), height = divide_up(g.rows, blocks);
  const auto memory = engine.workspace.lease(few_rows_scratch(engine, g));
  float* const packed = memory.data() + split.sums(g);
  const auto sums_of = [&](std::int64_t task) { return memory.data() + task * g.rows * split.pitch; };

  engine.pool.run(split.parts * split.strips, [&](std::int64_t task, int worker) {
    float* const sums = sums_of(task);
    float* const left = packed + worker * g.rows * split.part;
    const std::int64_t first = task / split.strips * split.part, count = std::min(split.part, g.in - first);
    const std::int64_t first_column = task % split.strips * split.strip;
    if (g.rows == 1)
      return kernels.multiply_row(count, x + first, kernel + first * g.out + first_column, g.out,
                                  std::min(split.strip, g.out - first_column), sums, false);
    for (std::int64_t r = 0; r < g.rows; ++r) {
      const float* from = x + r * g.in + first;
      const std::int64_t block = r / height * height, rows = std::min(height, g.rows - block);
      product.pack_row(&from, 1, count, static_cast<int>(rows), static_cast<int>(r - block), nullptr,
                       left + block * split.part);
    }
    // A few rows of the weight at a time, from end to end of the strip; those that follow are fetched.
    constexpr std::int64_t chunk = 16;
    for (std::int64_t k = 0; k < count; k += chunk)
      for (std::int64_t j = 0; j < split.strip && first_column + j < g.out; j += panel) {
        // The last panel ends where the weight does: it computes some columns again.
        const float* b = kernel + (first + k) * g.out + std::min(first_column + j, g.out - panel);
        for (std::int64_t r = 0; r < g.rows; r += height) {
          const std::int64_t rows = std::min(height, g.rows - r);
          const float* a = left + r * split.part + k / width * width * rows + k % width;
          product.multiply_rows[rows](std::min(chunk, count - k), packed_rows(kernels, a, rows), b, g.out,
                                      sums + r * split.pitch + j, split.pitch, k > 0,
                                      {b + chunk * g.out, r == 0 ? width : 0, g.out});
        }
      }
  });
  engine.pool.run(split.strips, [&](std::int64_t strip, int) {
    const std::int64_t first = strip * split.strip, columns = std::min(split.strip, g.out - first);
    const std::int64_t whole = columns / panel * panel, rest = columns - whole;
    for (std::int64_t r = 0; r < g.rows; ++r)
      for (std::int64_t part = 0; part < split.parts; ++part) {
        float* const to = y + r * g.out + first;
        const float* from = sums_of(part * split.strips + strip) + r * split.pitch;
        const float* last = from + whole + (rest && g.rows > 1 ? panel - rest : 0);
        if (part == 0) {
          std::copy_n(from, whole, to);
          std::copy_n(last, rest, to + whole);
        } else {
          kernels.add(whole, from, to);
          kernels.add(rest, last, to + whole);
        }
      }
    finish(first, columns);
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
