#pragma once

#include <algorithm>
#include <cstring>

#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/planner.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

inline constexpr std::int64_t max_panel = 32, max_block_rows = 32;  // of any instruction set

STRATA_INLINE void PaddedRows::copy(const float* image, std::int64_t first, std::int64_t count,
                                    float* to) const {
  const std::int64_t begin = std::clamp<std::int64_t>(left, 0, pitch),
                     end = std::clamp(left + w, begin, pitch), skipped = std::max<std::int64_t>(0, -left);
  for (std::int64_t y = first; y < first + count; ++y, to += size()) {
    const bool inside = y >= 0 && y < h;
    std::fill_n(to, (inside ? begin : pitch) * channels, 0.f);
    if (!inside) continue;
    std::copy_n(image + (y * w + skipped) * channels, (end - begin) * channels, to + begin * channels);
    std::fill_n(to + end * channels, (pitch - end) * channels, 0.f);
  }
}

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
inline constexpr std::int64_t k_slice = 512;  // of a product, for one block after the other
/// A product of so few k writes more than it reads: it makes whole rows of c, one block after the other,
/// where its weight is in the second-level cache all the while.
inline constexpr std::int64_t short_k = 128, short_weight = 64 * 1024;

/// A register block of the left factor: `height` rows from `row` on, whose k run from `begin` to `end`; the
/// others are zero.
struct LeftBlock {
  std::int64_t row;
  int height;
  LeftRows rows;  ///< from `begin` on
  std::int64_t begin, end;
};

/// The rows of a patch matrix read where they lie, not packed: a position's patch is a run of the source for
/// each row of the kernel, and positions side by side lie equally far apart. Where taps reach beyond the left
/// or right border the rows of the source are copied with it; taps above and below are left out.
class RowsInPlace {
 public:
  RowsInPlace(const KernelTable& kernels, const ProductKernels& product, const PatchMatrix& patches,
              std::int64_t threads);

  /// Whether that serves: block rows whose lines share a cache set, and blocks half empty, would cost more
  /// than packing.
  explicit operator bool() const { return serves_; }
  std::int64_t tasks() const { return divide_up(batch_, images_) * parts_; }
  std::int64_t slice() const { return slice_; }
  std::int64_t scratch() const { return bordered_ ? images_ * copied_rows_ * pitch_ : 0; }  ///< of a task
  std::vector<LeftBlock> blocks(std::int64_t task, float* scratch) const;

 private:
  const PatchMatrix& p_;
  std::int64_t max_rows_, run_, runs_, tap_step_ = 0, slice_;  // runs in floats
  std::int64_t batch_, grid_h_, grid_w_, positions_;           // of an image
  std::int64_t source_h_, source_w_;
  std::int64_t images_ = 1, lines_, parts_;  // of a task: whole images, or some lines of one in `parts_`
  std::int64_t pitch_, copied_rows_;         // in floats
  std::int64_t read_run_, read_step_;        // as `LeftRows` has them
  bool serves_ = true, bordered_;
};

