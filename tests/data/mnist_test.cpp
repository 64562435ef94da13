#include <catch2/catch.hpp>

#include <cstdlib>
#include <string>

#include <strata/data/mnist.hpp>

#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;
using namespace std::string_literals;

namespace {

/// [2,3] bytes: 1 to 6.
const std::string idx = "\0\0\x08\x02\0\0\0\x02\0\0\0\x03\x01\x02\x03\x04\x05\x06"s;

/// The same as Python's gzip.compress packs it: header, data, CRC-32 and size.
const std::string gzip_header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"s,
                  deflated = "\x63\x60\xe0\x60\x62\x60\x60\x00\x61\x66\x46\x26\x66\x16\x56\x36\x00"s,
                  gzip_end = "\x48\x94\x3e\xe5\x12\x00\x00\x00"s;
const Tensor<std::uint8_t> six({2, 3}, {1, 2, 3, 4, 5, 6});

std::string images(char count) {
  return concat("\0\0\x08\x03\0\0\0"s, std::string(1, count), "\0\0\0\x1c\0\0\0\x1c"s,
                std::string(784 * static_cast<std::size_t>(count), '\x07'));
}
std::string labels(const std::string& values) {
  return concat("\0\0\x08\x01\0\0\0"s, std::string(1, static_cast<char>(values.size())), values);
}

}  // namespace

TEST_CASE("IDX files are read, gzipped or not") {
  const TemporaryDirectory folder;
  CHECK(read_idx(folder.write("plain", idx)) == six);
  CHECK(read_idx(folder.write("packed", gzip_header + deflated + gzip_end)) == six);
  std::string header = gzip_header;
  header[3] = 4 | 8 | 16 | 2;  // with an extra field, a name, a comment and a checksum
  header += "\x03\0abcname\0comment\0xx"s;
  CHECK(read_idx(folder.write("packed", header + deflated + gzip_end)) == six);
}

TEST_CASE("Damaged IDX files are refused") {
  const TemporaryDirectory folder;
  const auto read = [&](const std::string& bytes) { return read_idx(folder.write("file", bytes)); };
  const auto changed = [](std::string bytes, std::size_t at, int value) {
    bytes[at] = static_cast<char>(value);
    return bytes;
  };
  CHECK_THROWS_WITH(read_idx(folder / "none"), Contains("none"));
  CHECK_THROWS_WITH(read(""), Contains("is not an IDX file") && Contains(folder / "file"));
  CHECK_THROWS_WITH(read(changed(idx, 2, 13)), Contains("expected unsigned bytes (type 8), found type 13"));
  CHECK_THROWS_WITH(read(changed(idx, 3, 5)), Contains("is not an IDX file"));
  CHECK_THROWS_WITH(read(changed(idx, 11, 4)), Contains("expected 8 bytes for [2,4], found 6"));
  CHECK_THROWS_AS(read(changed(changed(idx, 4, 255), 8, 255)), DataError);
  CHECK_THROWS_AS(read(idx + "x"), DataError);
  for (std::size_t length = 0; length < idx.size(); ++length)
    CHECK_THROWS_AS(read(idx.substr(0, length)), DataError);

  const std::string gzip = gzip_header + deflated + gzip_end;
  for (std::size_t length = 0; length < gzip.size(); ++length)
    CHECK_THROWS_AS(read(gzip.substr(0, length)), DataError);
  CHECK_THROWS_WITH(read(changed(gzip, 2, 7)), Contains("its compression is unknown"));
  CHECK_THROWS_WITH(read(changed(gzip, 3, 8)), Contains("damaged"));
  CHECK_THROWS_WITH(read(changed(gzip, gzip.size() - 1, 0x30)), Contains("claims to hold more than it can"));
  CHECK_THROWS_WITH(read(changed(gzip, gzip.size() - 4, 0x13)), Contains("not what was packed"));
  // No change of a byte of the data goes unseen.
  for (std::size_t at = gzip_header.size(); at < gzip.size(); ++at)
    for (int value = 0; value < 256; ++value) {
      const std::string bytes = changed(gzip, at, value);
      if (bytes == gzip) continue;
      try {
        const Tensor<std::uint8_t> found = read(bytes);
        REQUIRE(found == six);  // another way to pack the same
      } catch (const DataError&) {
      }
    }
}

TEST_CASE("MNIST comes from its folder, and only whole") {
  const TemporaryDirectory folder;
  CHECK_THROWS_WITH(load_mnist(folder.path(), MNISTSubset::test), Contains("t10k-images-idx3-ubyte.gz"));
  folder.write("t10k-images-idx3-ubyte", images(3));
  folder.write("t10k-labels-idx1-ubyte", labels("\x07\x00\x09"s));
  const MNIST test = load_mnist(folder.path(), MNISTSubset::test);
  CHECK(test.pixels.shape() == Shape{3, 28, 28, 1});
  CHECK(test.labels == Tensor<float>({3}, {7, 0, 9}));
  folder.write("t10k-labels-idx1-ubyte", labels("\x07\x00\x0a"s));
  CHECK_THROWS_WITH(load_mnist(folder.path(), MNISTSubset::test), Contains("a label is above 9"));
  folder.write("t10k-labels-idx1-ubyte", labels("\x07\x00"s));
  CHECK_THROWS_WITH(load_mnist(folder.path(), MNISTSubset::test), Contains("[3,28,28] and [2]"));
  folder.write("t10k-images-idx3-ubyte", labels("x"));
  CHECK_THROWS_WITH(load_mnist(folder.path(), MNISTSubset::test), Contains("expected 3 axes, found [1]"));
}

TEST_CASE("The real digits are all there") {
  const char* data = std::getenv("STRATA_DATA");
  if (!data) STRATA_SKIP("STRATA_DATA is not set: the real digits were not read");
  for (const auto subset : {MNISTSubset::train, MNISTSubset::test}) {
    const MNIST digits = load_mnist(std::string(data) + "/mnist", subset);
    const bool train = subset == MNISTSubset::train;
    CHECK(digits.pixels.shape() == Shape{train ? 60000 : 10000, 28, 28, 1});
    // Mean pixel, as everyone who normalises MNIST knows it: 0.1307 and 0.1325 of 255.
    double sum = 0;
    for (const std::uint8_t pixel : digits.pixels.values()) sum += pixel;
    CHECK(sum / 255 / static_cast<double>(digits.pixels.shape().size()) ==
          Approx(train ? 0.1307 : 0.1325).epsilon(1e-3));
    CHECK(digits.labels(0) == (train ? 5 : 7));
  }
}
