#pragma once

#include <cmath>
#include <cstdio>
#include <span>
#include <type_traits>

#include <strata/core/profile.hpp>
#include <strata/data/prefetch.hpp>
#include <strata/io/progress.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/frozen_prefix.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

/// Throws DataError for targets that the loss cannot take; what does not fit by shape is left to the step.
template <class T>
STRATA_COLD void check_target(const BasicModel<T>& model, std::int64_t rows, std::size_t output,
                              TensorView<const float> target) {
  const auto& losses = model.trainer().losses();
  if (output >= losses.size() || !losses[output]) return;
  const Shape prediction = model.model().graph().output(output).shape.with_batch(rows);
  const BasicLossImpl<T>& loss = losses[output].impl();
  if (loss.accepts(prediction, target.shape())) loss.check(prediction, target);
}

/// The weight of every class of the model's output, or nothing where none is given.
template <class T>
STRATA_COLD std::vector<float> class_weights(const BasicModel<T>& model,
                                             const std::map<std::int64_t, double>& given) {
  if (given.empty()) return {};
  const auto outputs = model.model().graph().output_names();
  require<ConfigError>(outputs.size() == 1, model.model().who(),
                       "class_weight is for models of one output, found ", counted_names("output", outputs),
                       "; sample weights are for all of them");
  const Shape output = model.output_shape();
  require<ConfigError>(output.rank() == 1, model.model().who(), "class_weight is for one prediction per ",
                       "sample, found an output of shape ", output);
  std::vector<float> out(static_cast<std::size_t>(std::max<std::int64_t>(2, output[0])), 1.0F);
  for (const auto& [number, weight] : given) {
    require<ConfigError>(number >= 0 && number < std::ssize(out), model.model().who(),
                         "class_weight names class ", number, ", expected one of ", out.size(),
                         " classes, from 0 on");
    require<ConfigError>(weight >= 0 && std::isfinite(weight), model.model().who(),
                         "expected a class_weight of 0 or more for class ", number, ", found ", weight);
    out[static_cast<std::size_t>(number)] = static_cast<float>(weight);
  }
  return out;
}

/// Weighs each sample by its class, told from its target as Keras does.
STRATA_COLD STRATA_INLINE void weigh_classes(std::span<const float> weights, Batch& batch) {
  require<ConfigError>(batch.sample_weight.empty(),
                       "[fit] expected class_weight or sample weights, found both");
  const std::int64_t n = batch.size(), width = n ? batch.y.size() / n : 0;
  if (width == 0) return;  // the step will say what is missing
  batch.sample_weight = Tensor<float>({n});
  for (std::int64_t i = 0; i < n; ++i) {
    const float* target = batch.y.data() + i * width;
    const double number = width == 1 ? std::nearbyint(static_cast<double>(*target))
                                     : static_cast<double>(std::max_element(target, target + width) - target);
    const bool known = number >= 0 && number < static_cast<double>(weights.size());
    batch.sample_weight.data()[i] = known ? weights[static_cast<std::size_t>(number)] : 1.0F;
  }
}

/// The next batch, number `draw` of its dataset, checked, on the model's device.
template <class T>
STRATA_COLD const DeviceBatch<T>& next_batch(const BasicModel<T>& model, PrefetchQueue& queue,
                                             std::int64_t draw, BatchLoader<T>& loader,
                                             FrozenPrefix<T>* prefix,
                                             std::span<const float> class_weights = {}) {
  PhaseTimer timer(Phase::idle, loader);
  Batch batch = queue.next().value();
  timer.next(Phase::transfer);
  check_target(model, batch.size(), 0, batch.y);
  for (std::size_t k = 0; k < batch.other_y.size(); ++k)
    check_target(model, batch.size(), k + 1, batch.other_y[k]);
  if (!class_weights.empty()) weigh_classes(class_weights, batch);
  return prefix ? prefix->load(draw, std::move(batch), loader) : loader.load(std::move(batch));
}

inline std::string text_of(const Logs& logs) {
  std::string out;
  for (const auto& [name, value] : logs) {
    char text[32];
    std::snprintf(text, sizeof text, std::abs(value) >= 1e-3 || value == 0 ? "%.4f" : "%.4e", value);
    out += (out.empty() ? "" : " - ") + name + ": " + text;
  }
  return out;
}

