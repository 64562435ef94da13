#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
// table[k][b]: the remainder of byte b followed by k zero bytes.
constexpr std::array<std::array<std::uint32_t, 256>, 8> crc32c_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> out{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82F63B78U : 0);
    out[0][byte] = value;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      out[k][byte] = out[k - 1][byte] >> 8 ^ out[0][out[k - 1][byte] & 255];
  return out;
}
inline constexpr auto crc32c_table = crc32c_tables();
}  // namespace detail

/// CRC-32C (Castagnoli) of bytes that follow those with the checksum `previous`. Eight bytes at a time.
/// Source: RFC 3720, appendix B.4; Kounavis and Berry, IEEE ISCC 2005.
inline std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t previous = 0) {
  const auto& table = detail::crc32c_table;
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~previous;
  for (; bytes >= 8; bytes -= 8, at += 8) {
    std::uint32_t next = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      next ^= table[7 - k][at[k] ^ (crc >> 8 * k & 255)];
      next ^= table[3 - k][at[4 + k]];
    }
    crc = next;
  }
  for (; bytes > 0; --bytes) crc = crc >> 8 ^ table[0][(crc ^ *at++) & 255];
  return ~crc;
}

}}  // namespace strata::STRATA_ABI
