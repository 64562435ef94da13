#pragma once

#include <algorithm>
#include <cmath>

#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD Trainer<T>::Trainer(BasicCompileOptions<T> options) : options_(std::move(options)) {
  require<ConfigError>(static_cast<bool>(options_.loss), "[compile] expected a loss, found none");
  // The model keeps its own counts, so that one Metric may serve two models.
  for (auto& metric : options_.metrics) {
    require<ConfigError>(static_cast<bool>(metric), "[compile] a metric was never made");
    metric = metric.copy();
  }
  reset_metrics();
}

template <class T>
STRATA_COLD void Trainer<T>::reset_metrics() {
  for (auto& metric : options_.metrics) metric.impl().reset();
}

template <class T>
STRATA_COLD void Trainer<T>::add_metrics_to(Logs& logs, const std::string& prefix) const {
  for (const auto& metric : options_.metrics) logs.set(prefix + metric.impl().name(), metric.impl().result());
}

template <class T>
STRATA_COLD std::vector<Figure> Trainer<T>::figures() const {
  std::vector<Figure> out{{"loss", MonitorMode::min}};
  for (const auto& metric : options_.metrics) out.push_back({metric.impl().name(), metric.impl().mode()});
  return out;
}

// The weights that train now, with a place for each gradient in one contiguous range.
template <class T>
STRATA_COLD void Trainer<T>::plan(ModelImpl<T>& model) {
  const auto parameters = model.trainable_weights();
  const bool same =
      device_ == model.device() && parameters.size() == trained_.size() &&
      std::equal(parameters.begin(), parameters.end(), trained_.begin(),
                 [](const auto& parameter, const Trained& t) { return parameter == t.parameter; });
  if (!same) {
    if (device_ != model.device())
      for (Slots& slots : slots_)
        for (Tensor<T>& values : slots.values)
          if (!values.empty()) values = values.to(model.device());
    device_ = model.device();
    trained_.clear();
    std::int64_t size = 0;
    constexpr std::int64_t line = 64 / sizeof(T);
    for (const auto& parameter : parameters) {
      trained_.push_back({parameter, size, false});
      size += (parameter->shape().size() + line - 1) / line * line;
    }
    gradients_ = Tensor<T>({size}, device_);
  }
  for (Trained& t : trained_) t.written = false;
}

template <class T>
STRATA_COLD Gradient<T> Trainer<T>::gradient(const BasicParameter<T>& parameter) {
  for (Trained& t : trained_)
    if (t.parameter.get() == &parameter)
      return {gradients_.data() + t.offset, std::exchange(t.written, true)};
  return {};
}

template <class T>
STRATA_COLD const Tensor<T>* Trainer<T>::find_slot(const ParameterPtr<T>& parameter, int number) const {
  for (const Slots& slots : slots_)
    if (slots.owner.lock() == parameter && !slots.values[number].empty()) return &slots.values[number];
  return nullptr;
}

template <class T>
STRATA_COLD Tensor<T>& Trainer<T>::slot(const ParameterPtr<T>& parameter, int number) {
  auto found = std::find_if(slots_.begin(), slots_.end(),
                            [&](const Slots& slots) { return slots.owner.lock() == parameter; });
  if (found == slots_.end()) {
    std::erase_if(slots_, [](const Slots& slots) { return slots.owner.expired(); });
    found = slots_.insert(slots_.end(), {parameter, {}});
  }
  Tensor<T>& values = found->values[number];
  if (values.shape() != parameter->shape())
    values = Tensor<T>(parameter->shape(), parameter->value().device());
  return values;
}

