#pragma once

#include <algorithm>
#include <cmath>

#include <strata/core/profile.hpp>
#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD Trainer<T>::Trainer(BasicCompileOptions<T> options, std::vector<std::string> outputs)
    : optimizer_(std::move(options.optimizer)),
      losses_(options.loss.in_order(outputs)),
      loss_weights_(options.loss_weights.in_order(outputs)) {
  const std::size_t count = std::max<std::size_t>(1, outputs.size());
  require<ConfigError>(
      std::any_of(losses_.begin(), losses_.end(), [](const auto& loss) { return static_cast<bool>(loss); }),
      "[compile] expected a loss, found none");
  const std::string of_model = outputs.empty() ? "1 output" : detail::counted_names("output", outputs);
  const auto require_each = [&](std::size_t found, const char* what) {
    require<ConfigError>(found == count, "[compile] expected ", what, " for each of the model's ", of_model,
                         ", found ", found);
  };
  if (losses_.size() == 1) losses_.resize(count, losses_[0]);
  require_each(losses_.size(), "one loss for all outputs or one");
  if (loss_weights_.empty()) loss_weights_.resize(count, 1);
  require_each(loss_weights_.size(), "one of loss_weights");
  for (const double weight : loss_weights_)
    require<ConfigError>(std::isfinite(weight), "[compile] expected finite loss_weights, found ", weight);
  if (count > 1) outputs_ = outputs;
  optimizer_.set_iterations(0);

  const auto track = [&](const BasicMetric<T>& metric, std::size_t output, bool weighted) {
    require<ConfigError>(static_cast<bool>(metric), "[compile] a metric was never made");
    const std::string prefix = outputs_.empty() ? "" : outputs_[output] + "_";
    std::string name = prefix + metric.impl().name();
    if (weighted && std::any_of(metrics_.begin(), metrics_.end(),
                                [&](const auto& other) { return !other.weighted && other.name == name; }))
      name = prefix + "weighted_" + metric.impl().name();
    metric_count_ += metric.impl().device_sums();
    // The model keeps its own counts, so that one Metric may serve two models.
    metrics_.push_back({metric.copy(), output, std::move(name), weighted});
  };
  for (const bool weighted : {false, true}) {
    const auto entries = weighted ? options.weighted_metrics.in_order(outputs, "weighted_metrics")
                                  : options.metrics.in_order(outputs, "metrics");
    if (!entries.empty() && count > 1)
      require_each(entries.size(), weighted ? "an entry of weighted_metrics" : "an entry of metrics");
    for (std::size_t i = 0; i < entries.size(); ++i)
      for (const auto& metric : entries[i].list()) track(metric, count > 1 ? i : 0, weighted);
  }
}

template <class T>
STRATA_COLD std::uint64_t Trainer<T>::linear_outputs(const ModelImpl<T>& model) const {
  const Graph<T>& graph = model.graph();
  std::uint64_t out = 0;
  for (std::size_t k = 0; k < std::min<std::size_t>(64, losses_.size()); ++k)
    if (losses_[k] && losses_[k].impl().takes_logits_of(graph.output(k).layer->final_activation()) &&
        graph.ends(k))
      out |= std::uint64_t{1} << k;
  return out;
}

template <class T>
STRATA_COLD void Trainer<T>::reset_metrics() {
  samples_ = 0;
  for (auto& tracked : metrics_) tracked.metric.impl().reset();
  if (!scalars_.empty())
    device_->fill_zero(total_losses(),
                       static_cast<std::size_t>(loss_count() + metric_count_) * sizeof(double));
}

template <class T>
STRATA_COLD void Trainer<T>::read_scalars(std::int64_t count, double* to) const {
  device_->copy_to_host(to, scalars_.data(), static_cast<std::size_t>(count) * sizeof(double));
}

template <class T>
STRATA_COLD double StepResult<T>::loss() const {
  require<ConfigError>(step_ == trainer_->steps_, "[trainer] the loss of step ", step_,
                       " was asked for after step ", trainer_->steps_);
  double loss = 0;
  trainer_->read_scalars(1, &loss);
  return loss;
}

