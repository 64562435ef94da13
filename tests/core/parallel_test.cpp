#include <catch2/catch.hpp>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <strata/core/error.hpp>
#include <strata/core/parallel.hpp>

#include "support/no_threads.hpp"

using namespace strata;

TEST_CASE("A pool counts its threads") {
  CHECK(available_cpus() >= 1);
  CHECK(ThreadPool().threads() == available_cpus());
  CHECK(ThreadPool(3).threads() == 3);
  CHECK_THROWS_AS(ThreadPool(-1), ConfigError);
}

TEST_CASE("Where no thread can be started a pool works with those it has") {
  const NoThreads none;
  ThreadPool pool(4);
  CHECK(pool.threads() == 1);
  std::int64_t sum = 0;
  pool.run(10, [&](std::int64_t task, int) { sum += task; });
  CHECK(sum == 45);
}

TEST_CASE("Every task runs once, with a worker number in range") {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (const std::int64_t tasks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      std::atomic<bool> in_range{true};
      pool.run(tasks, [&](std::int64_t task, int worker) {
        ++runs[static_cast<std::size_t>(task)];
        if (worker < 0 || worker >= threads) in_range = false;
      });
      bool once = true;
      for (const auto& count : runs) once = once && count == 1;
      CHECK(once);
      CHECK(in_range);
    }
  }
}

TEST_CASE("No two tasks run at once with the same worker number") {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> active(4);
  std::atomic<bool> alone{true};
  for (int repeat = 0; repeat < 200; ++repeat)
    pool.run(50, [&](std::int64_t, int worker) {
      if (active[static_cast<std::size_t>(worker)]++ != 0) alone = false;
      --active[static_cast<std::size_t>(worker)];
    });
  CHECK(alone);
}

TEST_CASE("for_range splits by count and grain alone") {
  using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const auto& [count, grain] :
         {std::pair<std::int64_t, std::int64_t>{100, 7}, {5, 10}, {10, 10}, {11, 10}, {0, 4}}) {
      Ranges found(static_cast<std::size_t>((count + grain - 1) / grain));
      pool.for_range(count, grain, [&, grain = grain](std::int64_t begin, std::int64_t end) {
        found[static_cast<std::size_t>(begin / grain)] = {begin, end};
      });
      std::int64_t next = 0;
      for (const auto& [begin, end] : found) {
        CHECK(begin == next);
        CHECK(end == std::min(begin + grain, count));
        next = end;
      }
      CHECK(next == count);
    }
  }
}

TEST_CASE("The first exception comes back to the caller and the pool lives on") {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int repeat = 0; repeat < 50; ++repeat) {
      std::atomic<int> begun{0};
      CHECK_THROWS_WITH(pool.run(100,
                                 [&](std::int64_t task, int) {
                                   ++begun;
                                   if (task == 3) throw std::runtime_error("task 3");
                                 }),
                        "task 3");
      CHECK(begun >= 1);
      std::atomic<int> done{0};
      pool.run(100, [&](std::int64_t, int) { ++done; });
      CHECK(done == 100);
    }
    CHECK_THROWS_AS(pool.run(64, [](std::int64_t, int) { throw ShapeError("every task"); }), ShapeError);
  }
}

TEST_CASE("Tasks may call run themselves") {
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum{0};
  pool.run(8, [&](std::int64_t i, int) {
    pool.run(8, [&](std::int64_t j, int) {
      pool.for_range(10, 3,
                     [&](std::int64_t begin, std::int64_t end) { sum += (end - begin) * (8 * i + j); });
    });
  });
  CHECK(sum == 10 * 63 * 64 / 2);
  CHECK_THROWS_WITH(
      pool.run(4, [&](std::int64_t,
                      int) { pool.run(4, [](std::int64_t, int) { throw std::runtime_error("inner"); }); }),
      "inner");
}

TEST_CASE("Several threads may share a pool") {
  ThreadPool pool(3);
  std::atomic<std::int64_t> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      for (int repeat = 0; repeat < 300; ++repeat) {
        std::vector<std::int64_t> out(64);
        try {
          pool.run(64, [&](std::int64_t task, int) {
            if (repeat % 10 == caller) throw std::runtime_error("mine");
            out[static_cast<std::size_t>(task)] = task;
          });
          if (repeat % 10 == caller) ++wrong;
          if (std::accumulate(out.begin(), out.end(), std::int64_t{0}) != 64 * 63 / 2) ++wrong;
        } catch (const std::runtime_error&) {
          if (repeat % 10 != caller) ++wrong;
        }
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("Thousands of short runs, and pools that come and go") {
  std::int64_t total = 0;
  {
    ThreadPool pool(4);
    for (int repeat = 0; repeat < 5000; ++repeat) {
      std::int64_t parts[5] = {};
      pool.run(5, [&](std::int64_t task, int) { parts[task] = task + 1; });
      total += parts[0] + parts[1] + parts[2] + parts[3] + parts[4];
    }
  }
  CHECK(total == 15 * 5000);
  std::atomic<int> ran{0};
  for (int repeat = 0; repeat < 100; ++repeat) {
    ThreadPool pool(3);
    if (repeat % 2) pool.run(3, [&](std::int64_t, int) { ++ran; });
  }
  CHECK(ran == 150);
}
