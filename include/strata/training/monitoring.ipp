#pragma once

#include <algorithm>
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdio>

#include <strata/io/file.hpp>
#include <strata/training/monitoring.hpp>
#include <strata/training/saving.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

STRATA_COLD STRATA_INLINE void require_not_negative(const char* callback, const char* option, double value) {
  require<ConfigError>(value >= 0 && std::isfinite(value), "[", callback, "] expected ", option,
                       " of 0 or more, found ", value);
}

STRATA_COLD STRATA_INLINE const Figure& require_figure(const char* callback, const char* option,
                                                       std::string_view name,
                                                       const std::vector<Figure>& figures) {
  std::string names;
  for (const Figure& figure : figures) {
    if (figure.name == name) return figure;
    names += (names.empty() ? "" : ", ") + figure.name;
  }
  throw ConfigError(concat("[", callback, "] ", option, " '", name, "' is not among ", names,
                           name.starts_with("val_") ? " (val_... needs validation_data)" : ""));
}

/// A number as Python's format writes it: "", "02d", ".3f", "8.2e".
STRATA_COLD STRATA_INLINE std::string formatted(double value, std::string_view spec, std::string_view path) {
  const char *at = spec.data(), *const end = at + spec.size();
  const bool zeros = at != end && *at == '0';
  int width = 0, precision = -1;
  const auto number = [&](int& out) {
    const auto [stop, error] = std::from_chars(at, end, out);
    if (error == std::errc::result_out_of_range) out = INT_MAX;
    at = stop;
  };
  number(width);
  if (at != end && *at == '.') {
    ++at;
    number(precision);
  }
  char kind = at != end ? *at++ : spec.empty() ? 'g' : '\0';
  const bool possible =
      kind == 'd' ? value == std::floor(value) && precision < 0 : kind == 'e' || kind == 'f' || kind == 'g';
  require<ConfigError>(possible && at == end && width >= 0 && width <= 64 && precision <= 32,
                       "[model_checkpoint] filepath '", path, "': ", value, " cannot have the format '", spec,
                       "'; there are [0][width][.precision] with d, e, f or g");
  char text[512];
  if (spec.empty()) return {text, std::to_chars(text, text + sizeof text, value).ptr};
  if (kind == 'd') kind = 'f', precision = 0;
  const char format[] = {'%', '0', '*', '.', '*', kind, '\0'}, plain[] = {'%', '*', '.', '*', kind, '\0'};
  std::snprintf(text, sizeof text, zeros ? format : plain, width, precision, value);
  return text;
}

/// The path with "{name}" and "{name:spec}" replaced; "{{" and "}}" are plain braces.
template <class Value>
STRATA_COLD std::string filled_in(const std::string& path, Value value_of) {
  std::string out;
  for (std::size_t at = 0; at < path.size(); ++at) {
    const char c = path[at];
    const std::size_t close = path.find('}', at);
    if ((c == '{' || c == '}') && at + 1 < path.size() && path[at + 1] == c) {
      out += c;
      ++at;
    } else if (c == '{' && close != path.npos) {
      const std::string_view field = std::string_view(path).substr(at + 1, close - at - 1);
      const std::string_view name = field.substr(0, field.find(':'));
      const auto spec = name.size() < field.size() ? field.substr(name.size() + 1) : std::string_view();
      out += formatted(value_of(name), spec, path);
      at = close;
    } else {
      require<ConfigError>(c != '{' && c != '}', "[model_checkpoint] filepath '", path, "': a lone '",
                           path.substr(at, 1), "'");
      out += c;
    }
  }
  return out;
}

