#pragma once

#include <algorithm>
#include <limits>

#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/tile_convolution.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

STRATA_INLINE TileLines::TileLines(const Conv2DGeometry& g, bool max_pool, std::int64_t threads)
    : geometry(g) {
  if (g.kernel_h * g.kernel_w == 1 && g.pad_top == 0 && g.pad_left == 0 && g.out_h == g.in_h &&
      g.out_w == g.in_w && !max_pool) {
    geometry.in_h = geometry.out_h = g.batch * g.in_h * g.in_w;
    geometry.batch = geometry.in_w = geometry.out_w = 1;
    positions = true;
  }
  const std::int64_t out_h = geometry.out_h, out_w = geometry.out_w;
  pixel = divide_up(g.in_c, 2);
  run = divide_up(g.kernel_w * pixel, tile_size) * tile_size;
  k = g.kernel_h * run;
  const std::int64_t right = out_w + g.kernel_w - 1 - g.pad_left - geometry.in_w;
  pitch = geometry.in_w + std::max<std::int64_t>(g.pad_left, right);

  // What a task reads and the sums of a panel stay in the second-level cache, beside the panel.
  constexpr std::int64_t cache_units = 128 * 1024, panel = 2 * tile_size, most_rows = 2048;
  const std::int64_t wanted = std::min(most_rows, cache_units / (pixel + panel));  // positions
  const std::int64_t most_lines = std::clamp<std::int64_t>(wanted / pitch, 1, out_h);
  const std::int64_t least_parts = divide_up(out_h, most_lines), panels = divide_up(g.out_c, panel);
  // Threads take one task after the other and should end together, though one may be slower: half a task is
  // lost at the end. In rows of a panel's products, rounding a row costs about a half, and a panel, which
  // comes from afar, a tile.
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  const std::int64_t reach = (g.kernel_h - 1) * g.dilation_h;
  const auto rows_of = [&](std::int64_t some_lines) {
    return divide_up((some_lines - 1) * pitch + out_w, tile_size) * tile_size;
  };
  const auto consider = [&](std::int64_t some_parts, std::int64_t some_images, std::int64_t some_slabs) {
    std::int64_t some_lines = divide_up(out_h, some_parts);
    if (max_pool) some_lines = divide_up(some_lines, 2) * 2;
    const std::int64_t groups = divide_up(out_h, some_lines) * divide_up(geometry.batch, some_images);
    const std::int64_t rounded = positions ? 0 : some_images * (some_lines + reach) * pitch / 2;
    const std::int64_t work =
        rounded + divide_up(panels, some_slabs) * (some_images * rows_of(some_lines) + tile_size);
    const std::int64_t time = (2 * divide_up(groups * some_slabs, threads) + (threads > 1)) * work;
    if (time >= least) return;
    least = time;
    lines = some_lines, images = some_images, slabs = some_slabs;
  };
  for (std::int64_t s = 1; s <= std::min(2 * threads, panels); s *= 2) {
    for (std::int64_t i = std::min(wanted / (out_h * pitch), geometry.batch); i > 1; --i) consider(1, i, s);
    for (std::int64_t p = least_parts; p <= std::min(out_h, least_parts + 4 * (threads - 1));
         p += divide_up(threads, 4))
      consider(p, 1, s);
  }
  parts = divide_up(out_h, lines);
  rows = rows_of(lines);
  image_units = (g.pad_left + reach * pitch + std::max(rows, lines * pitch)) * pixel + run + tile_size;
}

STRATA_INLINE bool tile_lines_serve(const Conv2DGeometry& g, const KernelTable& kernels,
                                    const ProductKernels& product, bool max_pool) {
  constexpr std::int64_t most_units = 512 * 1024;
  if (!product.narrow_pixels || g.groups != 1 || g.stride_h != 1 || g.stride_w != 1 || g.dilation_w != 1 ||
      g.batch * g.out_h * g.out_w == 0 || g.pad_top < 0 || g.pad_left < 0 || g.pad_left >= g.kernel_w ||
      g.out_w + g.kernel_w - 1 < g.pad_left + g.in_w)
    return false;
  return TileLines(g, max_pool).scratch(kernels) <= most_units;
}

STRATA_INLINE void pack_tile_kernel(const Engine& engine, const ProductKernels& product,
                                    const Conv2DGeometry& g, Room room,
                                    FunctionRef<void(std::int64_t, std::int64_t, float*)> pack_tap) {
  const TileLines lines(g, false);
  const std::int64_t panel = engine.kernels.panel();
  pack_right_factor(engine.pool, engine.workspace, engine.kernels, product, 2 * lines.k,
                    divide_up(g.out_c, panel), room, [&](std::int64_t p, float* to) {
                      std::fill_n(to, 2 * lines.k * panel, 0.f);
                      for (std::int64_t ky = 0; ky < g.kernel_h; ++ky)
                        for (std::int64_t kx = 0; kx < g.kernel_w; ++kx)
                          pack_tap(ky * g.kernel_w + kx, p,
                                   to + 2 * (ky * lines.run + kx * lines.pixel) * panel);
                    });
}