STRATA_INLINE RowsInPlace::RowsInPlace(const KernelTable& kernels, const ProductKernels& product,
                                       const PatchMatrix& patches, std::int64_t threads)
    : p_(patches),
      max_rows_(product.max_rows),
      run_(patches.run * patches.channels),
      runs_(patches.columns() / run_),
      batch_(patches.batch),
      grid_h_(patches.grid_h),
      grid_w_(patches.grid_w),
      positions_(grid_h_ * grid_w_),
      source_h_(patches.source_h),
      source_w_(patches.source_w) {
  const auto [top, left] = p_.taps.front();
  if (runs_ > 1) tap_step_ = p_.taps[static_cast<std::size_t>(p_.run)].y - top;
  for (std::int64_t r = 0; r < runs_; ++r) {
    const auto& tap = p_.taps[static_cast<std::size_t>(r * p_.run)];
    serves_ = serves_ && tap.x == left && tap.y == top + r * tap_step_;
  }
  constexpr std::int64_t blocks = 16;  // of a task
  lines_ = std::max<std::int64_t>(1, blocks * max_rows_ / grid_w_);
  if (runs_ * p_.run == 1 && top == 0 && left == 0 && p_.step_h == 1 && p_.step_w == 1 &&
      grid_h_ == source_h_ && grid_w_ == source_w_) {  // all images are one, in lines of any length
    positions_ = patches.rows();
    const std::int64_t share = max_rows_ * fair_share(divide_up(positions_, max_rows_), blocks, threads);
    grid_w_ = source_w_ = std::clamp<std::int64_t>(positions_, 1, share);
    grid_h_ = source_h_ = divide_up(positions_, grid_w_);
    batch_ = lines_ = 1;
  } else if (lines_ < grid_h_) {
    lines_ = fair_share(grid_h_, lines_, threads, batch_);
  } else {
    images_ = fair_share(batch_, std::min(batch_, lines_ / grid_h_), threads);
    lines_ = grid_h_;
  }
  const std::int64_t width = (grid_w_ - 1) * p_.step_w + p_.run;
  bordered_ = left < 0 || left + width > source_w_;
  pitch_ = (bordered_ ? width : source_w_) * p_.channels;
  parts_ = divide_up(grid_h_, lines_);
  const std::int64_t taps_h = (runs_ - 1) * std::abs(tap_step_) + 1;
  copied_rows_ = std::min(source_h_, (lines_ - 1) * p_.step_h + taps_h);

  constexpr std::int64_t set_stride = 1024, longest_run = 1024;
  // A single run may be read in short ones, so that what follows can be fetched meanwhile.
  read_run_ = runs_ == 1 ? kernels.width : run_;
  read_step_ = runs_ == 1 ? kernels.width : tap_step_ * pitch_;
  slice_ = runs_ == 1 ? k_slice : std::max<std::int64_t>(1, k_slice / run_) * run_;
  const std::int64_t height = divide_up(grid_w_, divide_up(grid_w_, max_rows_));
  serves_ = serves_ && &product == &kernels.product && p_.step_w * p_.channels % set_stride != 0 &&
            (runs_ == 1 || run_ <= longest_run) && 2 * height > max_rows_;
}

STRATA_INLINE std::vector<LeftBlock> RowsInPlace::blocks(std::int64_t task, float* scratch) const {
  const auto [top, left] = p_.taps.front();
  const std::int64_t channels = p_.channels, step = p_.step_w * channels, reach = (runs_ - 1) * tap_step_;
  const std::int64_t first_line = task % parts_ * lines_, last_line = std::min(grid_h_, first_line + lines_);
  const std::int64_t first_image = task / parts_ * images_;
  const std::int64_t low =
      std::clamp<std::int64_t>(first_line * p_.step_h + top + std::min<std::int64_t>(0, reach), 0, source_h_);
  const std::int64_t high = std::clamp<std::int64_t>(
      (last_line - 1) * p_.step_h + top + std::max<std::int64_t>(0, reach) + 1, low, source_h_);
  std::vector<LeftBlock> out;
  for (std::int64_t image = first_image; image < std::min(batch_, first_image + images_); ++image) {
    const float* const source = p_.source + image * source_h_ * source_w_ * channels;
    const float* rows = scratch;  // row `low`, at the first tap of its first position
    if (bordered_) {
      const PaddedRows padded{source_h_, source_w_, channels, -left, pitch_ / channels};
      padded.copy(source, low, high - low, scratch);
      scratch += (high - low) * pitch_;
    } else {
      rows = source + (low * source_w_ + left) * channels;
    }
    for (std::int64_t line = first_line; line < last_line; ++line) {
      const std::int64_t y = line * p_.step_h + top;
      const auto outside = [&](std::int64_t r) {
        const std::int64_t at = y + r * tap_step_;
        return at < 0 || at >= source_h_;
      };
      std::int64_t begin = 0, end = runs_;
      while (begin < end && outside(begin)) ++begin;
      while (begin < end && outside(end - 1)) --end;
      if (begin == end) begin = end = 0;  // the sums are zeros
      const float* const at = begin < end ? rows + (y + begin * tap_step_ - low) * pitch_ : rows;
      const std::int64_t width = std::min(grid_w_, positions_ - line * grid_w_);
      const std::int64_t height = divide_up(width, divide_up(width, max_rows_));
      for (std::int64_t x = 0; x < width; x += height)
        out.push_back({image * positions_ + line * grid_w_ + x, static_cast<int>(std::min(height, width - x)),
                       LeftRows{at + x * step, step, read_run_, read_step_}, begin * run_, end * run_});
    }
  }
  return out;
}

