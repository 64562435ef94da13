#pragma once

#include <unistd.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>

#include <strata/io/file.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/saving.ipp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

constexpr const char* backup_format = "strata-backup/1";

/// The value with `change` made to all that it holds.
template <class Change>
STRATA_COLD Json each(const Json& json, Change change) {
  if (json.is_array()) {
    Json out = Json::array();
    for (const Json& item : json.as_array()) out.push_back(change(item));
    return out;
  }
  if (!json.is_object()) return json;
  Json out = Json::object();
  for (const auto& [key, value] : json.as_object()) out[key] = change(value);
  return out;
}

/// JSON has neither NaN nor infinity: such a number becomes {"bits": "9221120237041090560"}. An object that
/// looks like one is wrapped.
STRATA_COLD STRATA_INLINE Json with_bits(const Json& json) {
  if (json.is_number() && !json.is_int() && !std::isfinite(json.as_double()))
    return Json::object({{"bits", concat(std::bit_cast<std::uint64_t>(json.as_double()))}});
  Json out = each(json, with_bits);
  return json.is_object() && json.size() == 1 && json.contains("bits")
             ? Json::object({{"bits", std::move(out)}})
             : out;
}

STRATA_COLD STRATA_INLINE Json without_bits(const Json& json) {
  const Json* bits = json.is_object() && json.size() == 1 ? json.find("bits") : nullptr;
  if (!bits) return each(json, without_bits);
  if (bits->is_object()) return each(*bits, without_bits);
  const std::string& text = bits->as_string();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require<DataError>(error == std::errc() && end == text.data() + text.size(), "[json] '", text,
                     "' are not the bits of a number");
  return std::bit_cast<double>(value);
}

STRATA_COLD STRATA_INLINE Json history_json(const History& history) {
  Json out = Json::array();
  for (std::size_t i = 0; i < history.size(); ++i) {
    Json logs = Json::object();
    for (const auto& [name, value] : history.at(i)) logs[name] = value;
    out.push_back(Json::array({history.epoch()[i], std::move(logs)}));
  }
  return out;
}

STRATA_COLD STRATA_INLINE History history_from_json(const Json& json) {
  History out;
  for (const Json& entry : json.as_array()) {
    Logs logs;
    for (const auto& [name, value] : entry.at(1).as_object()) logs.set(name, value.as_double());
    out.add(entry.at(0).as<int>(), logs);
  }
  return out;
}

/// What tells data of one size apart: the means of up to eight samples of the first pass, spread over it,
/// three digits each, so that another processor's rounding is no other data.
STRATA_COLD STRATA_INLINE Json values_of(const Dataset& data) {
  const std::int64_t count = std::min<std::int64_t>(8, data.samples());
  std::vector<std::int64_t> draws;
  for (std::int64_t i = 0; i < count; ++i) draws.push_back(i * data.samples() / count);
  const Batch batch = data.source().gather(draws);
  Json out = Json::array();
  const auto add = [&](const auto& tensor) {
    for (std::int64_t n = 0; n < count && !tensor.empty(); ++n) {
      const std::int64_t size = tensor.size() / count;
      double sum = 0;
      for (std::int64_t i = 0; i < size; ++i) sum += static_cast<double>(tensor.data()[n * size + i]);
      char text[32];
      std::snprintf(text, sizeof text, "%.3g", sum / static_cast<double>(size));
      out.push_back(text);
    }
  };
  add(batch.pixels), add(batch.x), add(batch.y), add(batch.sample_weight);
  for (const auto* others : {&batch.other_x, &batch.other_y})
    for (const Tensor<float>& tensor : *others) add(tensor);
  return out;
}

