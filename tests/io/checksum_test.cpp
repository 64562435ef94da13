#include <catch2/catch.hpp>

#include <string_view>

#include <strata/io/checksum.hpp>

using namespace strata;

TEST_CASE("CRC-32C gives the values of RFC 3720", "[io]") {
  const auto crc = [](std::string_view text) { return crc32c(text.data(), text.size()); };
  CHECK(crc("") == 0);
  CHECK(crc("123456789") == 0xE3069283);
  CHECK(crc(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(crc(std::string(32, '\xff')) == 0x62A8AB43);
  const std::string_view text = "It does not matter where the bytes are cut.";
  for (std::size_t at = 0; at <= text.size(); ++at)
    CHECK(crc32c(text.data() + at, text.size() - at, crc(text.substr(0, at))) == crc(text));
}