/// How `multiply` reads its left factor: in place, or in row blocks that each task packs.
struct LeftFactor {
  RowsInPlace rows_in_place;
  bool in_place;
  int block_rows;
  std::int64_t padded_k, linear, block_size, group;  // of packed rows, in floats; blocks of a task
  std::int64_t zeros, scratch;                       // for all, and of a thread

  LeftFactor(const KernelTable& kernels, const ProductKernels& product, const PatchMatrix& patches,
             bool packed_right, std::int64_t threads)
      : rows_in_place(kernels, product, patches, threads),
        // Rows of b that are not packed come from far apart: short runs of packed rows fetch them.
        in_place(rows_in_place && packed_right),
        block_rows(choose_block_rows(product, patches.rows())),
        padded_k(product.whole_units(patches.columns())),
        linear(padded_k * product.per_unit),
        block_size(block_rows * padded_k),
        group(fair_share(divide_up(patches.rows(), block_rows), blocks_of_task(block_size), threads)),
        zeros(in_place ? 0 : patches.run * patches.channels),
        scratch(in_place ? rows_in_place.scratch() : group * block_size + linear) {}
};

STRATA_INLINE void pack_right_factor(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels,
                                     const ProductKernels& product, std::int64_t k, std::int64_t panels,
                                     Room room, FunctionRef<void(std::int64_t, float*)> pack) {
  const std::int64_t panel = kernels.panel(), size = product.units(k) * panel;
  const auto memory = workspace.lease(product.narrow_panel ? pool.threads() * k * panel : 0);
  float* const out = room(panels * size);
  pool.run(panels, [&](std::int64_t p, int worker) {
    float* const to = out + p * size;
    float* const floats = product.narrow_panel ? memory.data() + worker * k * panel : to;
    pack(p, floats);
    if (product.narrow_panel) product.narrow_panel(k, floats, to);
  });
}

STRATA_INLINE std::int64_t product_scratch(const ThreadPool& pool, const KernelTable& kernels,
                                           const ProductKernels& product, const PatchMatrix& patches,
                                           bool packed) {
  const LeftFactor left(kernels, product, patches, packed, pool.threads());
  return left.zeros + pool.threads() * left.scratch;
}