/// Model and options of a run, as far as they decide its bits.
template <class T>
STRATA_COLD Json run_json(const BasicFitState<T>& state) {
  const BasicFitOptions<T>& options = *state.options;
  Trainer<T>& trainer = state.model.trainer();
  const auto size_of = [](const Dataset& data) {
    return data ? Json::object({{"samples", data.samples()}, {"batch_size", data.batch_size()}}) : Json();
  };
  Json metrics = Json::array();
  for (const Figure& figure : trainer.figures()) metrics.push_back(figure.name);
  Json losses = Json::array();
  for (const auto& loss : trainer.losses()) losses.push_back(loss ? Json(loss.impl().name()) : Json());
  const bool several = trainer.losses().size() > 1;
  Json class_weight = Json::array();
  for (const auto& [number, weight] : options.class_weight)
    class_weight.push_back(Json::array({number, weight}));
  Json callbacks = Json::array();  // told apart by what they keep
  for (const auto& callback : options.callbacks) {
    const Json values = callback.impl().state().values;
    Json keys = Json::array();
    if (values.is_object())
      for (const auto& [key, value] : values.as_object()) keys.push_back(key);
    callbacks.push_back(std::move(keys));
  }
  Json out = Json::object({{"model", model_json(state.model.model())},
                           {"optimizer", trainer.optimizer().config()},
                           {"loss", several ? losses : losses.at(0)},
                           {"metrics", std::move(metrics)},
                           {"bytes_per_number", sizeof(T)},
                           {"data", size_of(state.data)},
                           {"class_weight", std::move(class_weight)},
                           {"validation_data", size_of(options.validation_data)},
                           {"validation_steps", options.validation_steps},
                           {"steps_per_epoch", state.steps_per_epoch},
                           {"initial_epoch", options.initial_epoch},
                           {"shuffle", options.shuffle},
                           {"seed", concat(options.seed)},
                           {"callbacks", std::move(callbacks)}});
  if (several) out["loss_weights"] = Json::array(trainer.loss_weights());
  out["data_values"] = values_of(state.data);
  return out;
}

STRATA_COLD STRATA_INLINE void require_same_run(const Json& expected, const Json& found,
                                                const std::string& path) {
  for (const auto& [key, value] : expected.as_object()) {
    const Json* other = found.find(key);
    if (other && *other == value) continue;
    std::string difference = concat("another ", key);
    if (key != "model")
      difference += concat(": expected ", value.dump(), ", found ", other ? other->dump() : "");
    throw DataError(concat("[backup_and_restore] '", path, "' is the backup of a run with ", difference,
                           "; delete it to begin anew"));
  }
}

}  // namespace detail

