#pragma once

#include <strata/cpu/engine.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// y = x * kernel, of `panels` as pack_panels makes them, with the epilogue, but for a softmax.
void few_channel_convolution(const Engine& engine, const Conv2DGeometry& g, const float* x,
                             const float* panels, const Epilogue<float>& epilogue, float* y);

/// Floats of scratch that `few_channel_convolution` takes.
std::int64_t few_channel_scratch(const Engine& engine, const Conv2DGeometry& g, bool max_pool);

/// dx (+)= the gradient of the input.
void few_channel_input_gradient(const Engine& engine, const Conv2DGeometry& g, const float* dy,
                                const float* kernel, float* dx, bool accumulate);

/// dkernel (+)= the gradient of the kernel and, unless it is null, dbias (+)= that of the bias, from one pass
/// over dy, which is that behind a pooling where its `argmax` is given.
void few_channel_kernel_gradient(const Engine& engine, const Conv2DGeometry& g, const float* x,
                                 const float* dy, Gradient<float> dkernel, Gradient<float> dbias,
                                 const std::uint8_t* argmax = nullptr);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/few_channels.ipp>
#endif
