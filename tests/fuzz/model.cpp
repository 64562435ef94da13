#include "fuzz/models.hpp"
#include "support/temporary_directory.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  const TemporaryDirectory directory;
  std::vector<std::string> out;
  for (const strata::Model& model : models()) {
    save_model(model, directory / "model");
    out.push_back(strata::read_file(directory / "model"));
  }
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const strata_fuzz::InputFile file(data, size);
  return strata_fuzz::read_with([&] { strata_fuzz::use_model(file.path()); });
}
