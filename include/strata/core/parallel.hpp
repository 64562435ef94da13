#pragma once

#include <cstdint>
#include <memory>

#include <strata/core/function_ref.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Number of CPUs this process may run on (its affinity mask), at least 1.
int available_cpus();

/// A persistent pool of threads. The caller of `run` works too, so a pool of N owns N - 1 threads.
///
/// Calls may come from several threads at once and from inside a task: whoever finds the pool busy does its
/// tasks by itself. Results must therefore never depend on which worker does a task, only on the task's
/// number.
class ThreadPool {
 public:
  /// `threads` = 0 takes every CPU the process may use. There are fewer threads where the system starts no
  /// more. Throws ConfigError for a negative count.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  /// Calls `task(i, worker)` once for every i in [0, tasks), worker in [0, threads()), and returns when all
  /// are done. No two tasks of one call run at once with the same worker number, so it may index scratch that
  /// the call owns. The first exception a task throws is thrown again here; tasks not yet begun are then
  /// skipped.
  void run(std::int64_t tasks, FunctionRef<void(std::int64_t task, int worker)> task);

  /// Splits [0, count) into chunks of `grain` (the last may be shorter) and calls `body(begin, end)` for
  /// each. The split depends on count and grain alone, never on the number of threads.
  void for_range(std::int64_t count, std::int64_t grain,
                 FunctionRef<void(std::int64_t begin, std::int64_t end)> body) {
    if (count <= 0) return;
    if (count <= grain) return body(0, count);
    run((count + grain - 1) / grain, [&](std::int64_t chunk, int) {
      const std::int64_t begin = chunk * grain;
      body(begin, begin + grain < count ? begin + grain : count);
    });
  }

 private:
  struct State;
  int threads_;
  std::unique_ptr<State> state_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/core/parallel.ipp>
#endif