/// Calls one hook of every callback.
template <class T, class... Arguments>
STRATA_COLD void call_each(BasicFitState<T>& state,
                           void (BasicCallbackImpl<T>::*hook)(BasicFitState<T>&, Arguments...),
                           std::type_identity_t<Arguments>... arguments) {
  const PhaseTimer timer(Phase::callbacks);
  for (const auto& callback : state.options->callbacks) (callback.impl().*hook)(state, arguments...);
}

template <class T>
STRATA_COLD void build_for(const BasicModel<T>& model, const Dataset& data) {
  const Shape shapes[] = {data.element_shape()};
  model.model().build_once(shapes);
}

template <class T>
STRATA_COLD Logs evaluate(const BasicModel<T>& model, const Dataset& data,
                          const BasicEvaluateOptions<T>& options, const char* label,
                          std::shared_ptr<Session<T>> session = nullptr, FrozenPrefix<T>* prefix = nullptr) {
  Trainer<T>& trainer = model.trainer();
  build_for(model, data);
  if (!session) session = model.model().session();
  const std::int64_t steps = options.steps > 0 ? options.steps : data.batches();
  PrefetchQueue queue(data, 0, steps, options.prefetch, options.workers, session->device()->host_memory(),
                      prefix ? prefix->targets_suffice() : nullptr);
  ProgressBar progress(steps, label, options.verbose == 1);
  BatchLoader<T> loader(std::move(session));
  trainer.reset_metrics();
  for (std::int64_t step = 0; step < steps; ++step) {
    trainer.test_step(model.model(), next_batch(model, queue, step, loader, prefix));
    progress.update(step + 1);
  }
  return trainer.logs();
}

}  // namespace detail

template <class T>
STRATA_COLD void BasicModel<T>::compile(BasicCompileOptions<T> options) {
  this->model().training_state =
      std::make_shared<Trainer<T>>(std::move(options), this->model().graph().output_names());
}

template <class T>
STRATA_COLD Trainer<T>& BasicModel<T>::trainer() const {
  require<ConfigError>(compiled(), this->model().who(), "the model must be compiled first");
  return *static_cast<Trainer<T>*>(this->model().training_state.get());
}
template <class T>
STRATA_COLD Optimizer& BasicModel<T>::optimizer() const {
  return trainer().optimizer();
}
template <class T>
STRATA_COLD ModelPlan BasicModel<T>::plan(const PlanOptions& options) const {
  if (!compiled()) return BasicNetwork<T>::plan(options);
  this->model().require_built();
  return detail::plan_model(this->model(), options, trainer().training_plan(this->model()));
}

