#pragma once

#include <algorithm>
#include <limits>

#include <strata/core/error.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/cpu/tasks.hpp>
#include <strata/cpu/tile_convolution.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

// The cost model counts in vector multiply-adds. Its constants were fitted to measurements of VGG16's layers;
// docs/cpu-engine.md tells how.
namespace cost {
inline constexpr double row_overhead = 0.6;    // of a register block, in rows: the loads of b
inline constexpr double transform = 10;        // per vector and point, input or output
inline constexpr double gather = 4;            // a vector that channels do not fill, in vectors
inline constexpr double pack = 4;              // per vector of a patch row
inline constexpr double gather_run = 30;       // a row of the kernel whose channels do not fill vectors
inline constexpr double cached_weight = 1.5;   // to stream one vector of a packed weight, where it fits
inline constexpr double streamed_weight = 10;  // the third-level cache, and where it does not
inline constexpr std::int64_t cache_bytes = std::int64_t{20} << 20;
}  // namespace cost

STRATA_INLINE std::string ConvolutionPlan::to_string() const {
  if (tile == 0 && few_rows) return "direct, few rows";
  if (tile == 0 && few_channels) return "direct, few channels";
  if (tile == 0) return way();
  return concat("winograd F(", tile, "x", tile, ",3x3), ", tiles(), " tiles by ", block_rows,
                shared ? ", shared transforms" : ", private transforms",
                down * across > 1 ? concat(", ", down, "x", across, " images on a plane") : std::string());
}

STRATA_COLD STRATA_INLINE std::string ConvolutionPlan::way() const {
  if (tile != 0) return concat("winograd ", tile, shared ? ", shared" : "");
  if (few_rows || few_channels) return few_rows ? "few rows" : "few channels";
  if (!product || !*product->name) return "direct";
  return concat("direct, ", product->name, tile_lines ? " in lines" : "");
}

STRATA_INLINE int choose_block_rows(const ProductKernels& product, std::int64_t rows) {
  int best = product.max_rows;
  double least = 1e300;
  for (int r = product.max_rows; r >= 1; --r) {
    if (!product.multiply_rows[r]) continue;
    const double time = static_cast<double>(divide_up(rows, r)) * (r + cost::row_overhead);
    if (time < least * 0.995) {
      least = time;
      best = r;
    }
  }
  return best;
}

STRATA_INLINE Conv2DGeometry transposed(const Conv2DGeometry& g) {
  Conv2DGeometry t = g;
  std::swap(t.in_h, t.out_h);
  std::swap(t.in_w, t.out_w);
  std::swap(t.in_c, t.out_c);
  t.pad_top = (g.kernel_h - 1) * g.dilation_h - g.pad_top;
  t.pad_left = (g.kernel_w - 1) * g.dilation_w - g.pad_left;
  return t;
}

inline bool has_few_channels(const Conv2DGeometry& g) {
  constexpr std::int64_t most = 8, least_width = 8;
  return g.groups == 1 && g.in_c <= most && g.dilation_w == 1 && g.batch > 0 &&
         std::min(g.in_w, g.out_w) >= least_width;
}
STRATA_INLINE bool few_channels_forward(const Conv2DGeometry& g, const KernelTable& kernels) {
  return has_few_channels(g) && g.batch * g.out_h * g.out_w > 2 * kernels.product.max_rows;
}
STRATA_INLINE bool few_channels_input(const Conv2DGeometry& g, const KernelTable& kernels) {
  return has_few_channels(g) && g.out_c % kernels.width == 0;
}
STRATA_INLINE bool few_channels_kernel(const Conv2DGeometry& g, const KernelTable& kernels) {
  constexpr std::int64_t most_sums = 64 * 1024;  // each task has its own
  return has_few_channels(g) &&
         g.kernel_h * g.kernel_w * g.in_c * divide_up(g.out_c, kernels.panel()) * kernels.panel() <=
             most_sums;
}

STRATA_INLINE bool few_rows_forward(const Conv2DGeometry& g, const KernelTable& kernels) {
  const bool dense = g.in_h * g.in_w == 1 && g.out_h * g.out_w == 1 && g.kernel_h * g.kernel_w == 1;
  return dense && g.groups == 1 && g.batch > 0 && g.batch <= 2 * kernels.product.max_rows && g.in_c > 0 &&
         g.out_c >= kernels.panel();
}

STRATA_INLINE bool winograd_serves(const Conv2DGeometry& g) {
  const auto padding_fits = [](std::int64_t pad) { return pad >= 0 && pad <= 2; };
  return g.groups == 1 && g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 &&
         g.dilation_h == 1 && g.dilation_w == 1 && padding_fits(g.pad_top) && padding_fits(g.pad_left) &&
         g.batch > 0;
}