template <class T>
STRATA_COLD BackupAndRestoreImpl<T>::BackupAndRestoreImpl(BackupAndRestoreOptions options)
    : options_(std::move(options)) {
  require<ConfigError>(!options_.backup_dir.empty(),
                       "[backup_and_restore] expected a backup_dir, found none");
  require<ConfigError>(options_.save_freq >= 0,
                       "[backup_and_restore] expected a save_freq of 0 or more, found ", options_.save_freq);
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::on_train_begin(BasicFitState<T>& state) {
  require<ConfigError>(state.options && &state.options->callbacks.back().impl() == this,
                       "[backup_and_restore] must be the last callback, to keep what the others did");
  run_ = detail::run_json(state);
  if (options_.save_freq > 0) state.model.trainer().gathered();  // whether it can is told now
  make_directories(options_.backup_dir);
  { const AtomicFile probe(file()); }
  if (::access(file().c_str(), F_OK) == 0) restore(state);
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::on_train_batch_end(BasicFitState<T>& state, std::int64_t batch,
                                                             const Logs&) {
  const std::int64_t done = state.epoch * state.steps_per_epoch + batch + 1;
  // An epoch that was stopped ends now, with a backup where each epoch has one.
  if (options_.save_freq > 0 && done % options_.save_freq == 0 && !state.stop_training) save(state);
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) {
  if (options_.save_freq > 0) return;
  History history = state.history;
  history.add(epoch, logs);
  write(state, epoch + 1, 0, history);
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::on_train_end(BasicFitState<T>&) {
  if (options_.delete_checkpoint) remove();
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::remove() {
  std::remove(file().c_str());
  ::rmdir(options_.backup_dir.c_str());  // where it holds nothing else
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::save(const BasicFitState<T>& state) {
  write(state, state.epoch, state.step + 1, state.history);
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::write(const BasicFitState<T>& state, int epoch, std::int64_t step,
                                                const History& history) {
  Trainer<T>& trainer = state.model.trainer();
  auto tensors = detail::training_tensors(state.model, true);
  Json callbacks = Json::array();
  for (const auto& callback : state.options->callbacks) {
    const BasicCallbackState<T> kept = callback.impl().state();
    Json names = Json::array();
    for (const auto& [name, tensor] : kept.tensors) {
      tensors.emplace_back(concat("callbacks/", callbacks.size(), "/", name), tensor.to(nullptr));
      names.push_back(name);
    }
    callbacks.push_back(Json::object({{"values", kept.values}, {"tensors", std::move(names)}}));
  }
  const Json progress = Json::object({{"epoch", epoch},
                                      {"step", step},
                                      {"stop_training", state.stop_training},
                                      {"history", detail::history_json(history)},
                                      {"learning_rate", trainer.optimizer().learning_rate()},
                                      {"iterations", trainer.iterations()},
                                      {"gathered", step > 0 ? trainer.gathered() : Json()},
                                      {"callbacks", std::move(callbacks)}});
  SafetensorsMetadata metadata{{"format", detail::backup_format},
                               {"strata_version", STRATA_VERSION},
                               {"run", run_.dump()},
                               {"progress", detail::with_bits(progress).dump()},
                               {"tuning", state.model.device()->tuning()}};
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : tensors) entries.emplace_back(name, tensor);
  add_checksums(metadata, entries);
  write_safetensors(file(), entries, metadata);
}

template <class T>
STRATA_COLD void BackupAndRestoreImpl<T>::restore(BasicFitState<T>& state) try {
  const SafetensorsFile backup(file());
  const auto entry = [&](const char* key) {
    const auto found = backup.metadata().find(key);
    require<DataError>(found != backup.metadata().end(), "it is not a backup: its metadata has no '", key,
                       "'");
    return found->second;
  };
  require<DataError>(entry("format") == detail::backup_format, "expected format '", detail::backup_format,
                     "', found '", entry("format"), "'");
  detail::require_same_run(run_, Json::parse(entry("run"), file()), file());
  const Json progress = detail::without_bits(Json::parse(entry("progress"), file()));
  const int epoch = progress.get<int>("epoch");
  const auto step = progress.get<std::int64_t>("step");
  const auto rate = progress.get<double>("learning_rate");
  const auto iterations = progress.get<std::int64_t>("iterations");
  const Json& callbacks = progress.at("callbacks");
  require<DataError>(epoch >= state.epoch && step >= 0 && step <= state.steps_per_epoch && iterations >= 0 &&
                         rate >= 0 && callbacks.size() == state.options->callbacks.size(),
                     "epoch ", epoch, ", step ", step, " is not in this run");
  History history = detail::history_from_json(progress.at("history"));
  std::vector<BasicCallbackState<T>> states;
  for (const Json& kept : callbacks.as_array()) {
    BasicCallbackState<T> from{kept.at("values"), {}};
    for (const Json& name : kept.at("tensors").as_array())
      from.tensors.emplace_back(name.as_string(), backup.template read<T>(concat("callbacks/", states.size(),
                                                                                 "/", name.as_string())));
    states.push_back(std::move(from));
  }

  const auto tuning = backup.metadata().find("tuning");
  state.model.device()->restore_tuning(tuning == backup.metadata().end() ? std::string() : tuning->second);
  Trainer<T>& trainer = state.model.trainer();
  load_weights(state.model, backup, {.prefix = "weights/"});
  detail::load_slots(state.model, backup);
  if (!trainer.optimizer().follows_schedule()) trainer.optimizer().set_learning_rate(rate);
  trainer.set_iterations(iterations);
  if (step > 0) trainer.load_gathered(state.model.model(), progress.at("gathered"));
  for (std::size_t i = 0; i < states.size(); ++i) state.options->callbacks[i].impl().load_state(states[i]);
  state.epoch = epoch;
  state.step = step;
  state.stop_training = progress.get<bool>("stop_training");
  state.history = std::move(history);
} catch (const DataError& error) {
  const std::string what = error.what();
  if (what.find(file()) != what.npos) throw;
  throw DataError(concat("[backup_and_restore] '", file(), "': ", what));
}

#if !STRATA_HEADER_ONLY
template class BackupAndRestoreImpl<float>;
template class BackupAndRestoreImpl<double>;
#endif

}}  // namespace strata::STRATA_ABI