template <class T>
STRATA_COLD bool Trainer<T>::names_loss(std::size_t k) const {
  return losses_[k] &&
         std::count_if(losses_.begin(), losses_.end(), [](const auto& loss) { return bool(loss); }) > 1;
}

template <class T>
STRATA_COLD Logs Trainer<T>::logs(const std::string& prefix) const {
  std::vector<double> values(static_cast<std::size_t>(sums_end()));
  if (!scalars_.empty()) read_scalars(sums_end(), values.data());
  const double* sums = values.data() + loss_count();
  const auto mean = [&] { return std::exchange(sums, sums + 1)[0] / static_cast<double>(samples_); };
  Logs logs;
  logs.set(prefix + "loss", samples_ ? mean() : 0);
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const double loss = samples_ ? mean() : 0;
    if (names_loss(k)) logs.set(prefix + outputs_[k] + "_loss", loss);
  }
  sums = values.data() + 2 * loss_count();
  for (const auto& tracked : metrics_) {
    auto& metric = tracked.metric.impl();
    if (const auto count = metric.device_sums()) {
      metric.set_sums(sums);
      sums += count;
    }
    logs.set(prefix + tracked.name, metric.result());
  }
  return logs;
}

template <class T>
STRATA_COLD Json Trainer<T>::gathered() const {
  std::vector<double> values(static_cast<std::size_t>(sums_end()));
  if (!scalars_.empty()) read_scalars(sums_end(), values.data());
  Json metrics = Json::array();
  for (const auto& tracked : metrics_) {
    const auto& metric = tracked.metric.impl();
    metrics.push_back(metric.state());
    require<ConfigError>(metric.device_sums() > 0 || !metrics.as_array().back().is_null(), "[metric] '",
                         metric.name(),
                         "' keeps no state, so a run cannot be saved inside an epoch: it needs state() and "
                         "load_state(...)");
  }
  return Json::object({{"samples", samples_},
                       {"sums", Json::array(values)},
                       {"metrics", std::move(metrics)},
                       {"first_non_finite", first_non_finite_}});
}

template <class T>
STRATA_COLD void Trainer<T>::load_gathered(ModelImpl<T>& model, const Json& from) {
  const auto values = from.get<std::vector<double>>("sums");
  const Json& metrics = from.at("metrics");
  require<DataError>(std::ssize(values) == sums_end() && metrics.size() == metrics_.size(), model.who(),
                     "expected ", sums_end(), " sums of ", metrics_.size(), " metrics, found ", values.size(),
                     " of ", metrics.size());
  plan(model, true);
  device_->copy_from_host(scalars_.data(), values.data(), values.size() * sizeof(double));
  samples_ = from.get<std::int64_t>("samples");
  first_non_finite_ = from.get<std::string>("first_non_finite");
  for (std::size_t i = 0; i < metrics.size(); ++i)
    if (!metrics.at(i).is_null()) metrics_[i].metric.impl().load_state(metrics.at(i));
}

template <class T>
STRATA_COLD std::vector<Figure> Trainer<T>::figures() const {
  std::vector<Figure> out{{"loss", MonitorMode::min}};
  for (std::size_t k = 0; k < outputs_.size(); ++k)
    if (names_loss(k)) out.push_back({outputs_[k] + "_loss", MonitorMode::min});
  for (const auto& tracked : metrics_) out.push_back({tracked.name, tracked.metric.impl().mode()});
  return out;
}

