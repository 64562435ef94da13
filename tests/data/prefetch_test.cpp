#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include <strata/data/prefetch.hpp>

#include "support/counting_memory.hpp"
#include "support/no_threads.hpp"

using namespace strata;
using strata_test::CountingMemory;

namespace {

/// Batches that hold their draw index; slow, and failing where asked to.
class Counter final : public BatchSource {
 public:
  explicit Counter(std::int64_t failing = -1) : failing_(failing) {}
  std::int64_t samples() const override { return 100; }
  std::int64_t batch_size() const override { return 1; }
  Shape element_shape() const override { return {}; }
  Batch gather(std::span<const std::int64_t> draws) const override {
    const std::int64_t draw = draws[0];
    const std::int64_t now = ++loading;
    for (std::int64_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    // Later batches are faster, so that workers finish out of order.
    std::this_thread::sleep_for(std::chrono::microseconds(draw % 3 ? 100 : 2000));
    ++loaded;
    --loading;
    require<DataError>(draw != failing_, "batch ", draw, " is broken");
    Batch out;
    out.x = Tensor<float>({1}, {static_cast<float>(draw)});
    return out;
  }
  mutable std::atomic<std::int64_t> loaded{0}, loading{0}, most{0};

 private:
  std::int64_t failing_;
};

}  // namespace

TEST_CASE("Where no thread can be started batches are loaded when asked for", "[data][prefetch]") {
  const NoThreads none;
  PrefetchQueue queue(Dataset(std::make_shared<Counter>()), 0, 3, 2, 4);
  for (int i = 0; i < 3; ++i) CHECK(queue.next().value().x(0) == static_cast<float>(i));
}

TEST_CASE("batches arrive in order for any number of threads", "[data][prefetch]") {
  for (const int threads : {0, 1, 4}) {
    const auto source = std::make_shared<Counter>();
    PrefetchQueue queue(Dataset(source), 5, 40, 6, threads);
    for (std::int64_t i = 0; i < 40; ++i) {
      const auto batch = queue.next();
      REQUIRE(batch);
      REQUIRE(batch->x.data()[0] == static_cast<float>(5 + i));
    }
    CHECK_FALSE(queue.next());
    CHECK_FALSE(queue.next());
    CHECK(source->loaded == 40);
    CHECK(source->most <= std::max(threads, 1));
  }
}

TEST_CASE("never more than depth batches are loaded ahead", "[data][prefetch]") {
  const auto source = std::make_shared<Counter>();
  PrefetchQueue queue(Dataset(source), 0, 100, 3, 2);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(source->loaded <= 3);
  REQUIRE(queue.next());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(source->loaded <= 4);
}

TEST_CASE("an error arrives with its batch and the queue goes on", "[data][prefetch]") {
  for (const int threads : {0, 1, 4}) {
    PrefetchQueue queue(Dataset(std::make_shared<Counter>(3)), 0, 6, 4, threads);
    for (const float expected : {0.0f, 1.0f, 2.0f}) REQUIRE(queue.next()->x.data()[0] == expected);
    CHECK_THROWS_WITH(queue.next(), "batch 3 is broken");
    for (const float expected : {4.0f, 5.0f}) REQUIRE(queue.next()->x.data()[0] == expected);
    CHECK_FALSE(queue.next());
  }
}

TEST_CASE("a queue can be left at any moment", "[data][prefetch]") {
  for (int taken = 0; taken < 12; ++taken) {
    const auto source = std::make_shared<Counter>(taken + 1);
    {
      PrefetchQueue queue(Dataset(source), 0, 1000000, 1 + taken % 4, 1 + taken % 3);
      for (int i = 0; i < taken; ++i) REQUIRE(queue.next());
    }
    CHECK(source->loading == 0);
    CHECK(source->loaded <= taken + 4);
  }
}

TEST_CASE("a queue may be replaced while it loads", "[data][prefetch]") {
  PrefetchQueue queue(Dataset(std::make_shared<Counter>()), 0, 50, 4, 2);
  REQUIRE(queue.next());
  queue = PrefetchQueue(Dataset(std::make_shared<Counter>()), 7, 1, 4, 2);
  REQUIRE(queue.next()->x.data()[0] == 7);
  CHECK_FALSE(queue.next());
}

TEST_CASE("a queue refuses senseless numbers", "[data][prefetch]") {
  const Dataset dataset(std::make_shared<Counter>());
  CHECK_THROWS_AS(PrefetchQueue(dataset, 0, 1, 0, 1), ConfigError);
  CHECK_THROWS_AS(PrefetchQueue(dataset, -1, 1, 1, 1), ConfigError);
  CHECK_THROWS_AS(PrefetchQueue(dataset, 0, 1, 1, -1), ConfigError);
  CHECK_THROWS_AS(PrefetchQueue(Dataset(), 0, 1), DataError);
}

TEST_CASE("threads move all tensors of a batch into the device's memory", "[data][prefetch]") {
  const Tensor<float> y({4}, {5, 6, 7, 8}), weights({4}, {1, 2, 3, 4});
  const Tensor<std::uint8_t> pixels({4, 1, 1, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const TensorDatasetOptions options{.batch_size = 2, .sample_weight = weights};
  for (const Dataset& dataset :
       {dataset_from_tensors(pixels, y, options), dataset_from_tensors(pixels.cast<float>(), y, options)})
    for (const int room : {1000, 4, 0})
      for (const int threads : {0, 1, 3}) {
        const auto memory = std::make_shared<CountingMemory>(room);
        const bool all = threads > 0 && room == 1000;
        PrefetchQueue queue(dataset, 0, 4, 2, threads, memory);
        std::size_t moved = 0;
        for (std::int64_t i = 0; i < 4; ++i) {
          const Batch batch = queue.next().value(), expected = dataset.batch(i);
          CHECK(batch.pixels == expected.pixels);
          CHECK(batch.x == expected.x);
          CHECK(batch.y == expected.y);
          CHECK(batch.sample_weight == expected.sample_weight);
          for (const void* data :
               {static_cast<const void*>(batch.pixels.data()), static_cast<const void*>(batch.x.data()),
                static_cast<const void*>(batch.y.data()),
                static_cast<const void*>(batch.sample_weight.data())}) {
            if (all && data) CHECK(memory->holds(data));
            moved += memory->holds(data);
          }
        }
        CHECK(moved == (threads == 0 ? 0u : room == 1000 ? 12u : static_cast<unsigned>(room)));
        CHECK(memory->blocks() == 0);
        CHECK_FALSE(memory->wrong());
      }
}

TEST_CASE("an error of the device's memory arrives with its batch", "[data][prefetch]") {
  const auto memory = std::make_shared<CountingMemory>(2, true);
  PrefetchQueue queue(Dataset(std::make_shared<Counter>()), 0, 3, 2, 1, memory);
  for (const float expected : {0.0f, 1.0f}) CHECK(queue.next()->x.values()[0] == expected);
  CHECK_THROWS_WITH(queue.next(), "the device is broken");
  CHECK_FALSE(queue.next());
  CHECK(memory->blocks() == 0);
}