/// The folder part of a path with its slash, or nothing.
STRATA_COLD STRATA_INLINE std::string folder_of(const std::string& path) {
  return path.substr(0, path.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace detail

STRATA_COLD STRATA_INLINE Monitor::Monitor(std::string callback, std::string figure, MonitorMode mode,
                                           double min_delta, std::optional<double> best)
    : callback_(std::move(callback)),
      figure_(std::move(figure)),
      mode_(mode),
      min_delta_(std::abs(min_delta)),
      best_(best) {
  require<ConfigError>(std::isfinite(min_delta), "[", callback_, "] expected a min_delta, found ", min_delta);
}

STRATA_COLD STRATA_INLINE void Monitor::check(const std::vector<Figure>& figures) {
  const Figure& figure = detail::require_figure(callback_.c_str(), "monitor", figure_, figures);
  if (mode_ == MonitorMode::automatic) mode_ = figure.mode;
  require<ConfigError>(
      mode_ != MonitorMode::automatic, "[", callback_, "] monitor '", figure_,
      "': it is not known whether it should fall or rise: set .mode to MonitorMode::min or MonitorMode::max");
}

STRATA_COLD STRATA_INLINE bool Monitor::is_improvement(double value, std::optional<double> reference) const {
  if (!reference) return true;
  return mode_ == MonitorMode::min ? value + min_delta_ < *reference : value - min_delta_ > *reference;
}

STRATA_COLD STRATA_INLINE bool Monitor::improves_best(double value) {
  if (!is_improvement(value, best_)) return false;
  best_ = value;
  return true;
}

template <class T>
STRATA_COLD EarlyStoppingImpl<T>::EarlyStoppingImpl(EarlyStoppingOptions options)
    : options_(std::move(options)),
      monitor_("early_stopping", options_.monitor, options_.mode, options_.min_delta) {
  detail::require_not_negative("early_stopping", "patience", options_.patience);
  detail::require_not_negative("early_stopping", "start_from_epoch", options_.start_from_epoch);
}

template <class T>
STRATA_COLD void EarlyStoppingImpl<T>::on_train_begin(BasicFitState<T>& state) {
  monitor_.check(state.figures);
  monitor_.reset();
  wait_ = best_epoch_ = 0;
  stopped_epoch_ = -1;
  best_weights_.clear();
}

template <class T>
STRATA_COLD void EarlyStoppingImpl<T>::on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) {
  const double current = monitor_.value(logs);
  if (epoch < options_.start_from_epoch) return;
  ++wait_;
  if (monitor_.improves_best(current)) {
    best_epoch_ = epoch;
    if (options_.restore_best_weights) best_weights_ = state.model.get_weights();
    // Better than before is not enough where there is a baseline.
    if (!options_.baseline || monitor_.is_improvement(current, options_.baseline)) wait_ = 0;
  } else if (wait_ >= options_.patience && epoch > 0) {
    stopped_epoch_ = epoch;
    state.stop_training = true;
  }
}

template <class T>
STRATA_COLD void EarlyStoppingImpl<T>::on_train_end(BasicFitState<T>& state) {
  if (!best_weights_.empty()) state.model.set_weights(best_weights_);
}

template <class T>
STRATA_COLD BasicCallbackState<T> EarlyStoppingImpl<T>::state() const {
  BasicCallbackState<T> out{Json::object({{"best", monitor_.state()},
                                          {"wait", wait_},
                                          {"stopped_epoch", stopped_epoch_},
                                          {"best_epoch", best_epoch_}})};
  for (const Tensor<T>& weight : best_weights_)
    out.tensors.emplace_back(concat("best_weights/", out.tensors.size()), weight);
  return out;
}

template <class T>
STRATA_COLD void EarlyStoppingImpl<T>::load_state(const BasicCallbackState<T>& from) {
  const Json& values = from.values;
  monitor_.load_state(values.at("best"));
  wait_ = values.get<int>("wait");
  stopped_epoch_ = values.get<int>("stopped_epoch");
  best_epoch_ = values.get<int>("best_epoch");
  best_weights_.clear();
  for (const auto& [name, weight] : from.tensors) best_weights_.push_back(weight);
}

template <class T>
STRATA_COLD ReduceLROnPlateauImpl<T>::ReduceLROnPlateauImpl(ReduceLROnPlateauOptions options)
    : options_(std::move(options)),
      monitor_("reduce_lr_on_plateau", options_.monitor, options_.mode, options_.min_delta) {
  require<ConfigError>(options_.factor >= 0 && options_.factor < 1,
                       "[reduce_lr_on_plateau] expected a factor in [0, 1), found ", options_.factor);
  detail::require_not_negative("reduce_lr_on_plateau", "patience", options_.patience);
  detail::require_not_negative("reduce_lr_on_plateau", "cooldown", options_.cooldown);
  detail::require_not_negative("reduce_lr_on_plateau", "min_lr", options_.min_lr);
}

template <class T>
STRATA_COLD void ReduceLROnPlateauImpl<T>::on_train_begin(BasicFitState<T>& state) {
  state.model.optimizer().require_settable_rate("reduce_lr_on_plateau");
  state.figures.push_back({"learning_rate"});
  monitor_.check(state.figures);
  monitor_.reset();
  wait_ = cooldown_ = 0;
}

template <class T>
STRATA_COLD void ReduceLROnPlateauImpl<T>::on_epoch_end(BasicFitState<T>& state, int, Logs& logs) {
  Optimizer& optimizer = state.model.optimizer();
  const double old_rate = optimizer.learning_rate();
  logs.set("learning_rate", old_rate);
  if (cooldown_ > 0) {
    --cooldown_;
    wait_ = 0;
  }
  if (monitor_.improves_best(monitor_.value(logs))) {
    wait_ = 0;
  } else if (cooldown_ == 0 && ++wait_ >= options_.patience && old_rate > options_.min_lr) {
    optimizer.set_learning_rate(std::max(old_rate * options_.factor, options_.min_lr));
    cooldown_ = options_.cooldown;
    wait_ = 0;
  }
}

template <class T>
STRATA_COLD BasicCallbackState<T> ReduceLROnPlateauImpl<T>::state() const {
  return {Json::object({{"best", monitor_.state()}, {"wait", wait_}, {"cooldown", cooldown_}})};
}

template <class T>
STRATA_COLD void ReduceLROnPlateauImpl<T>::load_state(const BasicCallbackState<T>& from) {
  const Json& values = from.values;
  monitor_.load_state(values.at("best"));
  wait_ = values.get<int>("wait");
  cooldown_ = values.get<int>("cooldown");
}

template <class T>
STRATA_COLD ModelCheckpointImpl<T>::ModelCheckpointImpl(ModelCheckpointOptions options)
    : options_(std::move(options)),
      monitor_("model_checkpoint", options_.monitor, options_.mode, 0, options_.initial_value_threshold) {
  require<ConfigError>(!options_.filepath.empty(), "[model_checkpoint] expected a filepath, found none");
}

template <class T>
STRATA_COLD void ModelCheckpointImpl<T>::on_train_begin(BasicFitState<T>& state) {
  if (options_.save_best_only) monitor_.check(state.figures);
  const std::string path = detail::filled_in(options_.filepath, [&](std::string_view name) {
    if (name == "epoch") return 1.0;
    detail::require_figure("model_checkpoint", "filepath: figure", name, state.figures);
    return 0.5;
  });
  // Whether it can be written is told now, not after the first epoch.
  const std::string folder = detail::folder_of(options_.filepath);
  if (folder.find_first_of("{}") != folder.npos) return;
  if (!folder.empty()) make_directories(folder);
  const AtomicFile probe(path);
}

template <class T>
STRATA_COLD void ModelCheckpointImpl<T>::on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) {
  if (options_.save_best_only && !monitor_.improves_best(monitor_.value(logs))) return;
  const std::string path = detail::filled_in(
      options_.filepath, [&](std::string_view name) { return name == "epoch" ? epoch + 1.0 : logs[name]; });
  if (const std::string folder = detail::folder_of(path); !folder.empty()) make_directories(folder);
  if (options_.save_weights_only)
    save_weights(state.model, path);
  else
    save_model(state.model, path);
}

template <class T>
STRATA_COLD BasicCallbackState<T> ModelCheckpointImpl<T>::state() const {
  return {Json::object({{"best", monitor_.state()}})};
}

template <class T>
STRATA_COLD void ModelCheckpointImpl<T>::load_state(const BasicCallbackState<T>& from) {
  monitor_.load_state(from.values.at("best"));
}

#if !STRATA_HEADER_ONLY
template class EarlyStoppingImpl<float>;
template class EarlyStoppingImpl<double>;
template class ReduceLROnPlateauImpl<float>;
template class ReduceLROnPlateauImpl<double>;
template class ModelCheckpointImpl<float>;
template class ModelCheckpointImpl<double>;
#endif

}}  // namespace strata::STRATA_ABI
