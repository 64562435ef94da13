#pragma once

#include <algorithm>
#include <cmath>

#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD Trainer<T>::Trainer(BasicCompileOptions<T> options) : options_(std::move(options)) {
  require<ConfigError>(static_cast<bool>(options_.loss), "[compile] expected a loss, found none");
  options_.optimizer.set_iterations(0);
  auto& metrics = options_.metrics;
  unweighted_ = metrics.size();
  for (auto& metric : options_.weighted_metrics) metrics.push_back(std::move(metric));
  options_.weighted_metrics.clear();
  for (auto& metric : metrics) {
    require<ConfigError>(static_cast<bool>(metric), "[compile] a metric was never made");
    metric = metric.copy();  // the model keeps its own counts, so that one Metric may serve two models
    metric_count_ += metric.impl().device_sums();
    const std::string name = metric.impl().name();
    const bool taken =
        names_.size() >= unweighted_ && std::find(names_.begin(), names_.end(), name) != names_.end();
    names_.push_back((taken ? "weighted_" : "") + name);
  }
}

template <class T>
STRATA_COLD void Trainer<T>::reset_metrics() {
  samples_ = 0;
  for (auto& metric : options_.metrics) metric.impl().reset();
  if (!scalars_.empty())
    device_->fill_zero(total_loss(), static_cast<std::size_t>(1 + metric_count_) * sizeof(double));
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
STRATA_COLD Logs Trainer<T>::logs(const std::string& prefix) const {
  std::vector<double> values(static_cast<std::size_t>(2 + metric_count_));
  if (!scalars_.empty()) read_scalars(2 + metric_count_, values.data());
  Logs logs;
  logs.set(prefix + "loss", samples_ ? values[1] / static_cast<double>(samples_) : 0);
  const double* sums = values.data() + 2;
  for (std::size_t i = 0; i < options_.metrics.size(); ++i) {
    auto& metric = options_.metrics[i].impl();
    if (const auto count = metric.device_sums()) {
      metric.set_sums(sums);
      sums += count;
    }
    logs.set(prefix + names_[i], metric.result());
  }
  return logs;
}

template <class T>
STRATA_COLD Json Trainer<T>::gathered() const {
  std::vector<double> values(static_cast<std::size_t>(2 + metric_count_));
  if (!scalars_.empty()) read_scalars(2 + metric_count_, values.data());
  Json metrics = Json::array();
  for (const auto& metric : options_.metrics) {
    metrics.push_back(metric.impl().state());
    require<ConfigError>(metric.impl().device_sums() > 0 || !metrics.as_array().back().is_null(),
                         "[metric] '", metric.impl().name(),
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
  require<DataError>(std::ssize(values) == 2 + metric_count_ && metrics.size() == options_.metrics.size(),
                     model.who(), "expected ", 2 + metric_count_, " sums of ", options_.metrics.size(),
                     " metrics, found ", values.size(), " of ", metrics.size());
  plan(model, true);
  device_->copy_from_host(scalars_.data(), values.data(), values.size() * sizeof(double));
  samples_ = from.get<std::int64_t>("samples");
  first_non_finite_ = from.get<std::string>("first_non_finite");
  for (std::size_t i = 0; i < metrics.size(); ++i)
    if (!metrics.at(i).is_null()) options_.metrics[i].impl().load_state(metrics.at(i));
}

template <class T>
STRATA_COLD std::vector<Figure> Trainer<T>::figures() const {
  std::vector<Figure> out{{"loss", MonitorMode::min}};
  for (std::size_t i = 0; i < names_.size(); ++i)
    out.push_back({names_[i], options_.metrics[i].impl().mode()});
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
  const std::int64_t scalars = 4 + metric_count_ + std::ssize(parameters);
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
    const auto bytes = static_cast<std::size_t>(2 + metric_count_) * sizeof(double);
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
  const auto initial = static_cast<T>(options_.optimizer.initial_slot_value());
  if (initial == 0) return Tensor<T>(parameter.shape(), device);
  Tensor<T> values(parameter.shape());
  for (T& value : values.values()) value = initial;
  return values.to(device);
}

template <class T>
STRATA_COLD void Trainer<T>::check(const ModelImpl<T>& model, const DeviceBatch<T>& batch) const {
  const auto& graph = model.graph();
  require<ConfigError>(graph.inputs().size() == 1 && graph.outputs().size() == 1, model.who(),
                       "training takes models of one input and one output");
  require<ShapeError>(batch.given_node >= 0 ||
                          (batch.x.rank() > 0 && batch.x.shape().without_batch() == graph.input_shapes()[0]),
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
                                            TensorView<const T> output) {
  double* sums = metric_sums();
  Tensor<T> host_output, host_target, host_weight;
  for (std::size_t i = 0; i < options_.metrics.size(); ++i) {
    auto& metric = options_.metrics[i].impl();
    const bool weighted = i >= unweighted_ && !batch.sample_weight.empty();
    const T* weight = weighted ? batch.sample_weight.data() : nullptr;
    if (const std::int64_t count = metric.device_sums()) {
      metric.accumulate(session.backend(), output, batch.y, weight, sums);
      sums += count;
    } else if (device_->host_accessible()) {
      metric.update(output, batch.y, weight);
    } else {
      if (host_output.empty()) {
        host_output = session.download(output);
        host_target = batch.y.to(nullptr);
        host_weight = batch.sample_weight.to(nullptr);
      }
      metric.update(host_output, host_target, weighted ? host_weight.data() : nullptr);
    }
  }
}

template <class T>
STRATA_COLD void Trainer<T>::evaluate_loss(Session<T>& session, const ModelImpl<T>& model,
                                           const DeviceBatch<T>& batch, TensorView<const T> prediction,
                                           bool logits, T* gradient) {
  Backend<T>& backend = session.backend();
  const std::int64_t rows = prediction.shape().rows();
  const double share = rows ? 1.0 / static_cast<double>(rows) : 0;
  const auto losses = session.scratch({rows});
  detail::compute_loss(session, options_.loss.impl(),
                       {.backend = backend,
                        .prediction = prediction,
                        .target = batch.y,
                        .sample_weight = batch.sample_weight.empty() ? nullptr : batch.sample_weight.data(),
                        .logits = logits,
                        .gradient_scale = share,
                        .losses = losses.data(),
                        .gradient = gradient});
  ++steps_;
  backend.zero(step_loss(), sizeof(double));
  backend.add_sum(rows, share, losses.data(), step_loss());
  if (options_.metrics.empty()) return;
  if (!logits) return update_metrics(session, batch, prediction);
  const auto activated = session.scratch(prediction.shape());
  backend.activation(model.final_activation(), rows, prediction.shape().back(), prediction.data(),
                     activated.data());
  update_metrics(session, batch, activated.view());
}

// Of all weights that are in a trainable layer; frozen ones cost nothing, as in Keras.
template <class T>
STRATA_COLD void Trainer<T>::add_penalties(Backend<T>& backend, const ModelImpl<T>& model,
                                           bool with_gradient) {
  for (const auto& parameter : model.trainable_weights())
    if (const Regularizer& r = parameter->regularizer())
      backend.l1_l2_penalty(parameter->shape().size(), r.l1, r.l2, parameter->value().data(),
                            with_gradient ? gradient(*parameter).data : nullptr, step_loss());
}

template <class T>
STRATA_COLD StepResult<T> Trainer<T>::differentiate(Session<T>& session, const ModelImpl<T>& model,
                                                    const DeviceBatch<T>& batch, bool training,
                                                    TensorView<T> dx) {
  const auto& graph = model.graph();
  Backend<T>& backend = session.backend();
  const bool logits = options_.loss.impl().takes_logits_of(model.final_activation());
  BasicContext<T>& context = session.begin({.training = training,
                                            .gradients = this,
                                            .linear_output = logits,
                                            .input_gradient = static_cast<bool>(dx),
                                            .seed = model.seed(),
                                            .step = static_cast<std::uint64_t>(iterations()),
                                            .given = batch.given()});
  const Shape shape =
      graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].shape.with_batch(batch.size());
  const auto prediction = session.scratch(shape);
  const TensorView<const T> x = batch.input();
  const TensorView<T> y = prediction.view();
  graph.forward({&x, 1}, {&y, 1}, context);

  auto dy = session.scratch(shape);
  evaluate_loss(session, model, batch, y, logits, dy.data());
  const StepResult<T> result(*this, steps_);
  // Where it costs nothing: asked before the update spreads it to all weights.
  if (device_->host_accessible() && !std::isfinite(result.loss())) find_non_finite(model, batch);
  if (trained_.empty() && !dx) return result;
  graph.backward_from_output({&x, 1}, y, dy.take(), {&dx, 1}, context);
  for (Trained& t : trained_)
    if (!t.written) backend.zero(gradients_.data() + t.offset, t.parameter->value().bytes());
  add_penalties(backend, model, true);
  return result;
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
  backend.add_scalar(static_cast<double>(batch.size()), step_loss(), total_loss());
  samples_ += batch.size();
  set_iterations(iterations() + 1);
  return result;
} catch (const OutOfMemoryError&) {
  detail::rethrow_with_plan(model, {.batch_size = batch.size(), .training = true}, training_plan(model));
}

template <class T>
STRATA_COLD StepResult<T> Trainer<T>::test_step(ModelImpl<T>& model, const DeviceBatch<T>& batch) try {
  check(model, batch);
  plan(model, false);
  const auto& graph = model.graph();
  const auto session = detail::session_of(model, batch);
  const bool logits = options_.loss.impl().takes_logits_of(model.final_activation());
  BasicContext<T>& context =
      session->begin({.linear_output = logits, .seed = model.seed(), .given = batch.given()});
  const auto prediction = session->scratch(
      graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].shape.with_batch(batch.size()));
  const TensorView<const T> x = batch.input();
  const TensorView<T> y = prediction.view();
  graph.forward({&x, 1}, {&y, 1}, context);
  evaluate_loss(*session, model, batch, y, logits, nullptr);
  add_penalties(session->backend(), model, false);
  session->backend().add_scalar(static_cast<double>(batch.size()), step_loss(), total_loss());
  samples_ += batch.size();
  return {*this, steps_};
} catch (const OutOfMemoryError&) {
  detail::rethrow_with_plan(model, {.batch_size = batch.size()});
}

template <class T>
STRATA_COLD detail::TrainingPlan Trainer<T>::training_plan(const ModelImpl<T>& model) const {
  detail::TrainingPlan out{.linear_output = options_.loss.impl().takes_logits_of(model.final_activation()),
                           .metrics = figures().size() > 1};
  for (int slot = 0; slot < 3; ++slot) out.slots += options_.optimizer.uses_slot(slot);
  return out;
}

template <class T>
STRATA_COLD std::vector<std::pair<ParameterPtr<T>, Tensor<T>>> Trainer<T>::gradients(
    ModelImpl<T>& model, const DeviceBatch<T>& batch, TensorView<T> dx) {
  check(model, batch);
  plan(model, true);
  const auto session = detail::session_of(model, batch);
  differentiate(*session, model, batch, false, dx);
  std::vector<std::pair<ParameterPtr<T>, Tensor<T>>> out;
  for (const Trained& t : trained_)
    out.emplace_back(t.parameter, session->download({gradients_.data() + t.offset, t.parameter->shape()}));
  return out;
}

// The one place where all gradients are complete.
template <class T>
STRATA_COLD void Trainer<T>::update(Backend<T>& backend) {
  const Optimizer& optimizer = options_.optimizer;
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
  const TensorView<const T> x = batch.input();
  const std::string layer =
      model.graph().first_non_finite({&x, 1}, session->begin({.seed = model.seed(), .given = batch.given()}));
  first_non_finite_ = layer.empty() ? "the loss" : "layer '" + layer + "'";
}

#if !STRATA_HEADER_ONLY
template class StepResult<float>;
template class StepResult<double>;
template class Trainer<float>;
template class Trainer<double>;
#endif

}}  // namespace strata::STRATA_ABI