template <class T>
STRATA_COLD void Trainer<T>::check(const ModelImpl<T>& model, const DeviceBatch<T>& batch) const {
  const auto& graph = model.graph();
  require<ConfigError>(graph.inputs().size() == 1 && graph.outputs().size() == 1, model.who(),
                       "training takes models of one input and one output");
  require<ShapeError>(batch.x.rank() > 0 && batch.x.shape().without_batch() == graph.input_shapes()[0],
                      model.who(), "expected an input of shape ",
                      graph.input_shapes()[0].with_batch(batch.x.rank() ? batch.x.shape()[0] : 0), ", found ",
                      batch.x.shape());
  const Shape prediction =
      graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].shape.with_batch(batch.size());
  require<ShapeError>(options_.loss.impl().accepts(prediction, batch.y.shape()), "[",
                      options_.loss.impl().name(), "] a target of shape ", batch.y.shape(),
                      " does not belong to predictions of shape ", prediction, " of layer '",
                      graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].layer->name(), "'");
  const std::int64_t rows = prediction.back() ? prediction.size() / prediction.back() : 0;
  require<ShapeError>(batch.sample_weight.empty() || batch.sample_weight.size() == rows, model.who(),
                      "expected ", rows, " sample weights, found shape ", batch.sample_weight.shape());
}

template <class T>
STRATA_COLD double Trainer<T>::evaluate_loss(ModelImpl<T>& model, const DeviceBatch<T>& batch,
                                             const Tensor<T>& prediction, bool logits, Tensor<T>* gradient) {
  const DevicePtr& device = model.device();
  Backend<T>& backend = device->template backend<T>();
  const std::int64_t classes = prediction.shape().back();
  const std::int64_t rows = classes ? prediction.size() / classes : 0;
  Tensor<T> losses = Tensor<T>::uninitialized({rows}, device);
  options_.loss.impl().compute(
      {.backend = backend,
       .prediction = prediction,
       .target = batch.y,
       .sample_weight = batch.sample_weight.empty() ? nullptr : batch.sample_weight.data(),
       .logits = logits,
       .gradient_scale = rows ? 1.0 / static_cast<double>(rows) : 0,
       .losses = losses.data(),
       .gradient = gradient ? gradient->data() : nullptr});
  double sum = 0;
  const Tensor<T> on_host = losses.to(nullptr);
  for (const T loss : on_host.values()) sum += static_cast<double>(loss);

  if (!options_.metrics.empty()) {
    Tensor<T> activated;
    if (logits) {
      activated = Tensor<T>::uninitialized(prediction.shape(), device);
      backend.activation(model.final_activation(), rows, classes, prediction.data(), activated.data());
    }
    const Tensor<T> output = (logits ? activated : prediction).to(nullptr);
    const Tensor<T> target = batch.y.to(nullptr), weight = batch.sample_weight.to(nullptr);
    for (auto& metric : options_.metrics)
      metric.impl().update(output, target, weight.empty() ? nullptr : weight.data());
  }
  return rows ? sum / static_cast<double>(rows) : 0;
}

// Of all weights that are in a trainable layer; frozen ones cost nothing, as in Keras.
template <class T>
STRATA_COLD double Trainer<T>::penalties(ModelImpl<T>& model, bool with_gradient) {
  double sum = 0;
  Backend<T>& backend = model.device()->template backend<T>();
  for (const auto& parameter : model.trainable_weights()) {
    const Regularizer& r = parameter->regularizer();
    if (!r) continue;
    // Where only the value is wanted the gradient goes to scratch.
    Tensor<T> scratch;
    if (!with_gradient) scratch = Tensor<T>(parameter->shape(), model.device());
    T* target = with_gradient ? gradient(*parameter).data : scratch.data();
    sum += backend.l1_l2_penalty(parameter->shape().size(), r.l1, r.l2, parameter->value().data(), target);
  }
  return sum;
}

