#pragma once

#include <cstdint>

#include <strata/core/config.hpp>
#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Elementwise functions as the kernels know them; softmax has kernels of its own.
enum class Function : int {
  linear,
  relu,
  leaky_relu,
  elu,
  sigmoid,
  tanh,
  relu6,
  silu,
  gelu,
  selu,
  softplus,
  softsign,
  hard_sigmoid,
  mish
};

/// One optimizer step with all that is the same for every element computed beforehand.
struct OptimizerCoefficients {
  float learning_rate, gradient_rate, momentum, rho, epsilon, decay, gradient_scale, clip_value;
  float one_minus_rho, one_minus_beta_1, one_minus_beta_2;  ///< from double: 1 - 0.999f is off by 1e-5
  bool nesterov, centered, amsgrad;
};

/// Sizes of a pooling window run, in elements: see pooling_kernels.hpp.
struct PoolRow {
  long in_w, channels, out_w, pool_w, stride_w, pad_left;
  long window_h;  ///< rows of the window inside the image
  bool tiled;     ///< windows follow each other without gaps: gradients are written, not added
};

/// One row of a depthwise convolution, in elements: see depthwise_kernels.hpp. Or several of its
/// output, of a 3x3 kernel that is not dilated and steps downwards as it does to the right.
struct DepthwiseRow {
  long in_w, channels, out_w, kernel_w, stride_w, dilation_w, pad_left;
  long rows;
  long first_tap, last_tap;  ///< under the first row's taps and on, [first, last) lie inside the image
  long tap_step;             ///< from one of their input rows to the next
};

/// One row of a warped picture [height,width,channels]: pixel i of it is what lies at (m[0] row + m[1] c +
/// m[2], m[3] row + m[4] c + m[5]), c = i or, reversed, width - 1 - i. See pixel_kernels.hpp.
struct WarpRow {
  long height, width, channels;
  long row;
  const double* matrix;
  bool reverse;
  PixelSampling sampling;
};

/// Images side by side on planes of down x across, `pitch` apart, so that small images share tiles. Planes of
/// one image are the ordinary case.
struct ImagePlane {
  long images, h, w, channels;
  long down = 1, across = 1, pitch_h = 0, pitch_w = 0;
};
/// What follows a product: y = f(scale * y + bias + residual), whose rows lie as those of y; null: left out.
struct ProductEpilogue {
  Function f = Function::linear;
  float slope = 0;
  const float *scale = nullptr, *bias = nullptr, *residual = nullptr;
};
/// The epilogue from (row, column) of a result [rows,channels] on. Always inlined, so that kernels may call
/// it: one of an instruction set's copies would serve all.
[[gnu::always_inline]] inline ProductEpilogue part_of(ProductEpilogue e, std::int64_t channels,
                                                      std::int64_t row, std::int64_t column) {
  if (e.scale) e.scale += column;
  if (e.bias) e.bias += column;
  if (e.residual) e.residual += row * channels + column;
  return e;
}
/// What follows a Winograd convolution: y = f(scale * sum + bias + residual), f(x) = x for x >= 0, else slope
/// * x; or f(sum + bias) and a maximum over 2x2, whose places in the windows go to `argmax`, unless null.
struct OutputEpilogue {
  const float* bias = nullptr;
  float slope = 1;
  bool max_pool = false;
  const float* scale = nullptr;
  const float* residual = nullptr;
  std::uint8_t* argmax = nullptr;
};

/// One row of a convolution of few channels, in floats: see few_channel_kernels.hpp.
struct FewChannelRow {
  long positions;         ///< outputs of the row
  long step;              ///< from the inputs of one position to those of the next
  long taps_h, tap_step;  ///< rows of the kernel; from one of their input rows to the next
  long run;               ///< a row of the kernel: taps times channels
  long columns;           ///< output channels
};

/// Pixels of a row of the input's gradient that lie `step` floats apart and meet the same taps.
struct FewChannelInputRow {
  long pixels, channels, step;
  long columns;  ///< output channels: whole vectors
  long taps;
  const float* const* dy;      ///< [taps], at the first pixel; those of the next are `columns` behind
  const float* const* kernel;  ///< [taps]: [channels,columns]
  bool accumulate;
};

/// Transforms of F(tile x tile, 3x3), points = (tile + 2)^2: see winograd_kernels.hpp.
struct WinogradKernels {
  int tile;
  void (*input)(const ImagePlane& plane, const float* images, long index, long y, long x, float* out,
                long chunk_stride, long point_stride);
  void (*kernel)(const float* taps, long tap_stride, long in_stride, long out_stride, bool flip,
                 long in_count, long columns, float* panel, long point_stride);
  void (*output)(const ImagePlane& plane, float* images, long index, long y, long x, long first_channel,
                 long channels, const float* sums, long point_stride, const OutputEpilogue& epilogue);
  void (*gradient)(const ImagePlane& plane, const float* images, long index, long y, long x, float* out,
                   long panel_stride, long point_stride);
  void (*kernel_gradient)(long rows, long columns, const float* sums, long row_stride, long point_stride,
                          float* taps, long taps_row_stride, long tap_stride, bool accumulate);
  /// The point at which `gradient` yields the sum of the tile, and what it is to be multiplied by; -1: none.
  int sum_point = -1;
  double sum_scale = 0;
};