template <class T>
STRATA_COLD History BasicModel<T>::fit(const Dataset& data, BasicFitOptions<T> options) {
  using Hooks = BasicCallbackImpl<T>;
  Trainer<T>& trainer = this->trainer();
  const std::string who = this->model().who();
  require<ConfigError>(options.epochs >= 0 && options.initial_epoch >= 0, who,
                       "expected epochs of 0 or more, found ", options.epochs);
  require<DataError>(data.samples() > 0, who, "the training data is empty");
  if (options.validation_data.of_tensors())
    options.validation_data = options.validation_data.rebatch(options.batch_size);
  detail::build_for(*this, data);

  const std::int64_t steps = options.steps_per_epoch > 0 ? options.steps_per_epoch : data.batches();
  const std::vector<float> class_weights = detail::class_weights(*this, options.class_weight);
  BasicFitState<T> state{*this, options.epochs, steps, false, trainer.figures(), options.initial_epoch};
  state.data = data;
  state.options = &options;
  if (options.validation_data)
    for (const Figure& figure : trainer.figures())
      state.figures.push_back({"val_" + figure.name, figure.mode});
  bool warned = false;
  // They may put the run where an earlier one ended.
  detail::call_each(state, &Hooks::on_train_begin);
  const ProfileScope profiled(state.profile.get());
  const std::int64_t epochs = std::max(0, options.epochs - state.epoch);
  const auto session = this->model().session();
  BatchLoader<T> loader(session);
  const std::int64_t draws = epochs * steps - state.step;
  detail::FrozenPrefix<T> prefix(*this, session, data, true, draws > data.batches(), options);
  // Batch i of epoch e is draw e * steps + i, whatever came before: a later epoch can be run alone.
  PrefetchQueue queue(data, state.epoch * steps + state.step, std::max<std::int64_t>(0, draws),
                      options.prefetch, options.workers, session->device()->host_memory(),
                      prefix.targets_suffice());
  std::optional<detail::FrozenPrefix<T>> validation_prefix;
  if (options.validation_data) {
    validation_prefix.emplace(*this, session, options.validation_data, false, epochs > 1, options,
                              prefix.bytes());
  }
  for (; state.epoch < options.epochs && !state.stop_training; ++state.epoch, state.step = 0) {
    const int epoch = state.epoch;
    if (state.step == 0) {
      detail::call_each(state, &Hooks::on_epoch_begin, epoch);
      trainer.reset_metrics();
    }
    const DeviceBatch<T>* batch = nullptr;
    std::int64_t& step = state.step;
    // Downloads what the steps left on the device: done where somebody looks, not for every step.
    const auto current_logs = [&] {
      Logs logs = trainer.logs();
      if (batch && !std::isfinite(logs["loss"])) trainer.find_non_finite(this->model(), *batch);
      if (!trainer.first_non_finite().empty() && !std::exchange(warned, true) && options.verbose > 0)
        std::fprintf(
            stderr, "\nwarning: the loss is %g at epoch %d, step %lld; %s is the first that is not finite\n",
            logs["loss"], epoch + 1, static_cast<long long>(step + 1), trainer.first_non_finite().c_str());
      return logs;
    };
    ProgressBar progress(steps, concat("Epoch ", epoch + 1, "/", options.epochs, " "), options.verbose == 1);
    for (; step < steps && !state.stop_training; ++step) {
      detail::call_each(state, &Hooks::on_train_batch_begin, step);
      batch = &detail::next_batch<T>(*this, queue, epoch * steps + step, loader, &prefix, class_weights);
      trainer.train_step(this->model(), *batch);
      if (!trainer.first_non_finite().empty() && !warned) current_logs();
      const Logs logs(current_logs);
      detail::call_each(state, &Hooks::on_train_batch_end, step, logs);
      progress.update(step + 1, [&] { return detail::text_of(logs); });
    }
    Logs logs = current_logs();
    if (options.validation_data) {
      const PhaseTimer timer(Phase::validation, session->backend());
      const Logs validation = detail::evaluate<T>(*this, options.validation_data,
                                                  {.steps = options.validation_steps,
                                                   .verbose = 0,
                                                   .prefetch = options.prefetch,
                                                   .workers = options.workers},
                                                  "", session, &*validation_prefix);
      for (const auto& [name, value] : validation) logs.set("val_" + name, value);
    }
    detail::call_each(state, &Hooks::on_epoch_end, epoch, logs);
    progress.finish(detail::text_of(logs));
    if (options.verbose == 2)
      std::fprintf(stderr, "Epoch %d/%d - %s\n", epoch + 1, options.epochs, detail::text_of(logs).c_str());
    state.history.add(epoch, logs);
  }
  detail::call_each(state, &Hooks::on_train_end);
  return std::move(state.history);
}

namespace detail {
template <class T>
STRATA_COLD Tensor<float> as_float(const Tensor<T>& tensor) {
  if constexpr (std::is_same_v<T, float>)
    return tensor.to(nullptr);
  else
    return tensor.template cast<float>();
}
template <class T>
STRATA_COLD std::vector<Tensor<float>> as_float(const std::vector<Tensor<T>>& tensors) {
  std::vector<Tensor<float>> out;
  for (const Tensor<T>& tensor : tensors) out.push_back(as_float(tensor));
  return out;
}
template <class T>
STRATA_COLD Tensor<float> rows_of(const Tensor<T>& tensor, std::int64_t begin, std::int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    return tensor.rows(begin, end);
  else
    return tensor.rows(begin, end).template cast<float>();
}
}  // namespace detail

template <class T>
STRATA_COLD BasicValidationData<T>::BasicValidationData(const Tensor<T>& x, const Tensor<T>& y,
                                                        Tensor<float> sample_weight)
    : Dataset(dataset_from_tensors(detail::as_float(x), detail::as_float(y),
                                   {.sample_weight = std::move(sample_weight)})),
      of_tensors_(true) {}
template <class T>
STRATA_COLD BasicValidationData<T>::BasicValidationData(const std::vector<Tensor<T>>& x,
                                                        const std::vector<Tensor<T>>& y,
                                                        Tensor<float> sample_weight)
    : Dataset(dataset_from_tensors(detail::as_float(x), detail::as_float(y),
                                   {.sample_weight = std::move(sample_weight)})),
      of_tensors_(true) {}

