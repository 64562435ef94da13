#include <strata/io/json.hpp>

#include "fuzz/fuzz.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  return {R"({"a": [1, -2.5e3, true, null], "b": {"c": "\u00e9\n", "d": [[[]]]}})",
          "[1e308, 0.1, 9223372036854775807]"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return strata_fuzz::read_with([&] {
    const auto json = strata::Json::parse({reinterpret_cast<const char*>(data), size});
    if (strata::Json::parse(json.dump(2)).dump() != json.dump()) __builtin_trap();
  });
}
