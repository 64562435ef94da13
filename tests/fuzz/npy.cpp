#include <strata/io/npy.hpp>

#include "fuzz/fuzz.hpp"
#include "support/temporary_directory.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  const TemporaryDirectory directory;
  strata::save_npy(directory / "a.npy", strata::Tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  const std::string bytes = strata::read_file(directory / "a.npy");
  std::string turned = bytes, swapped = bytes;
  turned.replace(turned.find("False"), 5, "True ");
  swapped.replace(swapped.find("<f4"), 3, ">f2");
  return {bytes, turned, swapped};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const strata_fuzz::InputFile file(data, size);
  strata_fuzz::read_with([&] { strata::load_npy<std::uint8_t>(file.path()); });
  return strata_fuzz::read_with([&] { strata::load_npy<float>(file.path()); });
}
