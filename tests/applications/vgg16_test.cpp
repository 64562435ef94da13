#include <strata/applications/vgg.hpp>

#include <catch2/catch.hpp>
#include <cmath>

#include <strata/cpu/device.hpp>

#include "support/golden.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;

namespace {

/// Uniform in [-0.5, 0.5): the same formula as in generate.py, so that no weights need to be kept.
double hashed(std::int64_t i, std::uint32_t layer, std::uint32_t salt) {
  std::uint32_t h = static_cast<std::uint32_t>(i) * 2654435761U + layer * 40503U + salt;
  h ^= h >> 16;  // the finalizer of MurmurHash3
  h *= 0x85EBCA6BU;
  h ^= h >> 13;
  h *= 0xC2B2AE35U;
  h ^= h >> 16;
  return h / 4294967296.0 - 0.5;
}

template <class Function>
Tensor<float> filled(const Shape& shape, Function value) {
  Tensor<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<float>(value(i));
  return out;
}

/// Writes VGG16 weights from the formula to a file, as `weights/convert` would name them.
void write_weights(const std::string& path) {
  constexpr int convolutions[] = {2, 2, 3, 3, 3}, filters[] = {64, 128, 256, 512, 512};
  std::vector<std::pair<std::string, Tensor<float>>> weights;
  std::int64_t channels = 3;
  std::uint32_t index = 0;
  for (int block = 0; block < 5; ++block)
    for (int i = 0; i < convolutions[block]; ++i, ++index) {
      const std::string layer = concat("block", block + 1, "_conv", i + 1);
      const double scale = std::sqrt(12.0) * std::sqrt(2.0 / (9.0 * static_cast<double>(channels)));
      weights.emplace_back(layer + "/kernel", filled({3, 3, channels, filters[block]}, [&](std::int64_t k) {
                             return hashed(k, index, 12345) * scale;
                           }));
      weights.emplace_back(layer + "/bias", filled({filters[block]}, [&](std::int64_t k) {
                             return 0.1 * hashed(k, index, 54321);
                           }));
      channels = filters[block];
    }
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : weights) entries.emplace_back(name, tensor);
  write_safetensors(path, entries);
}

}  // namespace

TEST_CASE("VGG16 from a weight file computes what Keras computes", "[applications][golden]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "vgg16.safetensors";
  write_weights(path);
  const Golden golden("vgg16");
  const Json& golden_case = golden.cases().at(0);
  const auto shape = golden_case.get<Shape>("input_shape");
  auto base = applications::VGG16({.include_top = false, .input_shape = shape, .weights = path});
  CHECK(base.count_params() == 14'714'688);
  const auto x =
      filled(shape.with_batch(1), [](std::int64_t i) { return -120 + 250 * (hashed(i, 0, 777) + 0.5); });
  const auto y = golden.read<float>(golden_case, "y");
  check_close("trained layers", base.predict(x), y, 1e-5);
  base.set_trainable(false);
  check_close("frozen layers", base.predict(x), y, 1e-5);
}
