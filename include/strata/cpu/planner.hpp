#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <strata/cpu/kernel_table.hpp>
#include <strata/tensor/geometry.hpp>
#include <strata/tensor/policy.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// How much rounding a convolution may add for speed. Relative errors of one layer against double precision:
/// `exact` 3e-7 (direct sums only), `balanced` 1e-6 (Winograd tiles up to 4), `fast` 5e-6 (up to 6).
enum class ConvolutionAccuracy { fast, balanced, exact };

/// What the planner may do.
struct PlanLimits {
  ConvolutionAccuracy accuracy = ConvolutionAccuracy::fast;
  std::int64_t memory =
      0;  ///< most bytes of packed weight and one thread's workspace for a convolution; 0: any
  bool share_tiles = false;  ///< small images of a batch may share tiles (and then a NaN, or rounding errors)
  const ProductKernels* bfloat16 = nullptr;  ///< products that may be taken instead of those of floats
};

enum class ConvolutionPass { forward, input_gradient, kernel_gradient };

/// What is planned.
struct ConvolutionTask {
  ConvolutionPass pass = ConvolutionPass::forward;
  Conv2DGeometry geometry;  ///< of the forward pass
  bool max_pool = false;    ///< by 2x2, behind it
  friend constexpr bool operator==(const ConvolutionTask&, const ConvolutionTask&) = default;
};

/// How a convolution is computed. Chosen from its geometry and the instruction set alone, never from the
/// number of threads, because the tile changes the rounding.
struct ConvolutionPlan {
  int tile = 0;                             ///< Winograd's F(tile x tile, 3x3); 0: direct
  const ProductKernels* product = nullptr;  ///< of the direct way
  bool few_channels = false;                ///< direct, by the kernels of few_channels.hpp
  bool few_rows = false;                    ///< direct, a dense product by few_rows.hpp
  bool tile_lines = false;                  ///< direct, by tile_convolution.hpp
  int block_rows = 0;                       ///< tiles in a register block
  std::int64_t group = 0;                   ///< most register blocks in a task
  std::int64_t slab = 0;                    ///< most output channels computed at a time
  bool shared = false;  ///< inputs of all tiles are transformed first, then tasks split the channels
  std::int64_t down = 1, across = 1;  ///< images that share a grid of tiles
  std::int64_t pitch_h = 0, pitch_w = 0;
  std::int64_t tiles_h = 0, tiles_w = 0, planes = 0;
  double cost = 0;                                     ///< predicted time, in vector multiply-adds
  std::int64_t weight_bytes = 0, workspace_bytes = 0;  ///< packed weight; workspace of one thread

  std::int64_t tiles() const { return planes * tiles_h * tiles_w; }
  std::int64_t points() const { return (tile + 2) * (tile + 2); }
  /// "winograd F(6x6,3x3), 180 tiles by 14, shared transforms"
  std::string to_string() const;
  /// "winograd 6, shared": tells the plans of one task apart.
  std::string way() const;
};

/// What the cost model expects to take the least time.
ConvolutionPlan plan_convolution(const ConvolutionTask& task, const KernelTable& kernels,
                                 const PlanLimits& limits);
/// All that may be measured: those of at most three times the least cost, and ways that the model rules out.
std::vector<ConvolutionPlan> convolution_plans(const ConvolutionTask& task, const KernelTable& kernels,
                                               const PlanLimits& limits);

/// Convolutions whose patches need no packing, by direction: see few_channels.hpp.
bool few_channels_forward(const Conv2DGeometry& g, const KernelTable& kernels);
bool few_channels_input(const Conv2DGeometry& g, const KernelTable& kernels);
bool few_channels_kernel(const Conv2DGeometry& g, const KernelTable& kernels);

/// The geometries of 3x3 kernels that Winograd's algorithm takes.
bool winograd_serves(const Conv2DGeometry& g);

/// Dense products whose weight is read as it lies: see few_rows.hpp.
bool few_rows_forward(const Conv2DGeometry& g, const KernelTable& kernels);

/// The convolution that computes dx from dy: kernels turned around, padding complemented.
Conv2DGeometry transposed(const Conv2DGeometry& g);

/// Rows of a register block for `rows` rows: many rows keep many sums in registers, but the last block should
/// not be half empty.
int choose_block_rows(const ProductKernels& product, std::int64_t rows);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/planner.ipp>
#endif
