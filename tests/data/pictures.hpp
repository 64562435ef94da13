#pragma once

#include <cstdint>
#include <string>

#include <strata/tensor/tensor.hpp>

namespace strata_test {

/// A smooth colour picture whose content depends on `seed`.
inline strata::Tensor<std::uint8_t> waves(std::int64_t height, std::int64_t width, std::int64_t channels,
                                          int seed = 0) {
  strata::Tensor<std::uint8_t> out({height, width, channels});
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c)
        out(y, x, c) =
            static_cast<std::uint8_t>((x * (c + 2) + y * (3 - c % 3) + 31 * seed + x * y / 9) % 256);
  return out;
}

inline std::string little_endian(std::uint32_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i & 0xFF);
  return out;
}

/// An uncompressed 24-bit BMP of [h,w,3] pixels.
inline std::string encode_bmp(const strata::Tensor<std::uint8_t>& pixels) {
  const std::int64_t height = pixels.shape()[0], width = pixels.shape()[1];
  std::string rows;
  for (std::int64_t y = height; y-- > 0;) {
    for (std::int64_t x = 0; x < width; ++x)
      for (int c = 2; c >= 0; --c) rows += static_cast<char>(pixels(y, x, c));
    rows.resize((rows.size() + 3) / 4 * 4);
  }
  const auto size = static_cast<std::uint32_t>(rows.size());
  return "BM" + little_endian(54 + size, 4) + little_endian(0, 4) + little_endian(54, 4) +
         little_endian(40, 4) + little_endian(static_cast<std::uint32_t>(width), 4) +
         little_endian(static_cast<std::uint32_t>(height), 4) + little_endian(1, 2) + little_endian(24, 2) +
         std::string(24, '\0') + rows;
}

/// A GIF of [h,w,1] pixels below 128, grey i shown as 2 * i. The LZW table is cleared so often that every
/// code is one byte.
inline std::string encode_gif(const strata::Tensor<std::uint8_t>& pixels) {
  const std::string size = little_endian(static_cast<std::uint32_t>(pixels.shape()[1]), 2) +
                           little_endian(static_cast<std::uint32_t>(pixels.shape()[0]), 2);
  std::string out = "GIF89a" + size + "\xF6" + std::string(2, '\0');
  for (int i = 0; i < 128; ++i) out += std::string(3, static_cast<char>(2 * i));
  out += "," + std::string(4, '\0') + size + std::string(1, '\0') + "\x07";
  std::string codes;
  for (std::int64_t i = 0; i < pixels.size(); ++i) {
    if (i % 100 == 0) codes += '\x80';
    codes += static_cast<char>(pixels.data()[i]);
  }
  codes += '\x81';
  for (std::size_t at = 0; at < codes.size(); at += 255) {
    const std::string block = codes.substr(at, 255);
    out += static_cast<char>(block.size()) + block;
  }
  return out + std::string(1, '\0') + ";";
}

}  // namespace strata_test
