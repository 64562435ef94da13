#pragma once

#include <algorithm>
#include <set>

#include <strata/model/weights.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
template <class T>
STRATA_COLD void collect(const LayerPtr<T>& layer, const std::string& prefix, std::set<const void*>& seen,
                         std::vector<std::pair<std::string, ParameterPtr<T>>>& out) {
  if (const auto sublayers = layer->sublayers(); !sublayers.empty()) {
    for (const auto& sublayer : sublayers) collect(sublayer, prefix + sublayer->name() + "/", seen, out);
    return;
  }
  for (const auto& weight : layer->weights())
    if (seen.insert(weight.get()).second) out.emplace_back(prefix + weight->name(), weight);
}
}  // namespace detail

template <class T>
STRATA_COLD std::vector<std::pair<std::string, ParameterPtr<T>>> named_weights(const BasicLayer<T>& model) {
  std::vector<std::pair<std::string, ParameterPtr<T>>> out;
  std::set<const void*> seen;
  require<ConfigError>(static_cast<bool>(model), "[layer] this layer was never made, or was moved from");
  detail::collect(model.impl(), "", seen, out);
  return out;
}

template <class T>
STRATA_COLD void save_weights(const BasicNetwork<T>& model, const std::string& path) {
  model.model().require_built();
  std::vector<Tensor<T>> values;
  std::vector<SafetensorsEntry> entries;
  const auto weights = named_weights<T>(model);
  values.reserve(weights.size());
  for (const auto& [name, weight] : weights)
    entries.emplace_back(name, values.emplace_back(weight->value().to(nullptr)));
  SafetensorsMetadata metadata{{"format", "strata-weights/1"}, {"model", model.name()}};
  add_checksums(metadata, entries);
  write_safetensors(path, entries, metadata);
}

template <class T>
STRATA_COLD void load_weights(const BasicNetwork<T>& model, const SafetensorsFile& file,
                              const LoadWeightsOptions& options) {
  const std::string& prefix = options.prefix;
  model.model().require_built();
  const auto weights = named_weights<T>(model);
  std::string missing, misshapen, unexpected;
  std::set<std::string> known;
  const auto list = [](std::string& to, const std::string& item) { to += (to.empty() ? "" : ", ") + item; };
  const auto ignored = [&](const std::string& name) {
    return std::any_of(options.ignore.begin(), options.ignore.end(),
                       [&](const std::string& layer) { return name.starts_with(layer + "/"); });
  };
  std::size_t matched = 0;
  for (const auto& [name, weight] : weights) {
    known.insert(prefix + name);
    if (!file.contains(prefix + name)) {
      list(missing, name);
    } else if (const auto& found = file.info(prefix + name).shape; found != weight->shape()) {
      list(misshapen, concat(name, " (expected ", weight->shape(), ", found ", found, ")"));
    } else {
      ++matched;
    }
  }
  for (const auto& name : file.names())
    if (name.starts_with(prefix) && !known.contains(name) && !ignored(name.substr(prefix.size())))
      list(unexpected, name.substr(prefix.size()));
  if (!missing.empty() || !misshapen.empty() || !unexpected.empty()) {
    std::string message =
        concat(model.impl()->who(), "'", file.path(),
               "' does not hold the weights of this network: ", matched, " of ", weights.size(), " match");
    if (!missing.empty()) message += "; missing: " + missing;
    if (!misshapen.empty()) message += "; misshapen: " + misshapen;
    if (!unexpected.empty()) message += "; unexpected: " + unexpected;
    throw WeightError(message);
  }
  // Everything is read before anything changes: a file that breaks off half-way must not leave half a
  // network.
  std::vector<Tensor<T>> values;
  for (const auto& [name, weight] : weights) values.push_back(file.read<T>(prefix + name));
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i].second->mutate() = values[i].to(weights[i].second->value().device());
}

#if !STRATA_HEADER_ONLY
template std::vector<std::pair<std::string, ParameterPtr<float>>> named_weights(const BasicLayer<float>&);
template std::vector<std::pair<std::string, ParameterPtr<double>>> named_weights(const BasicLayer<double>&);
template void save_weights(const BasicNetwork<float>&, const std::string&);
template void save_weights(const BasicNetwork<double>&, const std::string&);
template void load_weights(const BasicNetwork<float>&, const SafetensorsFile&, const LoadWeightsOptions&);
template void load_weights(const BasicNetwork<double>&, const SafetensorsFile&, const LoadWeightsOptions&);
#endif

}}  // namespace strata::STRATA_ABI
