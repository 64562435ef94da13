#pragma once

#include <cstdint>
#include <vector>

#include <strata/core/parallel.hpp>
#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/tasks.hpp>
#include <strata/cpu/workspace.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// The left factor of a convolution written as a matrix product, never stored as a whole: one row per
/// position of a grid, holding the channels of the source under every tap of the kernel. A dense product is
/// the case of one tap on a 1x1 image.
struct PatchMatrix {
  struct Tap {
    std::int64_t y, x;  ///< offset from the position's place in the source
  };
  const float* source = nullptr;  ///< [batch,source_h,source_w,channels]
  std::int64_t batch = 0, source_h = 0, source_w = 0, channels = 0;
  std::int64_t grid_h = 0, grid_w = 0;  ///< positions per image
  std::int64_t step_h = 1, step_w = 1;  ///< source pixels from one position to the next
  std::vector<Tap> taps;
  std::int64_t run = 1;  ///< taps that follow each other in the source: one row of an undilated kernel

  std::int64_t rows() const { return batch * grid_h * grid_w; }
  std::int64_t columns() const { return static_cast<std::int64_t>(taps.size()) * channels; }
};

/// Rows of images [h,w,channels] as kernels read them: `pitch` pixels each, `left` of them zeros before the
/// image's, or where that is negative so many of the image's left out, and zeros behind.
struct PaddedRows {
  std::int64_t h, w, channels, left, pitch;

  std::int64_t size() const { return pitch * channels; }
  /// Rows outside of the image are zeros.
  void copy(const float* image, std::int64_t first, std::int64_t count, float* to) const;
};

/// Walks over the rows of a patch matrix, or over some of their columns alone.
class PatchRows {
 public:
  /// `zeros`: run * channels of them, read where a tap lies outside the image.
  PatchRows(const PatchMatrix& patches, std::int64_t row, const float* zeros)
      : PatchRows(patches, row, zeros, 0, patches.columns()) {}
  PatchRows(const PatchMatrix& patches, std::int64_t row, const float* zeros, std::int64_t first_column,
            std::int64_t last_column);

  /// The columns of the current row as pieces of equal length, one behind the other, from column `begin()`
  /// on: the first and the last piece may reach beyond. Moves on to the next row.
  std::int64_t next();
  std::int64_t begin() const { return begin_; }
  const std::vector<const float*>& pieces() const { return pieces_; }

 private:
  const PatchMatrix& patches_;
  const float* zeros_;
  std::int64_t image_, y_, x_;
  std::int64_t first_tap_, last_tap_, begin_ = 0;
  std::vector<const float*> pieces_;
};

/// The right factor [k,columns], in panels (see packing_kernels.hpp) or as it lies in memory. Sizes are in
/// units of the product's kernels.
struct RightFactor {
  const float* data = nullptr;
  std::int64_t k = 0, columns = 0;
  std::int64_t panel_stride = 0;  ///< from one panel of columns to the next
  std::int64_t row_stride = 0;    ///< from one k to the next
};

/// A right factor's panels of floats [k,panel], as `pack(panel, to)` leaves them, in units of `product`.
void pack_right_factor(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels,
                       const ProductKernels& product, std::int64_t k, std::int64_t panels, Room room,
                       FunctionRef<void(std::int64_t, float*)> pack);

inline constexpr auto nothing_more = [](std::int64_t, std::int64_t, std::int64_t, std::int64_t) {};

/// c [rows,columns] = patches * b and what `epilogue` says, the pointers of which are those of the whole c,
/// then finish(first row, rows, first column, columns) for every finished part of c. Every sum runs over k in
/// the same order whatever the split, so threads do not change the bits.
void multiply(
    ThreadPool& pool, Workspace& workspace, const KernelTable& kernels, const ProductKernels& product,
    const PatchMatrix& patches, const RightFactor& b, float* c, const ProductEpilogue& epilogue = {},
    FunctionRef<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t)> finish = nothing_more);

/// Floats of scratch that `multiply` takes for a product with these patches and a right factor that is packed
/// or not.
std::int64_t product_scratch(const ThreadPool& pool, const KernelTable& kernels,
                             const ProductKernels& product, const PatchMatrix& patches, bool packed);

/// c [patches.columns(),columns] (+)= patches^T * b for b [patches.rows(),columns]: the gradient of a kernel.
void multiply_transposed(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels,
                         const PatchMatrix& patches, const float* b, std::int64_t columns, float* c,
                         bool accumulate);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/implicit_product.ipp>
#endif
