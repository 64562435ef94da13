#pragma once

#include <strata/cpu/engine.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Transformed kernels [point][panel of outputs][input][panel], points `winograd_point_stride` apart, of
/// taps [3,3,in_c,out_c], or, `flip`ped, of the taps that lead from dy back to dx (in_c and out_c then count
/// the channels of dy and dx).
void pack_winograd(const Engine& engine, int tile, const float* taps, std::int64_t in_c, std::int64_t out_c,
                   bool flip, Room room);

/// Floats of scratch that `winograd_convolution` takes.
std::int64_t winograd_scratch(const Engine& engine, const ConvolutionPlan& plan, const Conv2DGeometry& g);

/// y = f(x * kernel + bias), pooled where the epilogue says so.
void winograd_convolution(const Engine& engine, const ConvolutionPlan& plan, const Conv2DGeometry& g,
                          const float* x, const float* weights, const OutputEpilogue& epilogue, float* y);

/// What a gradient of the kernel has to plan for: g without the last row and the last column of outputs where
/// dy holds nothing but zeros, as it does behind a pooling that has no window there. g itself where
/// Winograd's algorithm does not serve.
Conv2DGeometry without_zero_border(const Conv2DGeometry& g, const float* dy);

/// dkernel (+)= the gradient of the kernel and, unless it is null, dbias (+)= that of the bias: the transform
/// of dy at the point 1. That needs a tile that has this point. The plan may be one for
/// `without_zero_border(g, dy)`.
void winograd_kernel_gradient(const Engine& engine, const ConvolutionPlan& plan, const Conv2DGeometry& g,
                              const float* x, const float* dy, Gradient<float> dkernel,
                              Gradient<float> dbias);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/winograd.ipp>
#endif
