#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"  // g++ means array bounds of type int
#include <strata/cpu/bfloat16_kernels.hpp>
#include <strata/cpu/depthwise_kernels.hpp>
#include <strata/cpu/elementwise_kernels.hpp>
#include <strata/cpu/few_channel_kernels.hpp>
#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/micro_kernel.hpp>
#include <strata/cpu/optimizer_kernels.hpp>
#include <strata/cpu/packing_kernels.hpp>
#include <strata/cpu/pixel_kernels.hpp>
#include <strata/cpu/pooling_kernels.hpp>
#include <strata/cpu/reduction_kernels.hpp>
#include <strata/cpu/tile_kernels.hpp>
#include <strata/cpu/winograd_kernels.hpp>
#pragma GCC diagnostic pop

#define STRATA_STRING_OF(name) #name
#define STRATA_STRING(name) STRATA_STRING_OF(name)

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

template <class Units, int Rows>
constexpr void add_row_kernels(ProductKernels& to) {
  if constexpr (Rows <= max_rows) {
    to.multiply_rows[Rows] = multiply_rows<Rows, Units>;
    add_row_kernels<Units, Rows + 1>(to);
  }
}
template <class Units>
constexpr ProductKernels vector_products(const char* name) {
  ProductKernels to{.name = name,
                    .per_unit = Units::per_unit,
                    .per_vector = Units::per_unit * width,
                    .max_rows = max_rows,
                    .unit_cost = 1,
                    .finishes = true,
                    .pack_row = pack_row<Units>};
  add_row_kernels<Units, 1>(to);
  return to;
}
constexpr ProductKernels bfloat16_vectors() {
  ProductKernels to{};
#if STRATA_CPU_BFLOAT16
  to = vector_products<Bfloat16Pairs>("bfloat16");
  to.narrow_panel = narrow_panel;
#endif
  return to;
}
constexpr ProductKernels bfloat16_tiles() {
  ProductKernels to = bfloat16_vectors();
#if STRATA_CPU_BFLOAT16
  to = {.name = "bfloat16 tiles",
        .per_unit = 2,
        .per_vector = 2 * tile_size,
        .max_rows = 32,
        .unit_cost = 1. / 6,
        .pack_row = to.pack_row,
        .narrow_panel = to.narrow_panel,
        .narrow_pixels = narrow_pixels,
        .finish_panel = {finish_panel<false>, finish_panel<true>},
        .begin = AmxTiles::begin,
        .end = AmxTiles::end};
  to.multiply_rows[16] = multiply_tiles<16>;
  to.multiply_rows[32] = multiply_tiles<32>;
  to.multiply_half_panel[16] = multiply_tiles<16, tile_size>;
  to.multiply_half_panel[32] = multiply_tiles<32, tile_size>;
#endif
  return to;
}

#if defined(STRATA_COMPILED)
extern const KernelTable table;
#else
inline
#endif
constexpr KernelTable table = {
    .name = STRATA_STRING(STRATA_CPU_ISA),
    .width = width,
    .transposed_rows = transposed_rows,
    .product = vector_products<Floats>(""),
    .bfloat16_tiles = bfloat16_tiles(),
    .bfloat16_vectors = bfloat16_vectors(),
    .multiply_row = multiply_row,
    .multiply_transposed = multiply_transposed,
    .few_channel_forward = few_channel_forward,
    .few_channel_gradient = few_channel_gradient,
    .few_channel_backward_input = few_channel_backward_input,
    .winograd = {{},
                 {},
                 winograd_kernels<2>(),
                 winograd_kernels<3>(),
                 winograd_kernels<4>(),
                 winograd_kernels<5>(),
                 winograd_kernels<6>()},
    .pack_panels = pack_panels,
    .pack_panels_transposed = pack_panels_transposed,
    .activate = activate,
    .activate_backward = activate_backward,
    .finish = finish,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .affine = affine,
    .axpy = axpy,
    .add = add,
    .dropout = dropout,
    .normalize = normalize,
    .normalize_backward = normalize_backward,
    .column_sums = column_sums,
    .column_squares = column_squares,
    .column_products = column_products,
    .sum_of_squares = sum_of_squares,
    .l1_l2 = l1_l2,
    .scale_bytes = scale_bytes,
    .scale_pixels = scale_pixels,
    .warp_bytes = warp_row<std::uint8_t>,
    .warp_floats = warp_row<float>,
    .value_range = value_range,
    .shift_values = shift_values,
    .brighten = brighten,
    .max_pool = max_pool,
    .average_pool = average_pool,
    .max_pool_backward = max_pool_backward,
    .max_pool_argmax = max_pool_argmax,
    .max_pool_argmax_backward = max_pool_argmax_backward,
    .average_pool_backward = average_pool_backward,
    .depthwise_rows = depthwise_rows,
    .depthwise = depthwise,
    .depthwise_backward_input = depthwise_backward_input,
    .depthwise_backward_kernel = depthwise_backward_kernel,
    .sgd = sgd,
    .rmsprop = rmsprop,
    .adam = adam,
};

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