STRATA_INLINE void tile_convolution(const Engine& engine, const ProductKernels& product,
                                    const Conv2DGeometry& of, const float* x, const float* panels,
                                    const Epilogue<float>& epilogue, float* y) {
  const KernelTable& kernels = engine.kernels;
  const bool max_pool = epilogue.max_pool_2x2;
  const TileLines t(of, max_pool, engine.pool.threads());
  const Conv2DGeometry& g = t.geometry;
  const std::int64_t panel = kernels.panel(), count = divide_up(g.out_c, panel);
  const std::int64_t shrink = max_pool ? 2 : 1, y_h = g.out_h / shrink, y_w = g.out_w / shrink;
  constexpr std::int64_t block = 2 * tile_size, line = 16, cached = 128 * 1024;  // rows, floats, floats
  const std::int64_t reach = (g.kernel_h - 1) * g.dilation_h;  // rows of the image below a line's first
  const auto memory = engine.workspace.lease(engine.pool.threads() * t.scratch(kernels));

  // A 1x1 reads what is narrow where it lies; behind the last position lies as much memory again.
  const bool in_place = epilogue.narrow_x && t.positions && t.run == t.pixel && g.in_h >= 2 * tile_size;
  const std::int64_t x_unit = epilogue.narrow_x ? 2 : 1, y_unit = epilogue.narrow_y ? 2 : 1;

  // Rows [first, first + rows) of an image, as tiles read them.
  const auto narrow = [&](std::int64_t image, std::int64_t first, std::int64_t rows, float* to) {
    float* const end = to + t.image_units;
    std::fill_n(to, g.pad_left * t.pixel, 0.f);
    to += g.pad_left * t.pixel;
    for (std::int64_t row = first; row < first + rows; ++row, to += t.pitch * t.pixel) {
      const bool inside = row >= 0 && row < g.in_h;
      if (inside) {
        const float* const from = x + (image * g.in_h + row) * g.in_w * g.in_c / x_unit;
        if (epilogue.narrow_x)
          std::copy_n(from, g.in_w * t.pixel, to);
        else
          product.narrow_pixels(g.in_w, g.in_c, t.pixel, from, to);
      }
      const std::int64_t filled = inside ? g.in_w : 0;
      std::fill_n(to + filled * t.pixel, (t.pitch - filled) * t.pixel, 0.f);
    }
    std::fill(to, end, 0.f);
  };

  engine.pool.run(t.groups() * t.slabs, [&](std::int64_t task, int worker) {
    const std::int64_t first_panel = count * (task % t.slabs) / t.slabs,
                       last_panel = count * (task % t.slabs + 1) / t.slabs, group = task / t.slabs;
    const std::int64_t first_line = group % t.parts * t.lines, first_image = group / t.parts * t.images;
    const std::int64_t lines = std::min(t.lines, g.out_h - first_line),
                       images = std::min(t.images, g.batch - first_image);
    const std::int64_t rows = (lines - 1) * t.pitch + g.out_w;
    float* const own = memory.data() + worker * t.scratch(kernels);
    float* const sums = own + t.images * t.image_units;
    const float* const inputs = in_place ? x + first_line * t.pixel : own;
    for (std::int64_t i = 0; i < images && !in_place; ++i)
      narrow(first_image + i, first_line - g.pad_top, lines + reach, own + i * t.image_units);

    // Each block asks for its share of the next panel, where those of a task do not stay in the cache.
    const bool streams = (last_panel - first_panel) * t.k * panel > cached;
    const std::int64_t share =
        streams ? divide_up(tile_size * panel / line, images * divide_up(rows, block)) : 0;
    product.begin();
    for (std::int64_t p = first_panel; p < last_panel; ++p) {
      const float* const right = panels + p * t.k * panel;
      const bool half = g.out_c - p * panel <= panel / 2;
      const auto* const multiply = half ? product.multiply_half_panel : product.multiply_rows;
      FetchAhead ahead{right + t.k * panel, p + 1 < last_panel ? share : 0, line, share * line};
      for (std::int64_t i = 0; i < images; ++i) {
        for (std::int64_t row = 0; row < rows; row += block) {
          const std::int64_t height = rows - row > tile_size ? block : tile_size;
          multiply[height](
              t.k,
              {inputs + i * t.image_units + row * t.pixel, t.pixel, t.run, g.dilation_h * t.pitch * t.pixel},
              right, panel, sums + row * panel, panel, false, ahead);
          ahead.next += t.k / tile_size * ahead.run_step;
        }
        const std::int64_t pixel = ((first_image + i) * y_h + first_line / shrink) * y_w;
        const std::int64_t column = p * panel;
        product.finish_panel[epilogue.narrow_y](
            epilogue_of(epilogue, g.out_c, pixel, column),
            {sums, lines, t.pitch, g.out_w, std::min(panel, g.out_c - column), max_pool}, g.out_c,
            y_w * g.out_c, y + (pixel * g.out_c + column) / y_unit);
      }
    }
    product.end();
  });
}

}}}  // namespace strata::STRATA_ABI::cpu
