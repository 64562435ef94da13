#pragma once

#include <string>
#include <vector>

#include <strata/layers/registry.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/fit.hpp>

namespace strata { inline namespace STRATA_ABI {

struct SaveOptions {
  bool include_optimizer = true;      ///< where the model is compiled
  SafetensorsMetadata metadata = {};  ///< entries of your own; Strata's go before those of the same name
};

/// Saves a model to one safetensors file, atomically: weights ("weights/..."), and in the metadata its
/// config, Strata's version and the optimizer, whose state goes beside the weights ("optimizer/...").
template <class T>
void save_model(const BasicModel<T>& model, const std::string& path, const SaveOptions& options = {});

template <class T>
struct BasicLoadOptions {
  std::vector<BasicLayerFactory<T>> custom_layers = {};  ///< register_layer<Mine>() for classes of your own
  DevicePtr device = nullptr;                            ///< null: the default device
  /// Losses, their weights and metrics, which a saved model does not hold. With a loss the model comes back
  /// compiled, its optimizer where it was. A converted Keras model has its own, and comes back compiled with
  /// them, and a new optimizer, unless a loss is given here.
  BasicLosses<T> loss = {};
  LossWeights loss_weights = {};
  BasicMetrics<T> metrics = {}, weighted_metrics = {};
};
using LoadOptions = BasicLoadOptions<float>;

/// Reads what `save_model` wrote, or what weights/convert made of a whole Keras model. Throws DataError for a
/// file that is no model, WeightError where weights do not fit.
template <class T = float>
BasicModel<T> load_model(const std::string& path, BasicLoadOptions<T> options = {});

/// The unbuilt model that `{"class_name": "Sequential", "name": ..., "config": {...}}` describes, with new
/// weights.
template <class T = float>
BasicModel<T> model_from_config(const Json& json, std::span<const BasicLayerFactory<T>> custom = {});

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/saving.ipp>
#endif
