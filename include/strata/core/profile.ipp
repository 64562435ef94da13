#pragma once

#include <atomic>
#include <cstdio>
#include <ctime>
#include <utility>

#include <strata/core/profile.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE double PhaseTimes::total() const {
  double out = 0;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(Phase::other); ++i) out += seconds[i];
  return out;
}

STRATA_COLD STRATA_INLINE PhaseTimes PhaseTimes::operator-(const PhaseTimes& before) const {
  PhaseTimes out = *this;
  for (std::size_t i = 0; i < count; ++i) {
    out.seconds[i] -= before.seconds[i];
    out.calls[i] -= before.calls[i];
  }
  return out;
}

STRATA_COLD STRATA_INLINE std::string PhaseTimes::to_string() const {
  const double all = total();
  char row[80];
  std::string out = "phase          seconds    share     calls\n";
  const auto add = [&](std::string_view name, double time, std::int64_t times) {
    std::snprintf(row, sizeof row, "%-12.12s %9.3f %6.1f %% %9lld\n", name.data(), time,
                  all > 0 ? 100 * time / all : 0, static_cast<long long>(times));
    out += row;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto phase = static_cast<Phase>(i);
    if (phase == Phase::decode) {
      std::snprintf(row, sizeof row, "%-12s %9.3f\n", "total", all);
      out.append(row).append("beside them, in the loaders\n");
    }
    if (calls[i] > 0 || seconds[i] > 0) add(names_of(phase, i), seconds[i], calls[i]);
  }
  return out;
}

namespace detail {
/// Gives the time since the last change to the phase that lasted until now.
STRATA_COLD inline std::int64_t nanoseconds_since(std::int64_t& since) {
  std::timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t before = since;
  since = static_cast<std::int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
  return since - before;
}
}  // namespace detail

STRATA_COLD STRATA_INLINE void Profile::enter(Phase phase) {
  detail::ProfiledThread& thread = detail::profiled_thread;
  std::atomic_ref(nanoseconds_[static_cast<std::size_t>(thread.phase)])
      .fetch_add(detail::nanoseconds_since(thread.since), std::memory_order_relaxed);
  thread.phase = phase;
}

STRATA_COLD STRATA_INLINE PhaseTimes Profile::times() {
  if (detail::profiled_thread.profile == this) enter(detail::profiled_thread.phase);
  PhaseTimes out;
  for (std::size_t i = 0; i < PhaseTimes::count; ++i) {
    out.seconds[i] =
        1e-9 * static_cast<double>(std::atomic_ref(nanoseconds_[i]).load(std::memory_order_relaxed));
    out.calls[i] = std::atomic_ref(calls_[i]).load(std::memory_order_relaxed);
  }
  return out;
}

STRATA_COLD STRATA_INLINE ProfileScope::ProfileScope(Profile* profile, Phase phase)
    : before_(std::exchange(detail::profiled_thread, {profile, phase})) {
  if (!profile) return;
  detail::nanoseconds_since(detail::profiled_thread.since);
  std::atomic_ref(profile->calls_[static_cast<std::size_t>(phase)]).fetch_add(1, std::memory_order_relaxed);
}
STRATA_COLD STRATA_INLINE ProfileScope::~ProfileScope() {
  if (Profile* profile = detail::profiled_thread.profile) profile->enter(Phase::other);
  detail::profiled_thread = before_;
}

STRATA_COLD STRATA_INLINE void PhaseTimer::begin(Phase phase) {
  around_ = detail::profiled_thread.phase;
  const bool of_loader = phase == Phase::decode || phase == Phase::resize;
  if (phase == around_ || (of_loader && around_ != Phase::load)) return;
  enter(phase);
  counts_ = true;
}
STRATA_COLD STRATA_INLINE void PhaseTimer::enter(Phase phase) {
  if (queue_) synchronize_(queue_);
  Profile& profile = *detail::profiled_thread.profile;
  profile.enter(phase);
  std::atomic_ref(profile.calls_[static_cast<std::size_t>(phase)]).fetch_add(1, std::memory_order_relaxed);
}
STRATA_COLD STRATA_INLINE void PhaseTimer::end() noexcept {
  try {
    if (queue_) synchronize_(queue_);
  } catch (...) {  // a device that has failed says so again to whoever uses it next
  }
  detail::profiled_thread.profile->enter(around_);
}

}}  // namespace strata::STRATA_ABI