inline double multiply_cost(std::int64_t blocks, int rows, std::int64_t k, std::int64_t panels) {
  return static_cast<double>(blocks * k * panels) * 2 * (rows + cost::row_overhead);
}
inline double weight_cost(std::int64_t bytes, const KernelTable& kernels) {
  return static_cast<double>(bytes) / (4 * kernels.width) *
         (bytes > cost::cache_bytes ? cost::streamed_weight : cost::cached_weight);
}

/// Vectors that a transform of `channels` channels takes, as far as time goes.
inline double transform_vectors(std::int64_t channels, const KernelTable& kernels) {
  return static_cast<double>(channels / kernels.width) + (channels % kernels.width ? cost::gather : 0.0);
}

inline ConvolutionPlan plan_direct(const Conv2DGeometry& g, const KernelTable& kernels,
                                   const ProductKernels& product, bool few_channels = false) {
  ConvolutionPlan plan;
  plan.product = &product;
  const std::int64_t rows = g.batch * g.out_h * g.out_w, k = g.kernel_h * g.kernel_w * g.in_c;
  const std::int64_t panels = divide_up(g.out_c, kernels.panel()), units = product.units(k);
  plan.block_rows = choose_block_rows(product, rows);
  plan.weight_bytes = units * panels * kernels.panel() * 4;
  plan.cost =
      product.unit_cost * multiply_cost(divide_up(rows, plan.block_rows), plan.block_rows, units, panels) +
      weight_cost(plan.weight_bytes, kernels);
  if (!few_channels) plan.cost += cost::pack * static_cast<double>(rows * divide_up(k, kernels.width));
  if (product.narrow_panel && g.kernel_w > 1 && g.in_c % product.per_vector != 0)
    plan.cost += cost::gather_run * static_cast<double>(rows * g.kernel_h);
  plan.few_channels = few_channels;
  return plan;
}

/// By tile_convolution.hpp: what stands on borders, and what fills up rows of the kernel, counts.
inline ConvolutionPlan plan_tile_lines(const Conv2DGeometry& g, bool max_pool, const KernelTable& kernels,
                                       const ProductKernels& product) {
  const TileLines lines(g, max_pool);
  const std::int64_t panels = divide_up(g.out_c, kernels.panel());
  const std::int64_t images = lines.parts * lines.geometry.batch;
  ConvolutionPlan plan;
  plan.product = &product;
  plan.tile_lines = true;
  plan.block_rows = 2 * tile_size;
  plan.weight_bytes = lines.k * panels * kernels.panel() * 4;
  plan.workspace_bytes = lines.scratch(kernels) * 4;
  plan.cost = product.unit_cost * multiply_cost(images * lines.rows / tile_size, tile_size, lines.k, panels) +
              weight_cost(plan.weight_bytes, kernels) +
              static_cast<double>(images * lines.image_units / kernels.width);
  return plan;
}

/// Lays out the tiles of `tile` x `tile` outputs. Small images share a plane where that saves tiles; padding
/// between them is shared as well. Pooled images stay alone, so that windows do not straddle tiles.
inline void lay_out_tiles(ConvolutionPlan& plan, const Conv2DGeometry& g, bool max_pool, bool share) {
  const std::int64_t out_h = max_pool ? g.out_h / 2 * 2 : g.out_h,
                     out_w = max_pool ? g.out_w / 2 * 2 : g.out_w;
  plan.pitch_h = std::max({g.in_h + g.pad_top, g.out_h + 2 - g.pad_top, g.out_h});
  plan.pitch_w = std::max({g.in_w + g.pad_left, g.out_w + 2 - g.pad_left, g.out_w});
  const auto consider = [&](std::int64_t down, std::int64_t across) {
    const std::int64_t planes = divide_up(g.batch, down * across);
    const std::int64_t tiles_h = divide_up((down - 1) * plan.pitch_h + out_h, plan.tile);
    const std::int64_t tiles_w = divide_up((across - 1) * plan.pitch_w + out_w, plan.tile);
    // A shared plane must save something: its tiles across borders are gathered pixel by pixel.
    if (plan.planes != 0 &&
        static_cast<double>(planes * tiles_h * tiles_w) > 0.97 * static_cast<double>(plan.tiles()))
      return;
    plan.down = down, plan.across = across;
    plan.planes = planes, plan.tiles_h = tiles_h, plan.tiles_w = tiles_w;
  };
  consider(1, 1);
  constexpr std::int64_t most = 8;
  if (max_pool || !share || plan.tiles_h * plan.tiles_w > 200) return;
  for (std::int64_t down = 1; down <= std::min(most, g.batch); ++down)
    for (std::int64_t across = 1; across <= most && down * across <= g.batch; ++across)
      consider(down, across);
}

