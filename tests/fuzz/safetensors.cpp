#include <strata/io/safetensors.hpp>

#include "fuzz/fuzz.hpp"
#include "support/temporary_directory.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  const TemporaryDirectory directory;
  const strata::Tensor<float> a({2, 3}, {1, 2, 3, 4, 5, 6});
  const strata::Tensor<std::int64_t> b({2}, {7, 8});
  const std::vector<strata::SafetensorsEntry> entries{{"a", a}, {"b", b}};
  strata::SafetensorsMetadata metadata{{"format", "x"}};
  strata::write_safetensors(directory / "plain", entries, metadata);
  strata::add_checksums(metadata, entries);
  strata::write_safetensors(directory / "checked", entries, metadata);
  return {strata::read_file(directory / "plain"), strata::read_file(directory / "checked")};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const strata_fuzz::InputFile input(data, size);
  return strata_fuzz::read_with([&] {
    const strata::SafetensorsFile file(input.path());
    for (const std::string& name : file.names()) strata_fuzz::read_with([&] { file.read<float>(name); });
  });
}
