#include <catch2/catch.hpp>

#include <chrono>
#include <stdexcept>
#include <thread>

#include <strata/core/profile.hpp>

using namespace strata;

namespace {

void sleep(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

template <class Function>
double seconds(Function function) {
  const auto begin = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Queue {
  int waits = 0;
  bool broken = false;
  void synchronize() {
    ++waits;
    if (broken) throw std::runtime_error("the device has failed");
  }
};

}  // namespace

TEST_CASE("A phase's time is its own: phases inside it, and times around it, are not counted twice") {
  Profile profile;
  PhaseTimes times;
  double inside = 0;
  const double outside = seconds([&] {
    const ProfileScope scope(&profile);
    inside = seconds([&] {
      PhaseTimer outer(Phase::forward);
      sleep(5);
      for (int i = 0; i < 3; ++i) {
        const PhaseTimer inner(Phase::augment);
        sleep(10);
      }
      sleep(5);
      outer.next(Phase::loss);
      sleep(5);
      {
        const PhaseTimer again(Phase::loss);  // is in it already
        sleep(5);
      }
    });
    {
      const PhaseTimer open(Phase::callbacks);
      sleep(5);
      times = profile.times();  // an open phase counts up to now
    }
  });
  CHECK(times[Phase::forward] >= 0.010);
  CHECK(times[Phase::augment] >= 0.030);
  CHECK(times[Phase::loss] >= 0.010);
  CHECK(times[Phase::callbacks] >= 0.005);
  // Anything counted twice would be more than there was, anything lost less.
  CHECK(times.total() <= outside);
  CHECK(times.total() >= inside + times[Phase::callbacks]);
  CHECK(times[Phase::forward] + times[Phase::augment] + times[Phase::loss] <= inside);
  CHECK(times.calls_of(Phase::forward) == 1);
  CHECK(times.calls_of(Phase::augment) == 3);
  CHECK(times.calls_of(Phase::loss) == 1);
  CHECK(times.calls_of(Phase::backward) == 0);
  CHECK(profile.times().total() <= outside);
}

TEST_CASE("Each thread gives its times to its own profile, a scope inside another to the inner one") {
  Profile first, second;
  const auto work = [](Profile& profile, Phase phase, int times) {
    const ProfileScope scope(&profile);
    for (int i = 0; i < times; ++i) const PhaseTimer timer(phase);
  };
  std::thread one(work, std::ref(first), Phase::forward, 1000),
      two(work, std::ref(second), Phase::update, 700);
  one.join();
  two.join();
  CHECK(first.times().calls_of(Phase::forward) == 1000);
  CHECK(first.times().calls_of(Phase::update) == 0);
  CHECK(second.times().calls_of(Phase::update) == 700);
  CHECK(second.times().calls_of(Phase::forward) == 0);

  Profile outer, inner;
  {
    const ProfileScope scope(&outer);
    const PhaseTimer timer(Phase::callbacks);
    {
      const ProfileScope nested(&inner);
      const PhaseTimer forward(Phase::forward);
      sleep(5);
    }
    {
      const ProfileScope none(nullptr);
      const PhaseTimer forward(Phase::forward);
      sleep(5);
    }
  }
  CHECK(inner.times()[Phase::forward] >= 0.005);
  CHECK(outer.times()[Phase::callbacks] >= 0.010);  // whose time went on
  CHECK(outer.times().calls_of(Phase::forward) == 0);
  CHECK(inner.times().calls_of(Phase::forward) == 1);
}

TEST_CASE("Work that is queued is waited for where a phase begins and ends, and without a profile never") {
  Queue queue;
  { const PhaseTimer timer(Phase::forward, queue); }
  CHECK(queue.waits == 0);

  Profile profile;
  const ProfileScope scope(&profile);
  {
    PhaseTimer timer(Phase::forward, queue);
    CHECK(queue.waits == 1);
    timer.next(Phase::loss);
    CHECK(queue.waits == 2);
  }
  CHECK(queue.waits == 3);

  // What the device throws at the end of a phase hides no other error and ends no program.
  const auto fail = [&] {
    const PhaseTimer timer(Phase::backward, queue);
    queue.broken = true;
    throw std::logic_error("the first error");
  };
  CHECK_THROWS_WITH(fail(), "the first error");
  CHECK_THROWS_WITH((PhaseTimer(Phase::update, queue)), "the device has failed");
  CHECK(profile.times().calls_of(Phase::update) == 0);
}

TEST_CASE("Decoding and resizing count where batches are loaded, not where a callback reads a picture") {
  Profile profile;
  {
    const ProfileScope scope(&profile);
    const PhaseTimer callbacks(Phase::callbacks);
    const PhaseTimer decode(Phase::decode);
  }
  CHECK(profile.times().calls_of(Phase::decode) == 0);
  {
    const ProfileScope loader(&profile, Phase::ahead);
    const PhaseTimer load(Phase::load);
    { const PhaseTimer decode(Phase::decode); }
    const PhaseTimer resize(Phase::resize);
  }
  CHECK(profile.times().calls_of(Phase::decode) == 1);
  CHECK(profile.times().calls_of(Phase::resize) == 1);
}

TEST_CASE("Times as a table: the thread that trains adds up to the total, loaders stand apart") {
  PhaseTimes times;
  const auto set = [&](Phase phase, double time, std::int64_t calls) {
    times.seconds[static_cast<std::size_t>(phase)] = time;
    times.calls[static_cast<std::size_t>(phase)] = calls;
  };
  set(Phase::idle, 0.05, 100);
  set(Phase::forward, 6, 100);
  set(Phase::validation, 1.95, 1);
  set(Phase::other, 2, 0);
  set(Phase::decode, 7.5, 2000);
  CHECK(times.total() == 10);
  CHECK(times.to_string() ==
        "phase          seconds    share     calls\n"
        "idle             0.050    0.5 %       100\n"
        "forward          6.000   60.0 %       100\n"
        "validation       1.950   19.5 %         1\n"
        "other            2.000   20.0 %         0\n"
        "total           10.000\n"
        "beside them, in the loaders\n"
        "decode           7.500   75.0 %      2000\n");
  CHECK(PhaseTimes().to_string() ==
        "phase          seconds    share     calls\n"
        "total            0.000\n"
        "beside them, in the loaders\n");
  const PhaseTimes twice = times - PhaseTimes();
  CHECK((twice - times).total() == 0);
  CHECK(twice.calls == times.calls);
}
