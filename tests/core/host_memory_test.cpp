#include <catch2/catch.hpp>

#include <cstdint>
#include <limits>

#include <strata/core/host_memory.hpp>

using namespace strata;

TEST_CASE("host memory lies on cache lines, and all of it can be written") {
  constexpr std::size_t huge_page = std::size_t{2} << 20;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, huge_page - 1, huge_page, 3 * huge_page + 5}) {
    CAPTURE(bytes);
    auto* const memory = static_cast<unsigned char*>(allocate_host(bytes));
    REQUIRE(memory);
    CHECK(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0);
    for (std::size_t i = 0; i < bytes; i += 4096) memory[i] = 7;
    if (bytes) memory[bytes - 1] = 9;
    for (std::size_t i = 0; i + 1 < bytes; i += 4096) REQUIRE(memory[i] == 7);
    free_host(memory);
  }
}

TEST_CASE("memory that there is not is null") {
  CHECK(allocate_host(std::numeric_limits<std::size_t>::max() / 2) == nullptr);
  free_host(nullptr);
}