// The weights that train now, with a place for each gradient in one contiguous range. Members change only
// when there is memory for all of it.
template <class T>
STRATA_COLD void Trainer<T>::plan(ModelImpl<T>& model, bool training) {
  const auto parameters = training ? model.trainable_weights() : std::vector<ParameterPtr<T>>();
  const bool moved = device_ != model.device();
  const bool same =
      !moved &&
      (!training ||
       (parameters.size() == trained_.size() &&
        std::equal(parameters.begin(), parameters.end(), trained_.begin(),
                   [](const auto& parameter, const Trained& t) { return parameter == t.parameter; })));
  for (Trained& t : trained_) t.written = false;
  const std::int64_t scalars = sums_end() + 2 + std::ssize(parameters);
  if (same && scalars_.size() >= scalars) return;

  const DevicePtr& device = model.device();
  std::vector<Trained> trained;
  std::int64_t size = 0;
  for (const auto& parameter : parameters) {
    trained.push_back({parameter, size, false});
    size += whole_lines<T>(parameter->shape().size());
  }
  Tensor<T> gradients({size}, device);
  Tensor<double> fresh({scalars}, device);
  if (moved)
    for (Slots& slots : slots_)
      for (Tensor<T>& values : slots.values)
        if (!values.empty()) values = values.to(device);
  if (!moved && !scalars_.empty()) {  // what was gathered goes on
    const auto bytes = static_cast<std::size_t>(sums_end()) * sizeof(double);
    device->copy(fresh.data(), scalars_.data(), bytes);
  }
  device_ = device;
  trained_ = std::move(trained);
  gradients_ = std::move(gradients);
  scalars_ = std::move(fresh);
  known_state_ = {-1, -1};
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
  if (values.shape() != parameter->shape()) values = fresh_slot(*parameter);
  return values;
}

template <class T>
STRATA_COLD Tensor<T> Trainer<T>::fresh_slot(const BasicParameter<T>& parameter) const {
  const DevicePtr& device = parameter.value().device();
  const auto initial = static_cast<T>(optimizer_.initial_slot_value());
  if (initial == 0) return Tensor<T>(parameter.shape(), device);
  Tensor<T> values(parameter.shape());
  for (T& value : values.values()) value = initial;
  return values.to(device);
}

template <class T>
STRATA_COLD void Trainer<T>::check(const ModelImpl<T>& model, const DeviceBatch<T>& batch) const {
  const auto& graph = model.graph();
  if (batch.given_path.empty()) model.require_inputs(batch.inputs());
  require<ShapeError>(1 + batch.other_y.size() == losses_.size(), model.who(), "expected targets of the ",
                      detail::counted_names("output", graph.output_names()), ", found ",
                      1 + batch.other_y.size());
  for (std::size_t k = 0; k < losses_.size(); ++k) {
    if (!losses_[k]) continue;
    const Shape prediction = graph.output(k).shape.with_batch(batch.size());
    const auto& loss = losses_[k].impl();
    require<ShapeError>(loss.accepts(prediction, batch.target(k).shape()), "[", loss.name(),
                        "] a target of shape ", batch.target(k).shape(),
                        " does not belong to predictions of shape ", prediction, " of layer '",
                        graph.output(k).layer->name(), "'");
    const std::int64_t rows = prediction.back() ? prediction.size() / prediction.back() : 0;
    require<ShapeError>(batch.sample_weight.empty() || batch.sample_weight.size() == rows, model.who(),
                        "expected ", rows, " sample weights, found shape ", batch.sample_weight.shape());
  }
}

template <class T>
STRATA_COLD void detail::compute_loss(Session<T>& session, const BasicLossImpl<T>& loss,
                                      const BasicLossArguments<T>& arguments) {
  if (loss.on_device() || session.device()->host_accessible()) return loss.compute(arguments);
  const Tensor<T> prediction = session.download(arguments.prediction),
                  target = session.download(arguments.target);
  Backend<T>& backend = session.backend();
  Tensor<T> losses({prediction.shape().rows()}), weight, gradient;
  if (arguments.sample_weight) weight = session.download({arguments.sample_weight, losses.shape()});
  if (arguments.gradient) gradient = Tensor<T>(prediction.shape());
  loss.compute({.backend = backend,
                .prediction = prediction,
                .target = target,
                .sample_weight = weight.empty() ? nullptr : weight.data(),
                .logits = arguments.logits,
                .gradient_scale = arguments.gradient_scale,
                .losses = losses.data(),
                .gradient = gradient.data()});
  backend.upload(arguments.losses, losses.data(), losses.bytes());
  if (arguments.gradient) backend.upload(arguments.gradient, gradient.data(), gradient.bytes());
}

