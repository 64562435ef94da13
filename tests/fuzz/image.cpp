#include <string>
#include <string_view>

#include <strata/data/image.hpp>

#include "data/pictures.hpp"
#include "fuzz/fuzz.hpp"

namespace {

/// What Pillow writes for a picture of 17x9 pixels, progressive, with chroma halved both ways.
std::string progressive_jpeg() {
  constexpr std::string_view digits =
      "ffd8ffdb004300140e0f120f0d14121012171514181e32211e1c1c1e3d2c2e243249404c4b47404645505a736250556d5645"
      "466488656d777b8182814e608d978c7d96737e817cffdb0043011517171e1a1e3b21213b7c5346537c7c7c7c7c7c7c7c7c7c"
      "7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7cffc20011080009001103"
      "012200021101031101ffc400160001010100000000000000000000000000040003ffc4001601010101000000000000000000"
      "00000000040102ffda000c030100021003100000011a3549b259f567ffc40018100003010100000000000000000000000000"
      "01031013ffda00080101000105025314ce42167fffc40017110003010000000000000000000000000000010313ffda000801"
      "0301013f019559ab3fffc400161100030000000000000000000000000000101112ffda0008010201013f01a63fffc4001410"
      "0100000000000000000000000000000020ffda0008010100063f025fffc40017100003010000000000000000000000000000"
      "206171ffda0008010100013f21993309ff00ffda000c030100020003000000103f0fffc40014110100000000000000000000"
      "000000000010ffda0008010301013f102bffc400161101010100000000000000000000000000011031ffda0008010201013f"
      "1016a7ffc4001510010100000000000000000000000000001041ffda0008010100013f104225ff00ffd9";
  std::string out;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  return out;
}

}  // namespace

std::vector<std::string> strata_fuzz::seeds() {
  strata::Tensor<std::uint8_t> rgb({9, 7, 3}), grey({9, 7, 1});
  for (std::int64_t i = 0; i < rgb.size(); ++i) rgb.data()[i] = static_cast<std::uint8_t>(37 * i);
  for (std::int64_t i = 0; i < grey.size(); ++i) grey.data()[i] = static_cast<std::uint8_t>(i);
  return {strata::encode_png(rgb),      strata::encode_png(grey), strata::encode_jpeg(rgb),
          strata::encode_jpeg(grey),    progressive_jpeg(),       strata_test::encode_bmp(rgb),
          strata_test::encode_gif(grey)};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto mode : {strata::ColorMode::rgb, strata::ColorMode::rgba, strata::ColorMode::grayscale})
    strata_fuzz::read_with([&] { strata::decode_image({data, size}, "input", mode); });
  return 0;
}
