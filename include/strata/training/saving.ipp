#pragma once

#include <charconv>
#include <map>

#include <strata/training/saving.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
template <class T>
STRATA_COLD Json model_json(const ModelImpl<T>& model) {
  return Json::object({{"class_name", model.class_name()},
                       {"name", model.name()},
                       {"trainable", model.trainable()},
                       {"config", model.config()}});
}

inline std::uint64_t seed_of(const Json& config) {
  const std::string text = config.get<std::string>("seed");
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  require<DataError>(error == std::errc() && end == text.data() + text.size(), "[model] '", text,
                     "' is not a seed");
  return seed;
}

template <class T>
STRATA_COLD std::shared_ptr<ModelImpl<T>> model_from_json(const std::string& class_name,
                                                          const std::string& name, const Json& config,
                                                          std::span<const BasicLayerFactory<T>> custom,
                                                          const BuildOptions::Expect& expect, int depth) {
  require<DataError>(depth < 32, "[model] models are nested too deeply");
  std::map<std::string, LayerPtr<T>> layers;
  std::vector<LayerPtr<T>> order;
  for (const Json& entry : config.at("layers").as_array()) {
    const std::string& kind = entry.at("class_name").as_string();
    const Json& layer_config = entry.at("config");
    const std::string layer_name = layer_config.get<std::string>("name");
    LayerPtr<T> layer;
    if (kind == "Sequential" || kind == "Functional") {
      BuildOptions::Expect inside;
      if (expect)
        inside = [&](const std::string& weight, const Shape& shape) {
          expect(layer_name + "/" + weight, shape);
        };
      layer = model_from_json<T>(kind, layer_name, layer_config, custom, inside, depth + 1);
      // Not set_trainable: the layers inside have their own flags.
      layer->BasicLayerImpl<T>::set_trainable(layer_config.get("trainable", true));
    } else {
      layer = layer_from_config<T>(entry, custom);
    }
    layer->set_name(layer_name);
    require<DataError>(layers.emplace(layer_name, layer).second, "[model] two layers are called '",
                       layer_name, "'");
    order.push_back(layer);
  }
  const auto named = [&](const std::string& wanted) {
    const auto found = layers.find(wanted);
    require<DataError>(found != layers.end(), "[model] there is no layer '", wanted, "'");
    return found->second;
  };
  const std::uint64_t seed = seed_of(config);
  if (class_name == "Sequential") {
    std::vector<LayerPtr<T>> sequence;
    for (const Json& layer : config.at("sequence").as_array()) sequence.push_back(named(layer.as_string()));
    auto model = std::make_shared<ModelImpl<T>>(std::move(sequence), name, seed, expect);
    if (const Json* shape = config.find("input_shape"); shape && depth == 0) {
      const Shape shapes[] = {shape->as<Shape>()};
      model->build_root(shapes, expect);
    }
    return model;
  }
  std::vector<typename Graph<T>::Node> nodes;
  for (const Json& node : config.at("nodes").as_array())
    nodes.push_back({named(node.get<std::string>("layer")), node.at("inputs").as<std::vector<int>>(), {}});
  return std::make_shared<ModelImpl<T>>(Graph<T>(std::move(nodes), config.at("inputs").as<std::vector<int>>(),
                                                 config.at("outputs").as<std::vector<int>>()),
                                        name, seed, expect);
}

template <class T>
STRATA_COLD BasicModel<T> root_from_json(const Json& json, std::span<const BasicLayerFactory<T>> custom,
                                         const BuildOptions::Expect& expect) {
  const std::string class_name = json.get<std::string>("class_name");
  require<DataError>(class_name == "Sequential" || class_name == "Functional", "[model] '", class_name,
                     "' is not a model");
  auto model =
      model_from_json<T>(class_name, json.get<std::string>("name"), json.at("config"), custom, expect, 0);
  model->BasicLayerImpl<T>::set_trainable(json.get("trainable", true));
  return BasicModel<T>(std::move(model));
}

/// Weights ("weights/...") and the optimizer's slots ("optimizer/..."), in host memory.
template <class T>
STRATA_COLD std::vector<std::pair<std::string, Tensor<T>>> training_tensors(const BasicModel<T>& model,
                                                                            bool with_optimizer) {
  std::vector<std::pair<std::string, Tensor<T>>> out;
  const auto weights = named_weights<T>(model);
  for (const auto& [name, weight] : weights) out.emplace_back("weights/" + name, weight->value().to(nullptr));
  if (!with_optimizer) return out;
  for (const auto& [name, weight] : weights)
    for (int slot = 0; slot < 3; ++slot)
      if (const Tensor<T>* values =
              model.optimizer().uses_slot(slot) ? model.trainer().find_slot(weight, slot) : nullptr)
        out.emplace_back(concat("optimizer/", slot, "/", name), values->to(nullptr));
  return out;
}

/// The optimizer's slots as the file has them: fresh where it has none.
template <class T>
STRATA_COLD void load_slots(const BasicModel<T>& model, const SafetensorsFile& file) {
  Trainer<T>& trainer = model.trainer();
  for (const auto& [name, weight] : named_weights<T>(model))
    for (int slot = 0; slot < 3; ++slot) {
      if (!trainer.optimizer().uses_slot(slot)) continue;
      const std::string key = concat("optimizer/", slot, "/", name);
      const DevicePtr& device = weight->value().device();
      if (!file.contains(key)) {
        if (trainer.find_slot(weight, slot)) trainer.slot(weight, slot) = trainer.fresh_slot(*weight);
        continue;
      }
      Tensor<T> values = file.template read<T>(key);
      require<WeightError>(values.shape() == weight->shape(), "[model] '", file.path(), "': expected '", key,
                           "' of shape ", weight->shape(), ", found ", values.shape());
      trainer.slot(weight, slot) = values.to(device);
    }
}