template <class T>
STRATA_COLD void Trainer<T>::update_metrics(Session<T>& session, const DeviceBatch<T>& batch,
                                            std::span<const TensorView<const T>> outputs) {
  double* sums = metric_sums();
  struct OnHost {
    Tensor<T> output, target;
  };
  std::vector<OnHost> on_host(outputs.size());
  Tensor<T> host_weight;
  for (const auto& tracked : metrics_) {
    auto& metric = tracked.metric.impl();
    const TensorView<const T> output = outputs[tracked.output];
    const Tensor<T>& target = batch.target(tracked.output);
    const bool weighted = tracked.weighted && !batch.sample_weight.empty();
    const T* weight = weighted ? batch.sample_weight.data() : nullptr;
    if (const std::int64_t count = metric.device_sums()) {
      metric.accumulate(session.backend(), output, target, weight, sums);
      sums += count;
    } else if (device_->host_accessible()) {
      metric.update(output, target, weight);
    } else {
      OnHost& host = on_host[tracked.output];
      if (host.output.empty()) host = {session.download(output), target.to(nullptr)};
      if (weighted && host_weight.empty()) host_weight = batch.sample_weight.to(nullptr);
      metric.update(host.output, host.target, weighted ? host_weight.data() : nullptr);
    }
  }
}

template <class T>
STRATA_COLD void Trainer<T>::evaluate_loss(Session<T>& session, const ModelImpl<T>& model,
                                           const DeviceBatch<T>& batch,
                                           const std::vector<Scratch<T>>& predictions,
                                           const std::vector<Scratch<T>>& gradients) {
  Backend<T>& backend = session.backend();
  const std::uint64_t linear = linear_outputs(model);
  const auto takes_logits = [&](std::size_t k) { return k < 64 && (linear >> k & 1); };
  std::vector<Scratch<T>> scratch;
  for (std::size_t k = 0; k < losses_.size(); ++k) {
    const std::int64_t rows = predictions[k].shape().rows();
    const double share = rows ? 1.0 / static_cast<double>(rows) : 0;
    const Scratch<T>& losses = scratch.emplace_back(session.scratch({rows}));
    T* const gradient = gradients.empty() ? nullptr : gradients[k].data();
    if (losses_[k])
      detail::compute_loss(
          session, losses_[k].impl(),
          {.backend = backend,
           .prediction = predictions[k].view(),
           .target = batch.target(k),
           .sample_weight = batch.sample_weight.empty() ? nullptr : batch.sample_weight.data(),
           .logits = takes_logits(k),
           .gradient_scale = share * loss_weights_[k],
           .losses = losses.data(),
           .gradient = gradient});
    else {
      backend.zero(losses.data(), static_cast<std::size_t>(rows) * sizeof(T));
      if (gradient)
        backend.zero(gradient, static_cast<std::size_t>(predictions[k].shape().size()) * sizeof(T));
    }
    if (k == 0) {
      ++steps_;
      backend.zero(step_losses(), static_cast<std::size_t>(loss_count()) * sizeof(double));
    }
    backend.add_sum(rows, share * loss_weights_[k], losses.data(), step_losses());
    if (losses_.size() > 1) backend.add_sum(rows, share, losses.data(), step_losses() + 1 + k);
  }
  if (metrics_.empty()) return;
  const auto has_metrics = [&](std::size_t k) {
    return std::any_of(metrics_.begin(), metrics_.end(), [&](const auto& m) { return m.output == k; });
  };
  std::vector<TensorView<const T>> outputs;
  for (std::size_t k = 0; k < losses_.size(); ++k) {
    outputs.push_back(predictions[k].view());
    if (!takes_logits(k) || !has_metrics(k)) continue;
    const Shape& shape = predictions[k].shape();
    const Scratch<T>& activated = scratch.emplace_back(session.scratch(shape));
    backend.activation(model.graph().output(k).layer->final_activation(), shape.rows(), shape.back(),
                       predictions[k].data(), activated.data());
    outputs.back() = activated.view();
  }
  update_metrics(session, batch, outputs);
}

