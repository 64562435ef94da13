#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What the time of a training goes to. The last four are the loaders', beside the thread that trains.
enum class Phase : std::uint8_t {
  idle,        ///< no batch is there yet
  transfer,    ///< a batch to the device, its bytes to numbers
  augment,     ///< pictures are changed at random, on the device: those of a dataset or by layers
  forward,     ///< with what frozen layers in front compute once
  loss,        ///< with metrics
  backward,    ///< with penalties
  update,      ///< the optimizer
  validation,  ///< what it takes beside waiting and transfers
  callbacks,
  other,
  decode,  ///< files are read and decoded
  resize,
  load,   ///< what else makes a batch: a dataset's functions, kept samples, labels
  ahead,  ///< there is no room for another batch: the loader is ahead
};
constexpr std::string_view names_of(Phase, std::size_t i) {
  constexpr std::string_view names[] = {"idle",     "transfer", "augment",    "forward",   "loss",
                                        "backward", "update",   "validation", "callbacks", "other",
                                        "decode",   "resize",   "load",       "ahead"};
  return i < std::size(names) ? names[i] : std::string_view{};
}

/// Seconds in each phase, those of phases inside it not counted, and how often it began.
struct PhaseTimes {
  static constexpr std::size_t count = static_cast<std::size_t>(Phase::ahead) + 1;

  std::array<double, count> seconds = {};
  std::array<std::int64_t, count> calls = {};

  double operator[](Phase phase) const { return seconds[static_cast<std::size_t>(phase)]; }
  std::int64_t calls_of(Phase phase) const { return calls[static_cast<std::size_t>(phase)]; }
  /// Of the thread that trains: the time from the beginning to the end.
  double total() const;
  PhaseTimes operator-(const PhaseTimes& before) const;
  /// A table: seconds, share of the total and calls of each phase there was; the loaders' apart.
  std::string to_string() const;
};

/// Gathers the times of one training, from any number of threads.
class Profile {
 public:
  /// Until now on the calling thread, elsewhere up to the last phase that ended.
  PhaseTimes times();

 private:
  friend class PhaseTimer;
  friend class ProfileScope;
  void enter(Phase phase);

  std::array<std::int64_t, PhaseTimes::count> nanoseconds_ = {}, calls_ = {};  // by std::atomic_ref
};

namespace detail {
/// What a thread does, for which profile; null: for none.
struct ProfiledThread {
  Profile* profile = nullptr;
  Phase phase = Phase::other;
  std::int64_t since = 0;  // nanoseconds
};
inline constinit thread_local ProfiledThread profiled_thread = {};
}  // namespace detail

/// While it lives, the calling thread and the loaders of each PrefetchQueue that it makes give their times to
/// a profile, which must outlive them; null: to none. What was timed before goes on beside it.
class ProfileScope {
 public:
  explicit ProfileScope(Profile* profile, Phase phase = Phase::other);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  detail::ProfiledThread before_;
};

/// Gives the time while it lives to a phase, in the place of the phase around it. Costs one load and one
/// branch where the thread has no profile. `decode` and `resize` count inside `load` only.
class PhaseTimer {
 public:
  explicit PhaseTimer(Phase phase) {
    if (detail::profiled_thread.profile) begin(phase);
  }
  /// Of work that is given to a queue, a Backend say: where there is a profile, the phase begins and ends
  /// with `queue.synchronize()`.
  template <class Queue>
  PhaseTimer(Phase phase, Queue& queue) {
    if (!detail::profiled_thread.profile) return;
    queue_ = &queue;
    synchronize_ = [](void* of) { static_cast<Queue*>(of)->synchronize(); };
    begin(phase);
  }
  ~PhaseTimer() {
    if (counts_) end();
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

  /// Goes on with the next phase.
  void next(Phase phase) {
    if (counts_) enter(phase);
  }

 private:
  void begin(Phase phase);
  void enter(Phase phase);
  void end() noexcept;

  void* queue_ = nullptr;
  void (*synchronize_)(void*) = nullptr;
  bool counts_ = false;
  Phase around_ = Phase::other;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/core/profile.ipp>
#endif
