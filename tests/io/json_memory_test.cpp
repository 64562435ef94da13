#include <catch2/catch.hpp>

#include <malloc.h>
#include <cstdlib>
#include <new>

#include <strata/io/file.hpp>
#include <strata/io/json.hpp>
#include <strata/io/safetensors.hpp>

#include "support/temporary_directory.hpp"

namespace {
long allocations_left = -1;  // the one after the last throws; negative: none does
long used = 0, peak = 0;     // bytes
}  // namespace

void* operator new(std::size_t bytes) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (void* memory = std::malloc(bytes ? bytes : 1)) {
    used += static_cast<long>(malloc_usable_size(memory));
    if (used > peak) peak = used;
    return memory;
  }
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  void* memory = std::malloc(bytes ? bytes : 1);
  if (memory) used += static_cast<long>(malloc_usable_size(memory));
  return memory;
}
// Not inline: g++ 12 takes free for a mistake where it sees new and does not see that it is malloc.
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  used -= static_cast<long>(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
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

TEST_CASE("A safetensors header takes a few times its size of memory") {
  const TemporaryDirectory directory;
  const auto ratio = [&](const std::string& header, bool valid) {
    const std::uint64_t size = header.size();
    directory.write("big.safetensors",
                    std::string(reinterpret_cast<const char*>(&size), sizeof size) + header);
    const long before = used;
    peak = used;
    if (valid)
      strata::SafetensorsFile(directory / "big.safetensors");
    else
      CHECK_THROWS_AS(strata::SafetensorsFile(directory / "big.safetensors"), strata::DataError);
    return static_cast<double>(peak - before) / static_cast<double>(size);
  };
  std::string tensors, zeros = "0";
  for (int i = 0; i < 20000; ++i) {
    tensors += tensors.empty() ? "{" : ",";
    tensors += "\"layer" + std::to_string(i) +
               "/kernel\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]}";
    zeros += ",0,0,0,0";
  }
  const double of_tensors = ratio(tensors + "}", true);
  const double of_zeros =
      ratio("{\"x\":{\"dtype\":\"F32\",\"shape\":[" + zeros + "],\"data_offsets\":[0,0]}}", false);
  CAPTURE(of_tensors, of_zeros);
  CHECK(of_tensors < 8);
  CHECK(of_zeros < 8);
}