// Of all weights that are in a trainable layer; frozen ones cost nothing, as in Keras.
template <class T>
STRATA_COLD void Trainer<T>::add_penalties(Backend<T>& backend, const ModelImpl<T>& model,
                                           bool with_gradient) {
  for (const auto& parameter : model.trainable_weights())
    if (const Regularizer& r = parameter->regularizer())
      backend.l1_l2_penalty(parameter->shape().size(), r.l1, r.l2, parameter->value().data(),
                            with_gradient ? gradient(*parameter).data : nullptr, step_losses());
}

template <class T>
STRATA_COLD std::vector<Scratch<T>> Trainer<T>::predictions(Session<T>& session, const ModelImpl<T>& model,
                                                            const DeviceBatch<T>& batch) const {
  std::vector<Scratch<T>> out;
  for (std::size_t k = 0; k < losses_.size(); ++k)
    out.push_back(session.scratch(model.graph().output(k).shape.with_batch(batch.size())));
  return out;
}

namespace detail {
template <class T>
STRATA_COLD std::vector<TensorView<T>> views_of(const std::vector<Scratch<T>>& scratch) {
  std::vector<TensorView<T>> out;
  for (const Scratch<T>& each : scratch) out.push_back(each.view());
  return out;
}
}  // namespace detail

template <class T>
STRATA_COLD StepResult<T> Trainer<T>::differentiate(Session<T>& session, const ModelImpl<T>& model,
                                                    const DeviceBatch<T>& batch, bool training,
                                                    std::vector<TensorView<T>> dx) {
  const auto& graph = model.graph();
  Backend<T>& backend = session.backend();
  const bool input_gradient = !dx.empty();
  dx.resize(graph.inputs().size());
  BasicContext<T>& context = session.begin({.training = training,
                                            .gradients = this,
                                            .linear_output = linear_outputs(model),
                                            .input_gradient = input_gradient,
                                            .seed = model.seed(),
                                            .step = static_cast<std::uint64_t>(iterations()),
                                            .given = batch.given()});
  const std::vector<Scratch<T>> y = predictions(session, model, batch);
  PhaseTimer timer(Phase::forward, backend);
  graph.forward(batch.inputs(), detail::views_of(y), context);

  timer.next(Phase::loss);
  std::vector<Scratch<T>> dy = predictions(session, model, batch);
  evaluate_loss(session, model, batch, y, dy);
  const StepResult<T> result(*this, steps_);
  // Where it costs nothing: asked before the update spreads it to all weights.
  if (device_->host_accessible() && !std::isfinite(result.loss())) find_non_finite(model, batch);
  if (trained_.empty() && !input_gradient) return result;
  timer.next(Phase::backward);
  std::vector<Tensor<T>> gradients;
  for (Scratch<T>& each : dy) gradients.push_back(each.take());
  graph.backward_from_outputs(gradients, dx, context);
  for (Trained& t : trained_)
    if (!t.written) backend.zero(gradients_.data() + t.offset, t.parameter->value().bytes());
  add_penalties(backend, model, true);
  return result;
}

template <class T>
STRATA_COLD void Trainer<T>::count_step(Backend<T>& backend, std::int64_t samples) {
  for (std::int64_t i = 0; i < loss_count(); ++i)
    backend.add_scalar(static_cast<double>(samples), step_losses() + i, total_losses() + i);
  samples_ += samples;
}

namespace detail {
/// The one that filled the batch, or any.
template <class T>
std::shared_ptr<Session<T>> session_of(const ModelImpl<T>& model, const DeviceBatch<T>& batch) {
  return batch.session ? batch.session : model.session();
}
}  // namespace detail

template <class T>
STRATA_COLD StepResult<T> Trainer<T>::train_step(ModelImpl<T>& model, const DeviceBatch<T>& batch) try {
  check(model, batch);
  plan(model, true);
  const auto session = detail::session_of(model, batch);
  Backend<T>& backend = session->backend();
  const StepResult<T> result = differentiate(*session, model, batch, true, {});
  if (!trained_.empty()) update(backend);
  count_step(backend, batch.size());
  set_iterations(iterations() + 1);
  return result;
} catch (const OutOfMemoryError&) {
  detail::rethrow_with_plan(model, {.batch_size = batch.size(), .training = true}, training_plan(model));
}