/// `otherwise`: with the transforms shared where the sizes are for private ones, and private where they are
/// for shared ones.
inline ConvolutionPlan plan_winograd(int tile, const Conv2DGeometry& g, bool max_pool, bool share,
                                     const KernelTable& kernels, bool otherwise = false) {
  ConvolutionPlan plan;
  plan.tile = tile;
  lay_out_tiles(plan, g, max_pool, share);
  const std::int64_t panel = kernels.panel(), panels = divide_up(g.out_c, panel), points = plan.points();
  const std::int64_t tiles = plan.tiles();
  plan.block_rows = choose_block_rows(kernels.product, tiles);
  const std::int64_t blocks = divide_up(tiles, plan.block_rows);
  plan.weight_bytes = points * panels * panel * g.in_c * 4;

  // Tasks with transforms of their own read the whole weight each; one that no cache holds is read once, by
  // tasks that own some of its channels and share the transforms of all tiles.
  plan.shared = (plan.weight_bytes > (g.batch < 4 ? cost::cache_bytes / 5 : cost::cache_bytes)) != otherwise;
  plan.slab = std::min(panels * panel, plan.shared || g.out_c >= 256 ? 128 : panels * panel);
  constexpr std::int64_t second_level_bytes = 500'000;
  const std::int64_t block_bytes = 4 * points * plan.block_rows * (g.in_c + plan.slab);
  plan.group = std::max<std::int64_t>(2, second_level_bytes / block_bytes);
  plan.group = plan.shared ? blocks : std::min(plan.group, blocks);
  plan.workspace_bytes = plan.group * block_bytes;

  plan.cost = static_cast<double>(points) * multiply_cost(blocks, plan.block_rows, g.in_c, panels) +
              cost::transform * static_cast<double>(tiles * points) *
                  (transform_vectors(g.in_c, kernels) + transform_vectors(g.out_c, kernels)) +
              weight_cost(plan.weight_bytes, kernels);
  return plan;
}

inline int largest_tile(ConvolutionAccuracy accuracy) {
  return accuracy == ConvolutionAccuracy::exact ? 0 : accuracy == ConvolutionAccuracy::balanced ? 4 : 6;
}
/// The gradient of the kernel by tiles of output gradients.
inline ConvolutionPlan plan_winograd_kernel(int tile, const Conv2DGeometry& g, bool share,
                                            const KernelTable& kernels) {
  ConvolutionPlan plan;
  plan.tile = tile;
  lay_out_tiles(plan, g, false, share);
  const std::int64_t points = plan.points(), tiles = plan.tiles();
  const std::int64_t channels = divide_up(g.in_c, kernels.width),
                     panels = divide_up(g.out_c, kernels.panel());
  const std::int64_t tile_bytes = 4 * points * (channels * kernels.width + panels * kernels.panel());
  plan.weight_bytes = 4 * points * channels * kernels.width * panels * kernels.panel();
  // Where sums are small beside the transforms, tasks have their own and transform tiles for themselves, a
  // few at a time in the second-level cache. Else all share the transforms of a group: a small one, unless
  // its sums would have to come from memory each time.
  constexpr std::int64_t own_bytes = std::int64_t{1} << 20, cached_bytes = std::int64_t{8} << 20;
  constexpr std::int64_t task_bytes = 900'000, group_bytes = std::int64_t{64} << 20;
  constexpr std::int64_t most_tiles = 192, few_tiles = 96;
  plan.shared = plan.weight_bytes > own_bytes || tiles * tile_bytes < 2 * wanted_tasks * plan.weight_bytes;
  const bool small = plan.shared && plan.weight_bytes <= cached_bytes && tiles > 2 * few_tiles;
  plan.group = std::clamp<std::int64_t>((plan.shared ? group_bytes : task_bytes) / tile_bytes, 1,
                                        std::min(tiles, small ? few_tiles : most_tiles));
  plan.workspace_bytes = plan.group * tile_bytes + (plan.shared ? 0 : (wanted_tasks - 1) * plan.weight_bytes);
  const double sums = static_cast<double>(plan.weight_bytes / (4 * kernels.width));
  plan.cost = static_cast<double>(points) * multiply_cost(channels * kernels.width / kernels.transposed_rows,
                                                          kernels.transposed_rows, tiles, panels) +
              cost::transform * static_cast<double>(tiles * points) *
                  (transform_vectors(g.in_c, kernels) + transform_vectors(g.out_c, kernels)) +
              cost::transform * sums + weight_cost(plan.weight_bytes, kernels);
  return plan;
}