/// Rows of a left factor, in units: that of row i and k lies at data[i * row_step + k / run * run_step + k %
/// run].
struct LeftRows {
  const float* data;
  long row_step, run, run_step;
};
/// What a product asks for meanwhile: for each run of its left factor (of tiles, each `tile_size` of k)
/// `lines` cache lines, `step` floats apart, those of the next `run_step` behind.
struct FetchAhead {
  const float* next = nullptr;
  long lines = 0, step = 0, run_step = 0;
};

/// What becomes of a register block's sums: those of c are added, then follows an epilogue whose pointers are
/// those of the block; null: none.
struct AfterSums {
  bool accumulate;
  const ProductEpilogue* epilogue;
  AfterSums(bool add, const ProductEpilogue* then = nullptr) : accumulate(add), epilogue(then) {}
};

/// Sums [lines,pitch,panel] of one panel of a convolution's columns, as `finish_panel` reads them: of each
/// line the first `positions`, of these the first `columns`.
struct PanelSums {
  const float* data;
  long lines, pitch, positions, columns;
  bool max_pool = false;  ///< by 2x2
};

inline constexpr int tile_size = 16;  ///< rows of a tile, and units in one of them

/// How a matrix product computes with factors of one type. They lie in memory in units of 4 bytes along k: a
/// float, or two bfloat16 that follow each other. Sums are floats.
struct ProductKernels {
  const char* name;       ///< "", "bfloat16", "bfloat16 on tiles"
  int per_unit = 1;       ///< numbers in a unit
  int per_vector = 1;     ///< and in a vector of units
  int max_rows = 0;       ///< rows of the largest register block; 0: there are none
  double unit_cost = 1;   ///< time of a unit, a multiply-add of floats being 1
  bool finishes = false;  ///< whether `multiply_rows` heeds an epilogue

  /// [rows] of micro_kernel.hpp; null where there is no block of that many rows.
  using MultiplyRows = void (*)(long k, const LeftRows& a, const float* b, long b_stride, float* c,
                                long c_stride, const AfterSums& after, const FetchAhead& ahead);
  MultiplyRows multiply_rows[33] = {};
  MultiplyRows multiply_half_panel[33] = {};  ///< of tiles: the first half of a panel's columns alone
  void (*pack_row)(const float* const* taps, long tap_count, long channels, int rows, int row, float* linear,
                   float* block) = nullptr;
  /// Rows of floats [k,panel] -> units, filled up with zeros to whole vectors along k; null where a float is
  /// one.
  void (*narrow_panel)(long k, const float* from, float* to) = nullptr;
  // Of tiles, see tile_convolution.hpp: pixels of floats -> units, and sums -> results, [1] in bfloat16.
  void (*narrow_pixels)(long pixels, long channels, long units, const float* from, float* to) = nullptr;
  void (*finish_panel[2])(const ProductEpilogue& epilogue, const PanelSums& sums, long pixel, long line,
                          float* y) = {};
  // Around the products of one task, in its thread; null: nothing to do.
  void (*begin)() = nullptr;
  void (*end)() = nullptr;

  /// Units of k numbers, filled up to whole vectors.
  std::int64_t whole_units(std::int64_t k) const {
    return (k + per_vector - 1) / per_vector * per_vector / per_unit;
  }
  /// Those of a right factor.
  std::int64_t units(std::int64_t k) const { return narrow_panel ? whole_units(k) : k; }
};

/// What runs once per element, built once per instruction set: the only way from the engine's ordinary code
/// to the code that depends on the instruction set. Pointers and numbers only, nothing that allocates.
struct KernelTable {
  const char* name;     ///< "avx512"
  int width;            ///< floats in a vector
  int transposed_rows;  ///< rows of the register block of `multiply_transposed`

  ProductKernels product;
  /// In bfloat16, on tiles and in vectors: what is built, not what the processor has (see
  /// `bfloat16_product`).
  ProductKernels bfloat16_tiles, bfloat16_vectors;
  void (*multiply_row)(long k, const float* a, const float* b, long b_stride, long columns, float* c,
                       bool accumulate);
  void (*multiply_transposed)(long k, const float* a, long a_stride, const float* b, long b_stride, float* c,
                              long c_stride, bool accumulate);

  // few_channel_kernels.hpp
  void (*few_channel_forward)(const FewChannelRow& row, const float* x, const float* panels,
                              const ProductEpilogue* epilogue, float* y);
  void (*few_channel_gradient)(const FewChannelRow& row, const float* x, const float* dy, float* sums);
  void (*few_channel_backward_input)(const FewChannelInputRow& row, float* dx);