template <class T>
STRATA_COLD StepResult<T> Trainer<T>::test_step(ModelImpl<T>& model, const DeviceBatch<T>& batch) try {
  check(model, batch);
  plan(model, false);
  const auto session = detail::session_of(model, batch);
  BasicContext<T>& context =
      session->begin({.linear_output = linear_outputs(model), .seed = model.seed(), .given = batch.given()});
  const std::vector<Scratch<T>> y = predictions(*session, model, batch);
  model.graph().forward(batch.inputs(), detail::views_of(y), context);
  evaluate_loss(*session, model, batch, y, {});
  add_penalties(session->backend(), model, false);
  count_step(session->backend(), batch.size());
  return {*this, steps_};
} catch (const OutOfMemoryError&) {
  detail::rethrow_with_plan(model, {.batch_size = batch.size()});
}

template <class T>
STRATA_COLD detail::TrainingPlan Trainer<T>::training_plan(const ModelImpl<T>& model) const {
  detail::TrainingPlan out{.linear_output = linear_outputs(model)};
  for (const auto& tracked : metrics_)
    if (tracked.output < 64) out.activated |= out.linear_output & std::uint64_t{1} << tracked.output;
  for (int slot = 0; slot < 3; ++slot) out.slots += optimizer_.uses_slot(slot);
  return out;
}

template <class T>
STRATA_COLD std::vector<std::pair<ParameterPtr<T>, Tensor<T>>> Trainer<T>::gradients(
    ModelImpl<T>& model, const DeviceBatch<T>& batch, std::vector<TensorView<T>> dx) {
  check(model, batch);
  plan(model, true);
  const auto session = detail::session_of(model, batch);
  differentiate(*session, model, batch, false, std::move(dx));
  std::vector<std::pair<ParameterPtr<T>, Tensor<T>>> out;
  for (const Trained& t : trained_)
    out.emplace_back(t.parameter, session->download({gradients_.data() + t.offset, t.parameter->shape()}));
  return out;
}

// The one place where all gradients are complete.
template <class T>
STRATA_COLD void Trainer<T>::update(Backend<T>& backend) {
  const PhaseTimer timer(Phase::update, backend);
  const Optimizer& optimizer = optimizer_;
  const bool by_norm = optimizer.spec().clip_norm > 0, global = optimizer.clipping().global_norm > 0;
  if (by_norm) backend.zero(squares(), trained_.size() * sizeof(double));
  std::vector<OptimizerUpdate<T>> updates;
  for (std::size_t i = 0; i < trained_.size(); ++i) {
    const Trained& t = trained_[i];
    OptimizerUpdate<T> u{.size = t.parameter->shape().size(), .gradient = gradients_.data() + t.offset};
    if (by_norm) {
      double* norm = squares() + (global ? 0 : i);
      backend.add_sum_of_squares(u.size, u.gradient, norm);
      u.squares = norm;
    }
    for (int number = 0; number < 3; ++number)
      if (optimizer.uses_slot(number)) u.slots[number] = slot(t.parameter, number).data();
    u.value = t.parameter->mutate().data();
    updates.push_back(u);
  }
  const OptimizerState state{optimizer.learning_rate(), static_cast<double>(iterations())};
  if (state != known_state_) backend.upload(optimizer_state(), &state, sizeof state);
  backend.optimizer_step(optimizer.spec(), optimizer_state(), updates);
  known_state_ = {state.learning_rate, state.iteration + 1};
}

template <class T>
STRATA_COLD void Trainer<T>::find_non_finite(const ModelImpl<T>& model, const DeviceBatch<T>& batch) {
  if (!first_non_finite_.empty()) return;
  const auto session = detail::session_of(model, batch);
  const std::string layer = model.graph().first_non_finite(
      batch.inputs(), session->begin({.seed = model.seed(), .given = batch.given()}));
  first_non_finite_ = layer.empty() ? "the loss" : "layer '" + layer + "'";
}

#if !STRATA_HEADER_ONLY
template class StepResult<float>;
template class StepResult<double>;
template class Trainer<float>;
template class Trainer<double>;
#endif

}}  // namespace strata::STRATA_ABI
