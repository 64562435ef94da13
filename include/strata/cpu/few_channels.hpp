#pragma once

#include <strata/cpu/engine.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// y = x * kernel, of `panels` as pack_panels makes them, then finish(first position, positions) for every
/// finished row of y.
void few_channel_convolution(const Engine& engine, const Conv2DGeometry& g, const float* x,
                             const float* panels, float* y,
                             FunctionRef<void(std::int64_t, std::int64_t)> finish);

/// Floats of scratch that `few_channel_convolution` takes.
std::int64_t few_channel_scratch(const Engine& engine, const Conv2DGeometry& g);

/// dx (+)= the gradient of the input.
void few_channel_input_gradient(const Engine& engine, const Conv2DGeometry& g, const float* dy,
                                const float* kernel, float* dx, bool accumulate);

/// dkernel (+)= the gradient of the kernel and, unless it is null, dbias (+)= that of the bias, from one pass
/// over dy.
void few_channel_kernel_gradient(const Engine& engine, const Conv2DGeometry& g, const float* x,
                                 const float* dy, Gradient<float> dkernel, Gradient<float> dbias);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/few_channels.ipp>
#endif
