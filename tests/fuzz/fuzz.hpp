#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <strata/core/error.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace strata_fuzz {

/// Good inputs of a target, which mutations start from; made by the library's own writers.
std::vector<std::string> seeds();

/// The input as a file that lives in memory.
class InputFile {
 public:
  InputFile(const std::uint8_t* data, std::size_t size) : descriptor_(::memfd_create("input", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || ::write(descriptor_, data, size) != static_cast<ssize_t>(size))
      throw std::runtime_error("no memory for the input");
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() { ::close(descriptor_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

/// Runs a reader: a strata::Error is its good right, everything else ends the program.
template <class Body>
int read_with(Body body) {
  try {
    body();
  } catch (const strata::Error&) {
  }
  return 0;
}

}  // namespace strata_fuzz