namespace detail {
/// A tensor, or one for each input or output, without copies.
template <class T>
using TensorRefs = std::vector<std::reference_wrapper<const Tensor<T>>>;

template <class T>
STRATA_COLD std::vector<Tensor<float>> rows_of(const TensorRefs<T>& tensors, std::int64_t begin,
                                               std::int64_t end) {
  std::vector<Tensor<float>> out;
  for (const Tensor<T>& tensor : tensors) out.push_back(rows_of(tensor, begin, end));
  return out;
}

template <class T>
STRATA_COLD History fit(BasicModel<T>& model, const TensorRefs<T>& x, const TensorRefs<T>& y,
                        BasicFitOptions<T> options) {
  const std::string who = model.model().who();
  require<ShapeError>(!x.empty() && !y.empty(), who, "expected an x and a y, found ", x.size(), " and ",
                      y.size());
  const Shape& first = x[0].get().shape();
  for (const auto* tensors : {&x, &y})
    for (const Tensor<T>& tensor : *tensors)
      require<ShapeError>(first.rank() > 0 && tensor.rank() > 0 && tensor.shape()[0] == first[0], who,
                          "expected as many samples as targets, found ", first, " and ", tensor.shape());
  const double split = options.validation_split;
  require<ConfigError>(split >= 0 && split < 1, who, "expected a validation_split in [0, 1), found ", split);
  const std::int64_t count = first[0];
  const auto trained = static_cast<std::int64_t>(std::floor(static_cast<double>(count) * (1 - split)));
  require<ConfigError>(split == 0 || (trained > 0 && trained < count), who, "a validation_split of ", split,
                       " leaves one side of ", count, " samples empty");
  const auto weights = [&](std::int64_t begin, std::int64_t end) {
    return options.sample_weight.empty() ? Tensor<float>() : rows_of(options.sample_weight, begin, end);
  };
  require<ConfigError>(split == 0 || !options.validation_data, who,
                       "expected validation_data or a validation_split, found both");
  if (trained < count)
    options.validation_data =
        dataset_from_tensors(rows_of(x, trained, count), rows_of(y, trained, count),
                             {.batch_size = options.batch_size, .sample_weight = weights(trained, count)});
  const Dataset data = dataset_from_tensors(rows_of(x, 0, trained), rows_of(y, 0, trained),
                                            {.batch_size = options.batch_size,
                                             .shuffle = options.shuffle,
                                             .seed = options.seed,
                                             .sample_weight = weights(0, trained)});
  return model.fit(data, std::move(options));
}
}  // namespace detail

template <class T>
STRATA_COLD History BasicModel<T>::fit(const Tensor<T>& x, const Tensor<T>& y, BasicFitOptions<T> options) {
  return detail::fit<T>(*this, {x}, {y}, std::move(options));
}
template <class T>
STRATA_COLD History BasicModel<T>::fit(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y,
                                       BasicFitOptions<T> options) {
  return detail::fit<T>(*this, {x.begin(), x.end()}, {y.begin(), y.end()}, std::move(options));
}

template <class T>
STRATA_COLD Logs BasicModel<T>::evaluate(const Dataset& data, BasicEvaluateOptions<T> options) {
  return detail::evaluate(*this, data, options, "evaluate ");
}
template <class T>
STRATA_COLD Logs BasicModel<T>::evaluate(const Dataset& data) {
  return evaluate(data, BasicEvaluateOptions<T>{});
}
template <class T>
STRATA_COLD Logs BasicModel<T>::evaluate(const Tensor<T>& x, const Tensor<T>& y,
                                         BasicEvaluateOptions<T> options) {
  return evaluate(
      dataset_from_tensors(detail::as_float(x), detail::as_float(y), {.batch_size = options.batch_size}),
      options);
}
template <class T>
STRATA_COLD Logs BasicModel<T>::evaluate(const Tensor<T>& x, const Tensor<T>& y) {
  return evaluate(x, y, BasicEvaluateOptions<T>{});
}
template <class T>
STRATA_COLD Logs BasicModel<T>::evaluate(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y,
                                         BasicEvaluateOptions<T> options) {
  return evaluate(
      dataset_from_tensors(detail::as_float(x), detail::as_float(y), {.batch_size = options.batch_size}),
      options);
}
template <class T>
STRATA_COLD Logs BasicModel<T>::evaluate(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y) {
  return evaluate(x, y, BasicEvaluateOptions<T>{});
}