constexpr const char* model_format = "strata-model/1";
constexpr const char* weights_format = "strata-weights/1";  // of save_weights and weights/convert
}  // namespace detail

template <class T>
STRATA_COLD BasicModel<T> model_from_config(const Json& json, std::span<const BasicLayerFactory<T>> custom) {
  return detail::root_from_json(json, custom, {});
}

template <class T>
STRATA_COLD void save_model(const BasicModel<T>& model, const std::string& path, const SaveOptions& options) {
  const ModelImpl<T>& impl = model.model();
  impl.require_built();
  const bool with_optimizer = options.include_optimizer && model.compiled();
  SafetensorsMetadata metadata{{"format", detail::model_format},
                               {"strata_version", STRATA_VERSION},
                               {"model", detail::model_json(impl).dump()}};
  if (with_optimizer)
    metadata["optimizer"] =
        Json::object({{"config", model.optimizer().config()}, {"iterations", model.trainer().iterations()}})
            .dump();
  metadata.insert(options.metadata.begin(), options.metadata.end());
  const auto tensors = detail::training_tensors(model, with_optimizer);
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : tensors) entries.emplace_back(name, tensor);
  add_checksums(metadata, entries);
  write_safetensors(path, entries, metadata);
}

template <class T>
STRATA_COLD BasicModel<T> load_model(const std::string& path, BasicLoadOptions<T> options) {
  const SafetensorsFile file(path);
  const auto entry = [&](const char* key) -> const std::string& {
    const auto found = file.metadata().find(key);
    require<DataError>(found != file.metadata().end(), "[model] '", path,
                       "' is not a saved model: its metadata has no '", key, "'");
    return found->second;
  };
  const bool converted =
      entry("format") == detail::weights_format && file.metadata().contains("architecture");
  require<DataError>(converted || entry("format") == detail::model_format, "[model] '", path,
                     "' is not a saved model: expected format '", detail::model_format, "', or '",
                     detail::weights_format, "' with an architecture, found '", entry("format"), "'");
  const std::string prefix = converted ? "" : "weights/";
  // No memory for weights that the file does not hold: a small file must not ask for a large network.
  const auto expect = [&](const std::string& weight, const Shape& shape) {
    const std::string key = prefix + weight;
    require<WeightError>(file.contains(key), "[model] '", path, "' does not hold the weight '", weight, "' ",
                         shape);
    require<WeightError>(file.info(key).shape == shape, "[model] '", path, "': expected the weight '", weight,
                         "' of shape ", shape, ", found ", file.info(key).shape);
  };
  BasicModel<T> model = detail::root_from_json<T>(
      Json::parse(entry(converted ? "architecture" : "model"), path), options.custom_layers, expect);
  if (options.device) model.to(options.device);
  load_weights(model, file, {.prefix = prefix});
  const bool settings = converted && file.metadata().contains("compile");
  if (!options.loss && !settings) return model;
  require<ConfigError>(!converted || settings, "[model] '", path,
                       "' comes from Keras and has no optimizer: load it without a loss, then compile it");
  if (settings) {
    const Json from = Json::parse(entry("compile"), path);
    if (!options.loss) {
      options.loss = BasicLoss<T>::from_config(from.at("loss"));
      const auto metrics = [&](const char* key) {
        std::vector<BasicMetric<T>> out;
        for (const Json& metric : from.at(key).as_array()) out.push_back(BasicMetric<T>::from_config(metric));
        return out;
      };
      options.metrics = metrics("metrics");
      options.weighted_metrics = metrics("weighted_metrics");
    }
    model.compile({.optimizer = Optimizer::from_config(from.at("optimizer")),
                   .loss = std::move(options.loss),
                   .loss_weights = std::move(options.loss_weights),
                   .metrics = std::move(options.metrics),
                   .weighted_metrics = std::move(options.weighted_metrics)});
    return model;
  }

  const Json state = Json::parse(entry("optimizer"), path);
  model.compile({.optimizer = Optimizer::from_config(state.at("config")),
                 .loss = std::move(options.loss),
                 .loss_weights = std::move(options.loss_weights),
                 .metrics = std::move(options.metrics),
                 .weighted_metrics = std::move(options.weighted_metrics)});
  const auto iterations = state.get<std::int64_t>("iterations");
  require<DataError>(iterations >= 0, "[model] '", path, "': expected iterations of 0 or more, found ",
                     iterations);
  model.trainer().set_iterations(iterations);
  detail::load_slots(model, file);
  return model;
}

#if !STRATA_HEADER_ONLY
template BasicModel<float> model_from_config(const Json&, std::span<const BasicLayerFactory<float>>);
template BasicModel<double> model_from_config(const Json&, std::span<const BasicLayerFactory<double>>);
template void save_model(const BasicModel<float>&, const std::string&, const SaveOptions&);
template void save_model(const BasicModel<double>&, const std::string&, const SaveOptions&);
template BasicModel<float> load_model(const std::string&, BasicLoadOptions<float>);
template BasicModel<double> load_model(const std::string&, BasicLoadOptions<double>);
#endif

}}  // namespace strata::STRATA_ABI
