#pragma once

#include <strata/cpu/engine.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// How tiles of bfloat16 read a convolution of stride 1 where it lies. A task's lines of the image are
/// rounded once, each followed by the zeros that its right border and the left border of the next share: so
/// positions lie equally far apart from line to line, and any 32 in a row are a register block. The few that
/// stand on borders are computed and dropped.
struct TileLines {
  Conv2DGeometry geometry;
  bool positions = false;             ///< a 1x1's, which are the lines of one image
  std::int64_t pixel = 0;             ///< units of a pixel
  std::int64_t run = 0, k = 0;        ///< units of a row of the kernel, filled up with zeros, and of all
  std::int64_t pitch = 0;             ///< pixels from a line to the next
  std::int64_t images = 1;            ///< of a task: more than one where each is whole
  std::int64_t lines = 0, parts = 0;  ///< of outputs, of a task; tasks that share an image
  std::int64_t slabs = 1;             ///< tasks that share their lines, each with some of the panels
  std::int64_t rows = 0;              ///< positions of a task's image, in whole tiles
  std::int64_t image_units = 0;       ///< of the lines that these see

  /// `threads` divide the work evenly.
  TileLines(const Conv2DGeometry& g, bool max_pool, std::int64_t threads = 1);

  std::int64_t groups() const { return parts * divide_up(geometry.batch, images); }
  /// Of a thread, in floats.
  std::int64_t scratch(const KernelTable& kernels) const {
    return images * image_units + rows * kernels.panel();
  }
};

/// Whether a convolution can be read so, in the cache.
bool tile_lines_serve(const Conv2DGeometry& g, const KernelTable& kernels, const ProductKernels& product,
                      bool max_pool);

/// Panels of a kernel in units of k, as `tile_convolution` takes them: pack_tap(tap of g, panel, to) leaves
/// the floats [in_c,panel] of one tap.
void pack_tile_kernel(const Engine& engine, const ProductKernels& product, const Conv2DGeometry& g, Room room,
                      FunctionRef<void(std::int64_t, std::int64_t, float*)> pack_tap);

/// y = what follows of x * kernel, which is pooled by 2x2 first where the epilogue has it; its softmax is
/// left out.
void tile_convolution(const Engine& engine, const ProductKernels& product, const Conv2DGeometry& g,
                      const float* x, const float* panels, const Epilogue<float>& epilogue, float* y);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/tile_convolution.ipp>
#endif
