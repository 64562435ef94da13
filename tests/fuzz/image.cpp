#include <strata/data/image.hpp>

#include "data/pictures.hpp"
#include "fuzz/fuzz.hpp"

std::vector<std::string> strata_fuzz::seeds() {
  strata::Tensor<std::uint8_t> rgb({9, 7, 3}), grey({9, 7, 1});
  for (std::int64_t i = 0; i < rgb.size(); ++i) rgb.data()[i] = static_cast<std::uint8_t>(37 * i);
  for (std::int64_t i = 0; i < grey.size(); ++i) grey.data()[i] = static_cast<std::uint8_t>(i);
  return {strata::encode_png(rgb),   strata::encode_png(grey),     strata::encode_jpeg(rgb),
          strata::encode_jpeg(grey), strata_test::encode_bmp(rgb), strata_test::encode_gif(grey)};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto mode : {strata::ColorMode::rgb, strata::ColorMode::rgba, strata::ColorMode::grayscale})
    strata_fuzz::read_with([&] { strata::decode_image({data, size}, "input", mode); });
  return 0;
}