template <class T>
STRATA_COLD double Trainer<T>::train_step(ModelImpl<T>& model, const DeviceBatch<T>& batch) {
  check(model, batch);
  plan(model);
  const DevicePtr& device = model.device();
  Backend<T>& backend = device->template backend<T>();
  const auto& graph = model.graph();
  const bool logits = options_.loss.impl().takes_logits_of(model.final_activation());
  Tensor<T> prediction = Tensor<T>::uninitialized(
      graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].shape.with_batch(batch.size()), device);

  const auto session = model.session();
  BasicContext<T>& context = session->begin({.training = true,
                                             .gradients = this,
                                             .linear_output = logits,
                                             .seed = model.seed(),
                                             .step = static_cast<std::uint64_t>(iterations_)});
  const TensorView<const T> x = batch.x;
  const TensorView<T> y = prediction;
  graph.forward({&x, 1}, {&y, 1}, context);

  Tensor<T> dy = Tensor<T>::uninitialized(prediction.shape(), device);
  double loss = evaluate_loss(model, batch, prediction, logits, &dy);
  // Asked before the update spreads it to all weights.
  if (!std::isfinite(loss) && first_non_finite_.empty()) first_non_finite_ = find_non_finite(model, batch);
  if (!trained_.empty()) {
    const TensorView<T> no_dx;
    graph.backward({&x, 1}, prediction, dy, {&no_dx, 1}, context);
    for (Trained& t : trained_)
      if (!t.written) device->fill_zero(gradients_.data() + t.offset, t.parameter->value().bytes());
    loss += penalties(model, true);
    update(backend);
  }
  ++iterations_;
  return loss;
}

template <class T>
STRATA_COLD double Trainer<T>::test_step(ModelImpl<T>& model, const DeviceBatch<T>& batch) {
  check(model, batch);
  const auto& graph = model.graph();
  const bool logits = options_.loss.impl().takes_logits_of(model.final_activation());
  Tensor<T> prediction = Tensor<T>::uninitialized(
      graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].shape.with_batch(batch.size()),
      model.device());
  const auto session = model.session();
  const TensorView<const T> x = batch.x;
  const TensorView<T> y = prediction;
  graph.forward({&x, 1}, {&y, 1}, session->begin({.linear_output = logits, .seed = model.seed()}));
  const double loss = evaluate_loss(model, batch, prediction, logits, nullptr);
  return loss + penalties(model, false);
}

// The one place where all gradients are complete.
template <class T>
STRATA_COLD void Trainer<T>::update(Backend<T>& backend) {
  const Optimizer& optimizer = options_.optimizer;
  const Optimizer::Clipping& clipping = optimizer.clipping();
  const auto scale_for = [](double squares, double limit) {
    const double norm = std::sqrt(squares);
    return norm > limit ? limit / norm : 1.0;
  };
  double global_scale = 1;
  if (clipping.global_norm > 0) {
    double squares = 0;
    for (const Trained& t : trained_)
      squares += backend.sum_of_squares(t.parameter->shape().size(), gradients_.data() + t.offset);
    global_scale = scale_for(squares, clipping.global_norm);
  }
  std::vector<OptimizerUpdate<T>> updates;
  for (const Trained& t : trained_) {
    OptimizerUpdate<T> u{.size = t.parameter->shape().size(), .gradient = gradients_.data() + t.offset};
    u.gradient_scale = global_scale;
    if (clipping.norm > 0)
      u.gradient_scale = scale_for(backend.sum_of_squares(u.size, u.gradient), clipping.norm);
    for (int number = 0; number < 3; ++number)
      if (optimizer.uses_slot(number)) u.slots[number] = slot(t.parameter, number).data();
    u.value = t.parameter->mutate().data();
    updates.push_back(u);
  }
  OptimizerSpec spec = optimizer.spec();
  spec.iteration = iterations_ + 1;
  backend.optimizer_step(spec, updates);
}

template <class T>
STRATA_COLD std::string Trainer<T>::find_non_finite(const ModelImpl<T>& model,
                                                    const DeviceBatch<T>& batch) const {
  const auto session = model.session();
  const TensorView<const T> x = batch.x;
  const std::string layer = model.graph().first_non_finite({&x, 1}, session->begin({.seed = model.seed()}));
  return layer.empty() ? "the loss" : "layer '" + layer + "'";
}

#if !STRATA_HEADER_ONLY
template class Trainer<float>;
template class Trainer<double>;
#endif

}}  // namespace strata::STRATA_ABI