/// The direct way multiplies blocks of transposed_rows taps x channels; positions are the reduction.
inline ConvolutionPlan plan_direct_kernel(const Conv2DGeometry& g, const KernelTable& kernels,
                                          bool few_channels) {
  const std::int64_t panels = divide_up(g.out_c, kernels.panel());
  const std::int64_t k = g.kernel_h * g.kernel_w * g.in_c, positions = g.batch * g.out_h * g.out_w;
  ConvolutionPlan plan;
  plan.few_channels = few_channels;
  plan.cost = few_channels ? multiply_cost(1, static_cast<int>(k), positions, panels)
                           : multiply_cost(divide_up(k, kernels.transposed_rows), kernels.transposed_rows,
                                           positions, panels) +
                                 cost::pack * static_cast<double>(positions * divide_up(k, kernels.width));
  return plan;
}

/// visit(plan) of every way that serves within the limits, the direct one first; `all`: also those that the
/// model never takes.
template <class Visit>
STRATA_COLD void visit_plans(const ConvolutionTask& task, const KernelTable& kernels,
                             const PlanLimits& limits, bool all, Visit visit) {
  const bool of_input = task.pass == ConvolutionPass::input_gradient,
             of_kernel = task.pass == ConvolutionPass::kernel_gradient;
  const Conv2DGeometry& given = task.geometry;
  const Conv2DGeometry g = of_input ? transposed(given) : given;
  const bool few_channels = of_kernel  ? few_channels_kernel(given, kernels)
                            : of_input ? few_channels_input(given, kernels)
                                       : few_channels_forward(given, kernels);
  const bool few_rows = task.pass == ConvolutionPass::forward && few_rows_forward(given, kernels);
  const auto direct = [&](bool channels, bool rows) {
    ConvolutionPlan plan = of_kernel ? plan_direct_kernel(g, kernels, channels)
                                     : plan_direct(g, kernels, kernels.product, channels);
    plan.few_rows = rows;
    if (of_input && channels) plan.cost = 0;
    visit(plan);
  };
  direct(few_channels, few_rows);
  if (all && (few_channels || few_rows)) direct(false, false);
  const auto visit_if_fits = [&](const ConvolutionPlan& plan) {
    if (limits.memory == 0 || plan.weight_bytes + plan.workspace_bytes <= limits.memory) visit(plan);
  };
  if (limits.bfloat16 && !of_kernel) {
    const bool lines = tile_lines_serve(g, kernels, *limits.bfloat16, task.max_pool);
    if (lines) visit_if_fits(plan_tile_lines(g, task.max_pool, kernels, *limits.bfloat16));
    if (!lines || all) visit_if_fits(plan_direct(g, kernels, *limits.bfloat16));
  }
  if (!winograd_serves(g)) return;
  for (int tile = 2; tile <= largest_tile(limits.accuracy); ++tile) {
    if (task.max_pool && tile % 2 != 0) continue;
    if (of_kernel) {
      visit_if_fits(plan_winograd_kernel(tile, g, limits.share_tiles, kernels));
      continue;
    }
    visit_if_fits(plan_winograd(tile, g, task.max_pool, limits.share_tiles, kernels));
    if (all) visit_if_fits(plan_winograd(tile, g, task.max_pool, limits.share_tiles, kernels, true));
  }
}

STRATA_INLINE ConvolutionPlan plan_convolution(const ConvolutionTask& task, const KernelTable& kernels,
                                               const PlanLimits& limits) {
  ConvolutionPlan best;
  best.cost = std::numeric_limits<double>::infinity();
  visit_plans(task, kernels, limits, false, [&](const ConvolutionPlan& plan) {
    if (plan.cost < best.cost) best = plan;
  });
  return best;
}

STRATA_COLD STRATA_INLINE std::vector<ConvolutionPlan> convolution_plans(const ConvolutionTask& task,
                                                                         const KernelTable& kernels,
                                                                         const PlanLimits& limits) {
  const double most = 3 * plan_convolution(task, kernels, limits).cost;
  std::vector<ConvolutionPlan> out;
  visit_plans(task, kernels, limits, true, [&](const ConvolutionPlan& plan) {
    if (out.empty() || most == 0 || plan.cost <= most) out.push_back(plan);
  });
  return out;
}

}}}  // namespace strata::STRATA_ABI::cpu