  WinogradKernels winograd[7];  ///< [tile], from 2 to 6

  // packing_kernels.hpp
  void (*pack_panels)(long k, long columns, const float* b, long b_stride, float* panels);
  void (*pack_panels_transposed)(long k, long columns, const float* b, long b_stride, float* panels,
                                 long panel_stride);

  // elementwise_kernels.hpp
  void (*activate)(Function f, float slope, long count, const float* x, float* y);
  void (*activate_backward)(Function f, float slope, long count, const float* from, const float* dy,
                            float* dx);
  void (*finish)(const ProductEpilogue& epilogue, long rows, long columns, long stride, float* y);
  void (*softmax)(long rows, long channels, const float* x, float* y);
  void (*softmax_backward)(long rows, long channels, const float* y, const float* dy, float* dx);
  void (*affine)(long count, float scale, float offset, const float* x, float* y);
  void (*axpy)(long count, float alpha, const float* x, float* y);
  void (*add)(long count, const float* x, float* y);
  void (*dropout)(long first_block, long count, float rate, float scale, const std::uint32_t* key,
                  std::uint64_t step, const float* x, float* y);
  /// y = (x - mean[c]) * scale[c] + offset[c]
  void (*normalize)(long rows, long channels, const float* mean, const float* scale, const float* offset,
                    const float* x, float* y);
  /// dx = dy * a[c] + (x - mean[c]) * b[c] + d[c]
  void (*normalize_backward)(long rows, long channels, const float* mean, const float* a, const float* b,
                             const float* d, const float* dy, const float* x, float* dx);

  // reduction_kernels.hpp: sums over the rows of one block
  void (*column_sums)(long rows, long channels, const float* x, double* sums);
  void (*column_squares)(long rows, long channels, const float* x, const float* mean, double* sums);
  void (*column_products)(long rows, long channels, const float* x, const float* mean, const float* dy,
                          double* sums);
  double (*sum_of_squares)(long count, const float* x);
  double (*l1_l2)(long count, double l1, double l2, const float* w, float* gradient);

  // pixel_kernels.hpp
  /// y[c] = scale[c] * x[c or, reversed, channels - 1 - c] - mean[c]
  void (*scale_bytes)(long pixels, long channels, const float* scale, const float* mean, bool reverse,
                      const std::uint8_t* x, float* y);
  /// The same in place.
  void (*scale_pixels)(long pixels, long channels, const float* scale, const float* mean, bool reverse,
                       float* x);
  void (*warp_bytes)(const WarpRow& row, const std::uint8_t* x, float* y);
  void (*warp_floats)(const WarpRow& row, const float* x, float* y);
  void (*value_range)(long count, const float* x, float* low, float* high);
  void (*shift_values)(long count, float shift, float low, float high, float* x);
  void (*brighten)(long pixels, long channels, float brightness, float* x);

  // pooling_kernels.hpp: one row of output
  void (*max_pool)(const PoolRow& row, const float* x, float* y);
  void (*average_pool)(const PoolRow& row, const float* x, float* y);
  void (*max_pool_backward)(const PoolRow& row, const float* x, const float* y, const float* dy, float* dx);
  void (*max_pool_argmax)(const PoolRow& row, const float* x, float* y, std::uint8_t* argmax);
  void (*max_pool_argmax_backward)(const PoolRow& row, const std::uint8_t* argmax, const float* dy,
                                   float* dx);
  void (*average_pool_backward)(const PoolRow& row, const float* dy, float* dx);

  // depthwise_kernels.hpp: a row of output, or up to depthwise_rows
  int depthwise_rows;
  void (*depthwise)(const DepthwiseRow& row, const ProductEpilogue& epilogue, const float* x,
                    const float* kernel, float* y);
  void (*depthwise_backward_input)(const DepthwiseRow& row, const float* dy, const float* kernel, float* dx);
  void (*depthwise_backward_kernel)(const DepthwiseRow& row, const float* x, const float* dy, float* dkernel);

  // optimizer_kernels.hpp
  void (*sgd)(const OptimizerCoefficients& c, long count, const float* gradient, float* value,
              float* momentum);
  void (*rmsprop)(const OptimizerCoefficients& c, long count, const float* gradient, float* value,
                  float* velocity, float* momentum, float* average);
  void (*adam)(const OptimizerCoefficients& c, long count, const float* gradient, float* value, float* m,
               float* v, float* v_max);

  int panel() const { return 2 * width; }
};

/// The left factor [ceil(k / width)][rows][width] that `pack_row` writes.
inline LeftRows packed_rows(const KernelTable& kernels, const float* block, long rows) {
  return {block, kernels.width, kernels.width, rows * kernels.width};
}

}}}  // namespace strata::STRATA_ABI::cpu
