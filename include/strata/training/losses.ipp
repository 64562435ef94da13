#pragma once

#include <algorithm>

#include <strata/training/losses.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// By LossKind.
inline constexpr const char* loss_names[] = {
    "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
    "mean_squared_error",  "mean_absolute_error",      "huber"};
inline constexpr const char* loss_classes[] = {
    "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
    "MeanSquaredError",   "MeanAbsoluteError",       "Huber"};

template <class T>
class BackendLoss final : public BasicLossImpl<T> {
 public:
  explicit BackendLoss(LossSpec spec);
  std::string name() const override;
  void compute(const BasicLossArguments<T>& arguments) const override;
  bool on_device() const override { return true; }
  bool takes_logits_of(const Activation& activation) const override;
  bool accepts(const Shape& prediction, const Shape& target) const override;
  void check(const Shape& prediction, TensorView<const float> target) const override;

 private:
  LossSpec spec_;
};

template <class T>
STRATA_COLD std::shared_ptr<BasicLossImpl<T>> backend_loss(const LossSpec& spec) {
  return std::make_shared<BackendLoss<T>>(spec);
}

/// What is given by the names of the outputs, in their order; where one is not named, `missing` or, without
/// it, a ConfigError.
template <class V>
STRATA_COLD std::vector<V> in_order(const std::vector<std::pair<std::string, V>>& named,
                                    const std::vector<std::string>& outputs, const char* what,
                                    const V* missing = nullptr) {
  std::vector<V> out(outputs.size(), missing ? *missing : V());
  std::vector<bool> given(outputs.size());
  const std::string expected = "the model's " + counted_names("output", outputs);
  for (const auto& [name, value] : named) {
    const auto k =
        static_cast<std::size_t>(std::find(outputs.begin(), outputs.end(), name) - outputs.begin());
    require<ConfigError>(k < outputs.size(), "[compile] ", what, " names '", name, "', expected ", expected);
    require<ConfigError>(!given[k], "[compile] ", what, " names '", name, "' twice");
    out[k] = value;
    given[k] = true;
  }
  for (std::size_t k = 0; k < outputs.size() && !missing; ++k)
    require<ConfigError>(given[k], "[compile] ", what, " does not name '", outputs[k], "', expected ",
                         expected);
  return out;
}
}  // namespace detail

template <class T>
STRATA_COLD std::vector<BasicLoss<T>> BasicLosses<T>::in_order(
    const std::vector<std::string>& outputs) const {
  return named_.empty() ? losses_ : detail::in_order<BasicLoss<T>>(named_, outputs, "loss");
}

STRATA_COLD STRATA_INLINE std::vector<double> LossWeights::in_order(
    const std::vector<std::string>& outputs) const {
  return named_.empty() ? weights_ : detail::in_order<double>(named_, outputs, "loss_weights");
}

template <class T>
STRATA_COLD detail::BackendLoss<T>::BackendLoss(LossSpec spec) : spec_(spec) {
  require<ConfigError>(spec.label_smoothing >= 0 && spec.label_smoothing <= 1, "[", name(),
                       "] expected a label_smoothing in [0, 1], found ", spec.label_smoothing);
  require<ConfigError>(spec.delta > 0, "[", name(), "] expected a delta above 0, found ", spec.delta);
}

template <class T>
STRATA_COLD std::string detail::BackendLoss<T>::name() const {
  return detail::loss_names[static_cast<int>(spec_.kind)];
}

template <class T>
STRATA_COLD void detail::BackendLoss<T>::compute(const BasicLossArguments<T>& a) const {
  LossSpec spec = spec_;
  spec.from_logits |= a.logits;
  a.backend.loss(spec, predictions(a.prediction, a.target, a.sample_weight), a.gradient_scale, a.losses,
                 a.gradient);
}

template <class T>
STRATA_COLD bool detail::BackendLoss<T>::takes_logits_of(const Activation& activation) const {
  const bool crossentropy = spec_.kind == LossKind::binary_crossentropy ||
                            spec_.kind == LossKind::categorical_crossentropy ||
                            spec_.kind == LossKind::sparse_categorical_crossentropy;
  return crossentropy && (activation == Activation::sigmoid || activation == Activation::softmax);
}

template <class T>
STRATA_COLD bool detail::BackendLoss<T>::accepts(const Shape& prediction, const Shape& target) const {
  if (spec_.kind != LossKind::sparse_categorical_crossentropy)
    return BasicLossImpl<T>::accepts(prediction, target);
  Shape column = prediction;
  column[-1] = 1;
  return target == column || target == this->rows_of(prediction);
}

template <class T>
STRATA_COLD void detail::BackendLoss<T>::check(const Shape& prediction,
                                               TensorView<const float> target) const {
  if (spec_.kind != LossKind::sparse_categorical_crossentropy) return;
  const std::int64_t classes = prediction.back();
  for (std::int64_t i = 0; i < target.size(); ++i) {
    const float label = target.data()[i];
    require<DataError>(label >= 0 && label < static_cast<float>(classes), "[", name(), "] sample ",
                       i / (target.size() / target.shape()[0]), " of the batch has the label ",
                       static_cast<double>(label), ", expected one of ", classes, " classes, from 0 on");
  }
}

template <class T>
STRATA_COLD BasicLoss<T>::BasicLoss(const char* name) {
  if (!name) return;
  std::string_view wanted = name;
  if (wanted == "mse") wanted = "mean_squared_error";
  if (wanted == "mae") wanted = "mean_absolute_error";
  std::string known;
  for (int kind = 0; kind < static_cast<int>(std::size(detail::loss_names)); ++kind) {
    if (detail::loss_names[kind] == wanted) impl_ = detail::backend_loss<T>({static_cast<LossKind>(kind)});
    known.append(kind ? ", " : "").append(detail::loss_names[kind]);
  }
  require<ConfigError>(impl_ != nullptr, "[loss] '", name, "' is not a loss; there are ", known);
}

template <class T>
STRATA_COLD BasicLoss<T> BasicLoss<T>::from_config(const Json& json) try {
  if (json.is_string()) return json.as_string().c_str();
  const auto name = json.get<std::string>("class_name");
  const Json& config = json.at("config");
  for (int kind = 0; kind < static_cast<int>(std::size(detail::loss_classes)); ++kind)
    if (detail::loss_classes[kind] == name)
      return detail::backend_loss<T>({static_cast<LossKind>(kind), config.get("from_logits", false),
                                      config.get("label_smoothing", 0.0), config.get("delta", 1.0)});
  throw DataError(concat("[loss] '", name, "' is not a loss"));
} catch (const ConfigError& error) {
  throw DataError(error.what());
}

#if !STRATA_HEADER_ONLY
template std::shared_ptr<BasicLossImpl<float>> detail::backend_loss(const LossSpec&);
template std::shared_ptr<BasicLossImpl<double>> detail::backend_loss(const LossSpec&);
template std::vector<BasicLoss<float>> BasicLosses<float>::in_order(const std::vector<std::string>&) const;
template std::vector<BasicLoss<double>> BasicLosses<double>::in_order(const std::vector<std::string>&) const;
template BasicLoss<float>::BasicLoss(const char*);
template BasicLoss<double>::BasicLoss(const char*);
template BasicLoss<float> BasicLoss<float>::from_config(const Json&);
template BasicLoss<double> BasicLoss<double>::from_config(const Json&);
#endif

}}  // namespace strata::STRATA_ABI
