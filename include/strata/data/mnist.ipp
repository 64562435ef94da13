#pragma once

#include <unistd.h>

#include <algorithm>

#include <strata/data/image.ipp>
#include <strata/data/mnist.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

inline constexpr std::uint64_t max_unpacked = std::uint64_t{1} << 30;

/// The content of a gzip file of one member.
STRATA_COLD STRATA_INLINE std::string gunzip(std::string_view bytes, const std::string& path) {
  const auto expect = [&](bool good, const char* what) {
    require<DataError>(good, "[gzip] '", path, "' is damaged: ", what);
  };
  expect(bytes.size() >= 18, "it is too short");
  const int flags = static_cast<unsigned char>(bytes[3]);
  expect(bytes[2] == 8 && (flags & 0xE0) == 0, "its compression is unknown");
  const auto number = [&](std::size_t at, int count) {
    std::uint32_t value = 0;
    for (int i = count; i-- > 0;)
      value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
    return value;
  };
  const std::size_t end = bytes.size() - 8;
  std::size_t at = 10;
  if (flags & 4) {  // extra field
    expect(at + 2 <= end, "its header has no end");
    at += 2 + number(at, 2);
  }
  for (const int text : {8, 16})  // name, comment
    if (flags & text) {
      const std::size_t zero = bytes.find('\0', at);
      expect(zero != bytes.npos, "its header has no end");
      at = zero + 1;
    }
  if (flags & 2) at += 2;  // checksum of the header
  expect(at < end, "its header has no end");

  const std::uint32_t crc = number(end, 4), size = number(end + 4, 4);
  // Deflate packs at most 1,032 to 1, so a small file cannot ask for much memory.
  expect(size <= max_unpacked && size / 1032 <= end - at, "it claims to hold more than it can");
  std::string out(size, '\0');
  // stb reads ahead, so it gets the trailer, too.
  const int unpacked = stb::stbi_zlib_decode_noheader_buffer(
      out.data(), static_cast<int>(size), bytes.data() + at, static_cast<int>(bytes.size() - at));
  expect(unpacked >= 0 && static_cast<std::uint32_t>(unpacked) == size && crc32(out) == crc,
         "what it holds is not what was packed");
  return out;
}

}  // namespace detail

STRATA_COLD STRATA_INLINE Tensor<std::uint8_t> read_idx(const std::string& path) {
  std::string bytes = read_file(path, detail::max_unpacked);
  if (bytes.starts_with("\x1F\x8B")) bytes = detail::gunzip(bytes, path);
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  require<DataError>(bytes.size() >= 4 && byte(0) == 0 && byte(1) == 0 && byte(3) >= 1 && byte(3) <= 4,
                     "[idx] '", path, "' is not an IDX file");
  require<DataError>(byte(2) == 8, "[idx] '", path, "': expected unsigned bytes (type 8), found type ",
                     static_cast<int>(byte(2)));
  const std::size_t header = 4 + 4 * std::size_t{byte(3)};
  require<DataError>(bytes.size() >= header, "[idx] '", path, "' ends in its header");
  Shape shape;
  std::uint64_t size = 1;
  for (std::size_t at = 4; at < header; at += 4) {
    const std::uint32_t extent = std::uint32_t{byte(at)} << 24 | std::uint32_t{byte(at + 1)} << 16 |
                                 std::uint32_t{byte(at + 2)} << 8 | byte(at + 3);
    shape.append(extent);
    size = std::min(size * extent, std::uint64_t{1} << 31);  // above any file: no overflow on the way
  }
  require<DataError>(size == bytes.size() - header, "[idx] '", path, "': expected ", size, " bytes for ",
                     shape, ", found ", bytes.size() - header);
  Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized(shape);
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end(), out.data());
  return out;
}

STRATA_COLD STRATA_INLINE MNIST load_mnist(const std::string& folder, MNISTSubset subset) {
  const auto read = [&](const char* part, int rank) {
    const std::string path = concat(folder, "/", subset == MNISTSubset::train ? "train" : "t10k", "-", part);
    // Where neither is there, the message names the packed one.
    const bool plain = ::access(path.c_str(), F_OK) == 0;
    Tensor<std::uint8_t> out = read_idx(plain ? path : path + ".gz");
    require<DataError>(out.rank() == rank, "[mnist] '", path, "': expected ", rank, " axes, found ",
                       out.shape());
    return out;
  };
  const Tensor<std::uint8_t> images = read("images-idx3-ubyte", 3), labels = read("labels-idx1-ubyte", 1);
  const std::int64_t count = images.shape()[0];
  require<DataError>(images.shape() == Shape{count, 28, 28} && labels.shape() == Shape{count} && count > 0,
                     "[mnist] '", folder, "': expected images [n,28,28] and labels [n], found ",
                     images.shape(), " and ", labels.shape());
  const auto values = labels.values();
  require<DataError>(*std::max_element(values.begin(), values.end()) <= 9, "[mnist] '", folder,
                     "': a label is above 9");
  return {Tensor<std::uint8_t>({count, 28, 28, 1}, images.values()), labels.cast<float>()};
}

}}  // namespace strata::STRATA_ABI
