#pragma once

#include <cmath>
#include <string_view>
#include <utility>

#include <strata/training/phase_logger.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD PhaseLoggerImpl<T>::PhaseLoggerImpl(PhaseLoggerOptions options) {
  if (!options.filename.empty())
    file_.emplace(CSVLoggerOptions{.filename = std::move(options.filename), .append = options.append});
}

template <class T>
STRATA_COLD void PhaseLoggerImpl<T>::on_train_begin(BasicFitState<T>& state) {
  times_ = {};
  epochs_.clear();
  if (file_) file_->on_train_begin(state);
  if (!state.profile) state.profile = std::make_shared<Profile>();
  profile_ = state.profile;
}

template <class T>
STRATA_COLD void PhaseLoggerImpl<T>::on_epoch_end(BasicFitState<T>& state, int epoch, Logs&) {
  const PhaseTimes before = std::exchange(times_, profile_->times());
  const PhaseTimes& now = epochs_.emplace_back(times_ - before);
  if (!file_) return;
  Logs row;
  const auto add = [&](std::string_view name, double seconds) {
    row.set(name, std::round(seconds * 1e6) / 1e6);  // the rest is noise
  };
  for (std::size_t i = 0; i < PhaseTimes::count; ++i) add(names_of(static_cast<Phase>(i), i), now.seconds[i]);
  add("total", now.total());
  file_->on_epoch_end(state, epoch, row);
}

template <class T>
STRATA_COLD void PhaseLoggerImpl<T>::on_train_end(BasicFitState<T>& state) {
  if (file_) file_->on_train_end(state);
}

template <class T>
STRATA_COLD BasicCallbackState<T> PhaseLoggerImpl<T>::state() const {
  return file_ ? file_->state() : BasicCallbackState<T>{};
}
template <class T>
STRATA_COLD void PhaseLoggerImpl<T>::load_state(const BasicCallbackState<T>& from) {
  if (file_) file_->load_state(from);
}

#if !STRATA_HEADER_ONLY
template class PhaseLoggerImpl<float>;
template class PhaseLoggerImpl<double>;
#endif

}}  // namespace strata::STRATA_ABI
