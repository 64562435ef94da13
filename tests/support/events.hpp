#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <strata/io/file.hpp>

namespace strata_test {

/// The checksum of a TFRecord, bit by bit.
inline std::uint32_t masked_crc(const std::string& bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

/// The events of a file, which must be whole, without their wall time, which is their last field.
inline std::vector<std::string> events_of(const std::string& path) {
  const std::string bytes = strata::read_file(path);
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint64_t length = 0;
    std::uint32_t crc = 0;
    REQUIRE(bytes.size() - at >= 16);
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&crc, bytes.data() + at + 8, 4);
    REQUIRE(crc == masked_crc(bytes.substr(at, 8)));
    REQUIRE(bytes.size() - at - 16 >= length);
    const std::string event = bytes.substr(at + 12, length);
    std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
    REQUIRE(crc == masked_crc(event));
    REQUIRE(length >= 9);
    REQUIRE(event[length - 9] == 9);
    out.push_back(event.substr(0, length - 9));
    at += 16 + length;
  }
  return out;
}

/// All that the last training wrote to a folder, in all its parts, but for the first event of each file.
inline std::string events_in(const std::string& folder) {
  std::vector<std::pair<std::size_t, std::string>> files;  // of one training, the shorter name is the earlier
  for (const auto& entry : strata::list_directory(folder)) files.emplace_back(entry.name.size(), entry.name);
  std::sort(files.begin(), files.end());
  std::string out;
  if (files.empty()) return out;
  const auto training = [](const std::string& name) {
    return name.substr(0, name.rfind('.', name.size() - 4));
  };
  for (const auto& file : files) {
    if (training(file.second) != training(files.back().second)) continue;
    const auto events = events_of(folder + "/" + file.second);
    REQUIRE(!events.empty());
    CHECK(events[0] ==
          "\x1a\x0d"
          "brain.Event:2");
    for (std::size_t i = 1; i < events.size(); ++i) out += events[i] + "\n";
  }
  return out;
}

}  // namespace strata_test
