#include <catch2/catch.hpp>

#include <cstdlib>
#include <new>

#include <strata/io/json.hpp>

namespace {
long allocations_left = -1;  // the one after the last throws; negative: none does
}

void* operator new(std::size_t bytes) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes ? bytes : 1);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

using strata::Json;

TEST_CASE("Without memory a value is not made, and what there was stays") {
  const auto make = [] {
    return Json::object(
        {{"class_name", "a text that is too long to lie in a string itself"},
         {"list", Json::array({1, 2.5, nullptr})},
         {"config", Json::object({{"kernel", Json::array({3, 3})}, {"name", std::string(40, 'x')}})}});
  };
  const std::string expected = make().dump();
  int failures = 0;
  Json kept = Json::array({1, 2});
  for (long left = 0;; ++left) {
    allocations_left = left;
    try {
      const Json made = make();
      kept = made;
      allocations_left = -1;
      break;
    } catch (const std::bad_alloc&) {
      allocations_left = -1;
      ++failures;
      CHECK(kept.dump() == "[1,2]");
    }
  }
  CHECK(failures > 15);
  CHECK(kept.dump() == expected);
}
