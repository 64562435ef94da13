// The layers in double: compiled once in the library, and only declared in registry.ipp, whose factories need
// them, with STRATA_INSTANCE set. Hence no #pragma once.
#include <strata/core/config.hpp>

#if !STRATA_HEADER_ONLY
#ifndef STRATA_INSTANCE
#include <strata/layers/layers.hpp>
#define STRATA_INSTANCE template class
#endif

namespace strata { inline namespace STRATA_ABI {

STRATA_INSTANCE BasicLayerImpl<double>;
#define STRATA_LAYER(...)                                                        \
  STRATA_INSTANCE LayerBase<__VA_ARGS__, double, typename __VA_ARGS__::Options>; \
  STRATA_INSTANCE __VA_ARGS__;
STRATA_LAYERS(STRATA_LAYER, double)
#undef STRATA_LAYER

}}  // namespace strata::STRATA_ABI

#undef STRATA_INSTANCE
#endif
