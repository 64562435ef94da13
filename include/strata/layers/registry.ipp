#pragma once

#include <strata/layers/registry.hpp>

#if !STRATA_HEADER_ONLY
#define STRATA_INSTANCE extern template class
#include <strata/layers/registry_double.ipp>
#endif

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD std::vector<BasicLayerFactory<T>> builtin_layers() {
#define STRATA_LAYER(...) register_layer<__VA_ARGS__>(),
  return {STRATA_LAYERS(STRATA_LAYER, T)};
#undef STRATA_LAYER
}

#if !STRATA_HEADER_ONLY
template std::vector<BasicLayerFactory<float>> builtin_layers();
template std::vector<BasicLayerFactory<double>> builtin_layers();
#endif

}}  // namespace strata::STRATA_ABI