STRATA_INLINE void multiply(
    ThreadPool& pool, Workspace& workspace, const KernelTable& kernels, const ProductKernels& product,
    const PatchMatrix& patches, const RightFactor& b, float* c, const ProductEpilogue& epilogue,
    FunctionRef<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t)> finish) {
  const std::int64_t rows = patches.rows(), k = b.k, columns = b.columns, panel = kernels.panel();
  if (rows == 0 || columns == 0) return;
  const std::int64_t panels = divide_up(columns, panel);
  const LeftFactor a(kernels, product, patches, b.row_stride == panel, pool.threads());
  const int block_rows = a.block_rows;

  // Columns are split only where rows alone do not make tasks enough: each part packs the rows again.
  const std::int64_t task_rows = a.group * block_rows;  // where they are packed
  const std::int64_t groups = a.in_place ? a.rows_in_place.tasks() : divide_up(rows, task_rows);
  const std::int64_t slabs = std::min(panels, divide_up(2 * pool.threads(), groups));
  const std::int64_t slab = divide_up(panels, slabs);

  // An epilogue follows each block of whole panels in registers, elsewhere a task.
  const std::int64_t finished_columns = product.finishes ? columns / panel * panel : 0;

  const auto memory = workspace.lease(a.zeros + pool.threads() * a.scratch);
  float* const zeros = memory.data();
  std::fill_n(zeros, a.zeros, 0.f);

  const auto pack_blocks = [&](std::int64_t first_row, float* linear) {
    float* const first_block = linear + a.linear;
    const std::int64_t count = std::min(task_rows, rows - first_row);
    std::vector<LeftBlock> blocks;
    PatchRows walk(patches, first_row, zeros);
    for (std::int64_t r = 0; r < count; ++r) {
      float* const block = first_block + r / block_rows * a.block_size;
      const std::int64_t length = walk.next();
      product.pack_row(walk.pieces().data(), static_cast<long>(walk.pieces().size()), length, block_rows,
                       static_cast<int>(r % block_rows), linear, block);
      if (r % block_rows == 0)
        blocks.push_back({first_row + r, static_cast<int>(std::min<std::int64_t>(block_rows, count - r)),
                          packed_rows(kernels, block, block_rows), 0, k});
    }
    if (const std::int64_t filled = count % block_rows; filled > 0 && !product.multiply_rows[filled]) {
      float* block = first_block + count / block_rows * a.block_size;  // its missing rows count as zeros
      for (std::int64_t chunk = 0; chunk < a.padded_k / kernels.width;
           ++chunk, block += block_rows * kernels.width)
        std::fill(block + filled * kernels.width, block + block_rows * kernels.width, 0.f);
    }
    return blocks;
  };

  pool.run(groups * slabs, [&](std::int64_t task, int worker) {
    const std::int64_t first_panel = task % slabs * slab;
    const std::int64_t last_panel = std::min(panels, first_panel + slab);
    if (first_panel >= last_panel) return;
    float* const own = zeros + a.zeros + worker * a.scratch;
    const std::vector<LeftBlock> blocks =
        a.in_place ? a.rows_in_place.blocks(task / slabs, own) : pack_blocks(task / slabs * task_rows, own);

    float tile[max_block_rows * max_panel];
    if (product.begin) product.begin();
    const std::int64_t slice = a.in_place ? a.rows_in_place.slice() : k_slice;
    const auto multiply_block = [&](std::int64_t k0, std::int64_t p, const LeftBlock& block) {
      const std::int64_t width = std::min(panel, columns - p * panel);
      const std::int64_t first = std::max(k0, block.begin),
                         steps = std::min({k, k0 + slice, block.end}) - first;
      if (steps <= 0 && k0 > 0) return;
      LeftRows left = block.rows;
      left.data += (first - block.begin) / left.run * left.run_step + (first - block.begin) % left.run;
      const float* right = b.data + p * b.panel_stride + first * b.row_stride;
      // What is not packed comes from far apart: the next rows of a, until the first panel has met them,
      // or, for the first of them, those of b.
      FetchAhead ahead;
      if (a.in_place && p == first_panel && &block != &blocks.back()) {
        const LeftRows& next = (&block + 1)->rows;
        if (next.run == kernels.width) ahead = {next.data + k0, block.height, next.row_step, next.run};
      } else if (&block == blocks.data() && b.row_stride > panel) {
        const std::int64_t step = kernels.width * b.row_stride;
        ahead = {right + step, kernels.width, b.row_stride, step};
      }
      const auto exact = product.multiply_rows[block.height];
      const auto kernel = exact ? exact : product.multiply_rows[block_rows];
      float* out = c + block.row * columns + p * panel;
      if (exact && width == panel) {
        const ProductEpilogue here = part_of(epilogue, columns, block.row, p * panel);
        const bool last = product.finishes && block.end <= k0 + slice;
        kernel(steps, left, right, b.row_stride, out, columns, {k0 > 0, last ? &here : nullptr}, ahead);
        return;
      }
      kernel(steps, left, right, b.row_stride, tile, panel, false, ahead);
      for (std::int64_t i = 0; i < block.height; ++i)
        for (std::int64_t j = 0; j < width; ++j)
          out[i * columns + j] = k0 > 0 ? out[i * columns + j] + tile[i * panel + j] : tile[i * panel + j];
    };
    const bool whole_rows = k <= short_k && (last_panel - first_panel) * panel * k <= short_weight;
    for (std::int64_t k0 = 0; k0 < k; k0 += slice) {
      if (whole_rows) {
        for (const LeftBlock& block : blocks)
          for (std::int64_t p = first_panel; p < last_panel; ++p) multiply_block(k0, p, block);
      } else {
        for (std::int64_t p = first_panel; p < last_panel; ++p)
          for (const LeftBlock& block : blocks) multiply_block(k0, p, block);
      }
    }
    if (product.end) product.end();
    const LeftBlock &front = blocks.front(), &back = blocks.back();
    const std::int64_t first_column = first_panel * panel,
                       last_column = std::min(columns, last_panel * panel),
                       rest = std::clamp(finished_columns, first_column, last_column),
                       count = back.row + back.height - front.row;
    if (rest < last_column)
      kernels.finish(part_of(epilogue, columns, front.row, rest), count, last_column - rest, columns,
                     c + front.row * columns + rest);
    finish(front.row, count, first_column, last_column - first_column);
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
