#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <strata/core/profile.hpp>
#include <strata/data/prefetch.hpp>

namespace strata { inline namespace STRATA_ABI {

struct PrefetchQueue::State {
  struct Slot {
    bool ready = false;
    Batch batch;
    std::exception_ptr error;
  };

  State(Dataset source, std::int64_t first_draw, std::int64_t batches, int depth,
        std::shared_ptr<HostMemory> of_batches, std::function<bool(std::int64_t)> without_inputs)
      : dataset(std::move(source)),
        memory(std::move(of_batches)),
        targets_only(std::move(without_inputs)),
        first(first_draw),
        count(batches),
        ring(static_cast<std::size_t>(depth)) {}
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    space.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  Slot& slot(std::int64_t number) {
    return ring[static_cast<std::size_t>(number % static_cast<std::int64_t>(ring.size()))];
  }

  Batch load(std::int64_t draw, bool bare) const {
    const BatchSource& source = dataset.source();
    return bare ? source.targets(source.draws_of(draw)) : source.batch(draw);
  }
  bool bare(std::int64_t draw) const { return targets_only && targets_only(draw); }

  void work() {
    const ProfileScope scope(profile, Phase::ahead);
    std::unique_lock lock(mutex);
    for (;;) {
      space.wait(lock, [&] {
        return stop || begun == count || begun < taken + static_cast<std::int64_t>(ring.size());
      });
      if (stop || begun == count) return;
      const std::int64_t number = begun++;
      Slot loaded{.ready = true, .batch = {}, .error = nullptr};
      try {
        const bool without_inputs = bare(first + number);
        lock.unlock();
        const PhaseTimer timer(Phase::load);
        loaded.batch = load(first + number, without_inputs);
        loaded.batch.pixels.move_to(memory);
        for (Tensor<float> Batch::*each : {&Batch::x, &Batch::y, &Batch::sample_weight})
          (loaded.batch.*each).move_to(memory);
        for (auto* others : {&loaded.batch.other_x, &loaded.batch.other_y})
          for (Tensor<float>& other : *others) other.move_to(memory);
      } catch (...) {
        loaded.error = std::current_exception();
      }
      if (!lock) lock.lock();
      slot(number) = std::move(loaded);
      arrived.notify_one();
    }
  }

  const Dataset dataset;
  const std::shared_ptr<HostMemory> memory;
  const std::function<bool(std::int64_t)> targets_only;
  Profile* const profile = detail::profiled_thread.profile;  // of whoever made the queue
  const std::int64_t first, count;
  std::mutex mutex;
  std::condition_variable space, arrived;
  std::vector<Slot> ring;             // batch n in slot n % depth
  std::int64_t begun = 0, taken = 0;  // batches that workers began to load, and that the caller took
  bool stop = false;
  std::vector<std::thread> workers;
};

STRATA_COLD STRATA_INLINE PrefetchQueue::PrefetchQueue(Dataset dataset, std::int64_t first_draw,
                                                       std::int64_t count, int depth, int threads,
                                                       std::shared_ptr<HostMemory> memory,
                                                       std::function<bool(std::int64_t)> targets_only) {
  require<ConfigError>(first_draw >= 0 && count >= 0 && threads >= 0 && depth >= 1,
                       "[prefetch] expected a first draw, count and threads of 0 or more and a depth of 1 or "
                       "more, found ",
                       first_draw, ", ", count, ", ", threads, " and ", depth);
  dataset.source();  // an empty dataset is an error here, not on a thread
  state_ = std::make_unique<State>(std::move(dataset), first_draw, count, depth, std::move(memory),
                                   std::move(targets_only));
  try {
    for (int i = 0; i < threads && i < count; ++i)
      state_->workers.emplace_back([state = state_.get()] { state->work(); });
  } catch (const std::system_error&) {
    // The system starts no more threads; with none, batches are loaded when asked for.
  }
}
STRATA_COLD STRATA_INLINE PrefetchQueue::~PrefetchQueue() = default;
STRATA_COLD STRATA_INLINE PrefetchQueue::PrefetchQueue(PrefetchQueue&&) noexcept = default;
STRATA_COLD STRATA_INLINE PrefetchQueue& PrefetchQueue::operator=(PrefetchQueue&&) noexcept = default;

STRATA_COLD STRATA_INLINE std::optional<Batch> PrefetchQueue::next() {
  State& s = *state_;
  if (s.taken == s.count) return std::nullopt;
  if (s.workers.empty()) {
    const ProfileScope scope(s.profile, Phase::load);
    const std::int64_t draw = s.first + s.taken++;
    return s.load(draw, s.bare(draw));
  }
  State::Slot out;
  {
    std::unique_lock lock(s.mutex);
    State::Slot& slot = s.slot(s.taken);
    s.arrived.wait(lock, [&] { return slot.ready; });
    out = std::exchange(slot, {});
    ++s.taken;
  }
  s.space.notify_one();
  if (out.error) std::rethrow_exception(out.error);
  return std::move(out.batch);
}

}}  // namespace strata::STRATA_ABI
