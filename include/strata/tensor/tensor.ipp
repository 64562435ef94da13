#pragma once

#include <strata/tensor/tensor.hpp>

#if !STRATA_HEADER_ONLY
namespace strata { inline namespace STRATA_ABI {

template class Tensor<float>;

}}  // namespace strata::STRATA_ABI
#endif
