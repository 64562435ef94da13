#pragma once

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Activation::Kind for kernels, whose compiler has no standard library; epilogue.ipp checks that they agree.
namespace activation_kind {
inline constexpr int linear = 0, relu = 1, leaky_relu = 2, elu = 3, sigmoid = 4, tanh = 5, relu6 = 6,
                     silu = 7, gelu = 8, selu = 9, softplus = 10, softsign = 11, hard_sigmoid = 12, mish = 13,
                     softmax = 14;
}

}}}  // namespace strata::STRATA_ABI::cuda
