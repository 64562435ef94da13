#pragma once

#include <string>
#include <utility>
#include <vector>

#include <strata/io/safetensors.hpp>
#include <strata/model/model.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Every weight of a model with its path: "block1_conv1/kernel", "vgg16/block1_conv1/kernel" in a nested
/// model. A shared weight comes once.
template <class T>
std::vector<std::pair<std::string, ParameterPtr<T>>> named_weights(const BasicLayer<T>& model);

/// Saves the weights alone to a safetensors file, atomically.
template <class T>
void save_weights(const BasicNetwork<T>& model, const std::string& path);

struct LoadWeightsOptions {
  std::vector<std::string> ignore =
      {};                   ///< layers whose tensors in the file may be left over: the top, for a base
  std::string prefix = {};  ///< of the names in files that hold more than weights
};

/// Loads weights saved by Strata or converted from elsewhere (see docs/weights.md). Strict: tensors that are
/// missing, unexpected or misshapen are a WeightError that lists them, and then no weight has changed. Throws
/// DataError for a file that is not a safetensors file.
template <class T>
void load_weights(const BasicNetwork<T>& model, const SafetensorsFile& file,
                  const LoadWeightsOptions& options = {});
template <class T>
void load_weights(const BasicNetwork<T>& model, const std::string& path,
                  const LoadWeightsOptions& options = {}) {
  load_weights(model, SafetensorsFile(path), options);
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/weights.ipp>
#endif
