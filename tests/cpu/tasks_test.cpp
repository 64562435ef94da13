#include <catch2/catch.hpp>

#include <algorithm>
#include <vector>

#include <strata/cpu/tasks.hpp>

using namespace strata;

namespace {

/// When the last of some threads ends that take tasks of `share` items in turn, each as soon as it is free.
std::int64_t end_of(std::int64_t count, std::int64_t share, std::int64_t threads) {
  std::vector<std::int64_t> busy(static_cast<std::size_t>(threads));
  for (std::int64_t first = 0; first < count; first += share)
    *std::min_element(busy.begin(), busy.end()) += std::min(share, count - first);
  return *std::max_element(busy.begin(), busy.end());
}

}  // namespace

TEST_CASE("a fair share of the items lets threads end together") {
  CHECK(cpu::fair_share(209, 16, 2) < 16);  // 14 tasks of which the last is a single item
  CHECK(cpu::fair_share(100, 16, 1) == 16);
  for (const std::int64_t threads : {2, 3, 8})
    for (const std::int64_t most : {1, 2, 7, 16})
      for (std::int64_t count = 1; count < 150; ++count) {
        CAPTURE(threads, most, count);
        const std::int64_t share = cpu::fair_share(count, most, threads);
        REQUIRE(share <= most);
        REQUIRE(2 * share >= most);
        REQUIRE(end_of(count, share, threads) <= end_of(count, most, threads));
      }
}