namespace detail {
template <class T>
STRATA_COLD Logs on_batch(BasicModel<T>& model,
                          StepResult<T> (Trainer<T>::*step)(ModelImpl<T>&, const DeviceBatch<T>&),
                          const TensorRefs<T>& x, const TensorRefs<T>& y, const Tensor<T>& sample_weight) {
  Trainer<T>& trainer = model.trainer();
  require<ShapeError>(!x.empty() && !y.empty(), model.model().who(), "expected an x and a y, found ",
                      x.size(), " and ", y.size());
  const Shape& first = x[0].get().shape();
  if (first.rank() > 0) {
    const Shape shapes[] = {first.without_batch()};
    model.model().build_once(shapes);
    for (std::size_t k = 0; k < y.size(); ++k) check_target(model, first[0], k, as_float(y[k].get()));
  }
  const auto batch = DeviceBatch<T>::on(model.device(), x, y, sample_weight);
  trainer.reset_metrics();
  (trainer.*step)(model.model(), batch);
  return trainer.logs();
}
}  // namespace detail

template <class T>
STRATA_COLD Logs BasicModel<T>::train_on_batch(const Tensor<T>& x, const Tensor<T>& y,
                                               const Tensor<T>& sample_weight) {
  return detail::on_batch<T>(*this, &Trainer<T>::train_step, {x}, {y}, sample_weight);
}
template <class T>
STRATA_COLD Logs BasicModel<T>::train_on_batch(const std::vector<Tensor<T>>& x,
                                               const std::vector<Tensor<T>>& y,
                                               const Tensor<T>& sample_weight) {
  return detail::on_batch<T>(*this, &Trainer<T>::train_step, {x.begin(), x.end()}, {y.begin(), y.end()},
                             sample_weight);
}
template <class T>
STRATA_COLD Logs BasicModel<T>::test_on_batch(const Tensor<T>& x, const Tensor<T>& y,
                                              const Tensor<T>& sample_weight) {
  return detail::on_batch<T>(*this, &Trainer<T>::test_step, {x}, {y}, sample_weight);
}
template <class T>
STRATA_COLD Logs BasicModel<T>::test_on_batch(const std::vector<Tensor<T>>& x,
                                              const std::vector<Tensor<T>>& y,
                                              const Tensor<T>& sample_weight) {
  return detail::on_batch<T>(*this, &Trainer<T>::test_step, {x.begin(), x.end()}, {y.begin(), y.end()},
                             sample_weight);
}

template <class T>
STRATA_COLD std::vector<Tensor<T>> BasicModel<T>::predict_all(const Dataset& data) const {
  detail::build_for(*this, data);
  const Graph<T>& graph = this->model().graph();
  std::vector<Tensor<T>> out;
  for (std::size_t k = 0; k < graph.outputs().size(); ++k)
    out.push_back(Tensor<T>::uninitialized(graph.output(k).shape.with_batch(data.samples())));
  const auto session = this->model().session();
  PrefetchQueue queue(data, 0, data.batches(), 4, 1, session->device()->host_memory());
  BatchLoader<T> loader(session);
  std::int64_t row = 0;
  for (std::int64_t step = 0; step < data.batches(); ++step) {
    const DeviceBatch<T>& batch = loader.load(queue.next().value());
    std::vector<TensorView<T>> rows;
    for (Tensor<T>& result : out) rows.push_back(result.slice(row, row + batch.size()));
    this->model().predict(batch.inputs(), rows, *session);
    row += batch.size();
  }
  return out;
}
template <class T>
STRATA_COLD Tensor<T> BasicModel<T>::predict(const Dataset& data) const {
  detail::build_for(*this, data);
  const auto outputs = this->model().graph().output_names();
  require<ConfigError>(outputs.size() == 1, this->model().who(), "expected one output, found ",
                       detail::counted_names("output", outputs), ": predict_all gives them all");
  return std::move(predict_all(data)[0]);
}

template <class T>
STRATA_COLD BasicSequential<T>::BasicSequential(const std::vector<BasicLayer<T>>& layers,
                                                SequentialOptions options) {
  std::vector<LayerPtr<T>> sequence;
  for (const auto& layer : layers) sequence.push_back(layer.impl());
  this->impl_ = std::make_shared<ModelImpl<T>>(
      std::move(sequence), options.name.empty() ? "sequential" : options.name, options.seed);
}

template <class T>
STRATA_COLD BasicSequential<T>& BasicSequential<T>::add(const BasicLayer<T>& layer) {
  this->model().append(layer.impl());
  return *this;
}

#if !STRATA_HEADER_ONLY
template class BasicModel<float>;
template class BasicModel<double>;
template class BasicSequential<float>;
template class BasicSequential<double>;
template class BasicValidationData<float>;
template class BasicValidationData<double>;
#endif

}}  // namespace strata::STRATA_ABI
