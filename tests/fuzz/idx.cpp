#include <strata/data/mnist.hpp>

#include "fuzz/fuzz.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  const std::string plain("\0\0\x8\2\0\0\0\2\0\0\0\3abcdef", 18);
  // A stored block, so that the checksum alone is missing from what a packer would write.
  const std::string packed = std::string("\x1F\x8B\x8\0\0\0\0\0\0\3\1\x12\0\xED\xFF", 15) + plain +
                             std::string("\0\0\0\0\x12\0\0\0", 8);
  return {plain, packed};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const strata_fuzz::InputFile file(data, size);
  return strata_fuzz::read_with([&] { strata::read_idx(file.path()); });
}
