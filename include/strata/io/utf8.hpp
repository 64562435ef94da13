#pragma once

#include <cstddef>
#include <string_view>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Length of the UTF-8 sequence that begins at text[at], 0 where there is none (RFC 3629: no overlong forms,
/// no surrogates, nothing above U+10FFFF).
constexpr std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t k) -> unsigned {
    return at + k < text.size() ? static_cast<unsigned char>(text[at + k]) : 0;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte(k) & 0xC0) != 0x80) return 0;
  const bool outside = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
                       (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F);
  return outside ? 0 : length;
}

}}  // namespace strata::STRATA_ABI
