// The layers in float: compiled once in the library, which has this file alone, and only declared in its
// users' files, which get it from layers.hpp with STRATA_INSTANCE set. Hence no #pragma once.
#include <strata/core/config.hpp>

#if !STRATA_HEADER_ONLY
#ifndef STRATA_INSTANCE
#include <strata/layers/layers.hpp>
#define STRATA_INSTANCE template class
#endif

namespace strata { inline namespace STRATA_ABI {

STRATA_INSTANCE BasicLayerImpl<float>;
#define STRATA_LAYER(...)                                                       \
  STRATA_INSTANCE LayerBase<__VA_ARGS__, float, typename __VA_ARGS__::Options>; \
  STRATA_INSTANCE __VA_ARGS__;
STRATA_LAYERS(STRATA_LAYER, float)
#undef STRATA_LAYER

}}  // namespace strata::STRATA_ABI

#undef STRATA_INSTANCE
#endif
