#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"  // g++ means array bounds of type int
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
#include <strata/cpu/winograd_kernels.hpp>
#pragma GCC diagnostic pop

#define STRATA_STRING_OF(name) #name
#define STRATA_STRING(name) STRATA_STRING_OF(name)

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

template <int Rows>
constexpr KernelTable::MultiplyRows rows_kernel() {
  if constexpr (Rows <= max_rows)
    return multiply_rows<Rows>;
  else
    return nullptr;
}

#if defined(STRATA_COMPILED)
extern const KernelTable table;
#else
inline
#endif
constexpr KernelTable table = {
    .name = STRATA_STRING(STRATA_CPU_ISA),
    .width = width,
    .max_rows = max_rows,
    .transposed_rows = transposed_rows,
    .multiply_rows = {nullptr, rows_kernel<1>(), rows_kernel<2>(), rows_kernel<3>(), rows_kernel<4>(),
                      rows_kernel<5>(), rows_kernel<6>(), rows_kernel<7>(), rows_kernel<8>(),
                      rows_kernel<9>(), rows_kernel<10>(), rows_kernel<11>(), rows_kernel<12>(),
                      rows_kernel<13>(), rows_kernel<14>(), nullptr, nullptr},
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
    .pack_row = pack_row,
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
    .average_pool_backward = average_pool_backward,
    .depthwise = depthwise,
    .depthwise_backward_input = depthwise_backward_input,
    .depthwise_backward_kernel = depthwise_backward_kernel,
    .sgd = sgd,
    .rmsprop = rmsprop,
    .adam = adam,
};

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA
