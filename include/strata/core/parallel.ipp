#pragma once

#include <sched.h>

#include <atomic>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include <strata/core/error.hpp>
#include <strata/core/parallel.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_INLINE int available_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int count = sched_getaffinity(0, sizeof allowed, &allowed) == 0
                        ? CPU_COUNT(&allowed)
                        : static_cast<int>(std::thread::hardware_concurrency());
  return count > 0 ? count : 1;
}

struct ThreadPool::State {
  using Task = FunctionRef<void(std::int64_t, int)>;

  std::vector<std::thread> workers;
  std::atomic<bool> busy{false};
  const Task* task = nullptr;
  std::int64_t count = 0;
  std::atomic<std::int64_t> next{0};
  std::atomic<std::uint32_t> generation{0};
  std::atomic<int> working{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  void drain(int worker) {
    for (std::int64_t i; !failed.load(std::memory_order_relaxed) &&
                         (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        (*task)(i, worker);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }

  // Kernels follow each other within microseconds, so a worker spins briefly before it sleeps.
  static constexpr int spins = 4000;
  template <class Value>
  static void wait_while(const std::atomic<Value>& value, Value old) {
    for (int i = 0; i < spins; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    value.wait(old, std::memory_order_acquire);
  }

  void work(int worker) {
    for (std::uint32_t seen = 0;;) {
      wait_while(generation, seen);
      ++seen;
      if (stop.load(std::memory_order_relaxed)) return;
      drain(worker);
      if (working.fetch_sub(1, std::memory_order_acq_rel) == 1) working.notify_one();
    }
  }
};

STRATA_INLINE ThreadPool::ThreadPool(int threads)
    : threads_(threads == 0 ? available_cpus() : threads), state_(std::make_unique<State>()) {
  require<ConfigError>(threads >= 0, "[thread pool] expected a thread count of 0 (all CPUs) or more, found ",
                       threads);
  state_->workers.reserve(static_cast<std::size_t>(threads_ - 1));
  try {
    for (int worker = 1; worker < threads_; ++worker)
      state_->workers.emplace_back([state = state_.get(), worker] { state->work(worker); });
  } catch (...) {  // no memory or no thread for it: results do not depend on their number
    threads_ = static_cast<int>(state_->workers.size()) + 1;
  }
}

STRATA_INLINE ThreadPool::~ThreadPool() {
  state_->stop = true;
  state_->generation.fetch_add(1, std::memory_order_release);
  state_->generation.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

STRATA_INLINE void ThreadPool::run(std::int64_t tasks, FunctionRef<void(std::int64_t, int)> task) {
  State& s = *state_;
  // A task that calls run, or a second caller, finds the pool busy and works alone: no nesting, no deadlock.
  if (tasks <= 1 || threads_ == 1 || s.busy.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t i = 0; i < tasks; ++i) task(i, 0);
    return;
  }
  s.task = &task;
  s.count = tasks;
  s.next.store(0, std::memory_order_relaxed);
  s.failed.store(false, std::memory_order_relaxed);
  s.working.store(threads_ - 1, std::memory_order_relaxed);
  s.generation.fetch_add(1, std::memory_order_release);
  s.generation.notify_all();
  s.drain(0);
  for (int left; (left = s.working.load(std::memory_order_acquire)) != 0;) State::wait_while(s.working, left);
  const std::exception_ptr error = std::exchange(s.error, nullptr);
  s.busy.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

}}  // namespace strata::STRATA_ABI
