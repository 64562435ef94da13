#pragma once

#include <span>
#include <string>
#include <vector>

#include <strata/layers/layers.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How a layer of one class comes back from its config.
template <class T>
struct BasicLayerFactory {
  std::string class_name;
  LayerPtr<T> (*from_config)(const Json& config);
};
using LayerFactory = BasicLayerFactory<float>;

/// The factory of a layer class of your own, for `load_model`: `register_layer<ScaleImpl>()`.
template <class Impl>
BasicLayerFactory<typename Impl::Scalar> register_layer() {
  return {Impl::type, [](const Json& config) { return Impl::from_config(config); }};
}

/// Strata's own layers.
template <class T>
std::vector<BasicLayerFactory<T>> builtin_layers();

/// The layer that `{"class_name": "Dense", "config": {...}}` describes. Throws DataError for a class that
/// neither Strata nor `custom` has, and for options the class does not have.
template <class T = float>
LayerPtr<T> layer_from_config(const Json& json, std::span<const BasicLayerFactory<T>> custom = {}) {
  const auto& class_name = json.at("class_name").as_string();
  for (const auto& factory : custom)
    if (factory.class_name == class_name) return factory.from_config(json.at("config"));
  for (const auto& factory : builtin_layers<T>())
    if (factory.class_name == class_name) return factory.from_config(json.at("config"));
  throw DataError(concat("[layer] there is no layer class '", class_name,
                         "'; a class of your own is passed in with register_layer"));
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/layers/registry.ipp>
#endif
