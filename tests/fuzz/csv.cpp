#include <strata/io/csv.hpp>

#include "fuzz/fuzz.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  return {"epoch,loss,note\n1,0.5,\"a, \"\"b\"\"\"\n2,,c\r\n", "a\n1\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return strata_fuzz::read_with([&] {
    const auto table = strata::CsvTable::parse({reinterpret_cast<const char*>(data), size});
    if (strata::CsvTable::parse(table.to_string()).to_string() != table.to_string()) __builtin_trap();
    for (const std::string& name : table.columns()) table.numbers(name);
  });
}
