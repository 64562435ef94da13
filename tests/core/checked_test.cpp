#include <catch2/catch.hpp>

#include <limits>

#include <strata/core/checked.hpp>

using namespace strata;

TEST_CASE("Sizes that 63 bits cannot count are refused") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK(checked_add("", most - 1, 1) == most);
  CHECK(checked_multiply("", most / 3, 3) == most / 3 * 3);
  CHECK_THROWS_WITH(checked_add("[here] ", most, 1),
                    "[here] a size of 9223372036854775807 + 1 is more than 63 bits can count");
  CHECK_THROWS_AS(checked_multiply("", most / 2, 3), ShapeError);
}
