#include <strata/io/safetensors.hpp>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

/// A file with this header text and `data` bytes of zeros behind it.
std::string with_header(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out + header + std::string(data, '\0');
}

}  // namespace

TEST_CASE("safetensors round trip", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  const Tensor<float> kernel({2, 3}, {1, -2, 3.5f, 0, 5, 6e-30f});
  const Tensor<double> wide({2}, {0.1, -1e300});
  const Tensor<std::uint8_t> bytes({3}, {0, 128, 255});
  const Tensor<std::int64_t> step(Shape{}, {-7});
  const Tensor<std::int32_t> none(Shape{0, 4});
  const SafetensorsMetadata metadata{{"format", "strata"}, {"config", "{\"a\": \"\xC3\xA9\"}"}};
  write_safetensors(
      path, {{"bytes", bytes}, {"conv/kernel", kernel}, {"none", none}, {"wide", wide}, {"step", step}},
      metadata);

  const SafetensorsFile file(path);
  CHECK(file.metadata() == metadata);
  CHECK(file.names() == std::vector<std::string>{"wide", "step", "conv/kernel", "none", "bytes"});
  CHECK(file.read<float>("conv/kernel") == kernel);
  CHECK(file.read<double>("wide") == wide);
  CHECK(file.read<std::uint8_t>("bytes") == bytes);
  CHECK(file.read<std::int64_t>("step") == step);
  CHECK(file.read<std::int32_t>("none") == none);
  CHECK(file.read<double>("conv/kernel") == kernel.cast<double>());
  Tensor<float> target({2, 3});
  file.read<float>("conv/kernel", target);
  CHECK(target == kernel);
  for (const SafetensorsInfo& tensor : file.tensors()) CHECK(tensor.offset % element_size(tensor.dtype) == 0);

  const std::string first = read_file(path);
  write_safetensors(
      path, {{"bytes", bytes}, {"conv/kernel", kernel}, {"none", none}, {"wide", wide}, {"step", step}},
      metadata);
  CHECK(read_file(path) == first);

  CHECK_THROWS_WITH(file.read<float>("dense/kernel"),
                    Contains("'dense/kernel'") && Contains("'conv/kernel'"));
  CHECK_THROWS_WITH(file.read<float>("step"), Contains("int64, which is not read as float32"));
  CHECK_THROWS_WITH(file.read<float>("conv/kernel", Tensor<float>({3, 2})),
                    Contains("[3,2]") && Contains("[2,3]"));
}

TEST_CASE("safetensors of other float types are converted", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "half.safetensors";
  std::string bytes = with_header(R"({"half":{"dtype":"F16","shape":[7],"data_offsets":[0,14]},)"
                                  R"("bf":{"dtype":"BF16","shape":[3],"data_offsets":[14,20]},)"
                                  R"("flag":{"dtype":"BOOL","shape":[2],"data_offsets":[20,22]}})",
                                  0);
  // 1, -2, the largest half, the smallest subnormal and normal, -infinity, NaN; 1, -0, 3.140625
  for (const std::uint16_t word :
       {0x3C00, 0xC000, 0x7BFF, 0x0001, 0x0400, 0xFC00, 0x7E00, 0x3F80, 0x8000, 0x4049})
    bytes.append(reinterpret_cast<const char*>(&word), 2);
  bytes += std::string("\1\0", 2);
  directory.write("half.safetensors", bytes);
  const SafetensorsFile file(path);
  const auto half = file.read<float>("half");
  CHECK(half(0) == 1.0f);
  CHECK(half(1) == -2.0f);
  CHECK(half(2) == 65504.0f);
  CHECK(half(3) == 0x1p-24f);
  CHECK(half(4) == 0x1p-14f);
  CHECK(half(5) == -INFINITY);
  CHECK(std::isnan(half(6)));
  const auto bf = file.read<double>("bf");
  CHECK(bf(0) == 1.0);
  CHECK(std::signbit(bf(1)));
  CHECK(bf(2) == 3.140625);
  CHECK(file.read<std::uint8_t>("flag") == Tensor<std::uint8_t>({2}, {1, 0}));
}

TEST_CASE("safetensors longer than one piece convert whole", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "long.safetensors";
  Tensor<double> values({300001});
  for (std::int64_t i = 0; i < values.size(); ++i) values(i) = static_cast<double>(i) / 8;
  write_safetensors(path, {{"x", values}});
  CHECK(SafetensorsFile(path).read<float>("x") == values.cast<float>());
}

TEST_CASE("safetensors with a lying header", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "bad.safetensors";
  struct Case {
    std::string bytes, message;
  };
  const auto tensor = [](const char* dtype, const char* shape, const char* offsets) {
    return std::string("{\"x\":{\"dtype\":\"") + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}}";
  };
  const std::string nested(200, '[');
  for (const Case& c : std::vector<Case>{
           {"", "8 bytes of header length"},
           {"1234567", "8 bytes of header length"},
           {std::string(8, '\xFF'), "the header claims 18446744073709551615 bytes"},
           {with_header("", 0), "does not start with '{'"},
           {with_header(" {}", 0), "does not start with '{'"},
           {with_header("{}", 3), "end 3 bytes before the file"},
           {with_header("{\"x\":1}", 0), "expected an object"},
           {with_header("{\"x\":{}}", 0), "'x': "},
           {with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}})", 1), "alone"},
           {with_header("{\"x\":" + nested, 0), "levels"},
           {with_header("{\"\xFF\":1}", 0), "UTF-8"},
           {with_header(tensor("F8_E4M3", "[1]", "[0,1]"), 1), "found F8_E4M3"},
           {with_header(tensor("F32", "[1]", "[0,8]"), 8), "takes 4 bytes, data_offsets span 8"},
           {with_header(tensor("F32", "[2]", "[0,8]"), 4), "not inside the 4 bytes"},
           {with_header(tensor("F32", "[2]", "[8,0]"), 8), "not inside"},
           {with_header(tensor("F32", "[-1]", "[0,4]"), 4), "whole number, found -1"},
           {with_header(tensor("F32", "[1.0]", "[0,4]"), 4), "whole number, found 1.0"},
           {with_header(tensor("F32", "[1e30]", "[0,4]"), 4), "whole number"},
           {with_header(tensor("F32", "[4294967296,4294967296,4294967296]", "[0,0]"), 0), "overflows"},
           {with_header(tensor("F32", "[1073741825,4294967296]", "[0,4]"), 4), "overflows"},
           {with_header(tensor("F32", "[0,9223372036854775807,9223372036854775807]", "[0,4]"), 4),
            "overflows"},
           {with_header(tensor("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), "at most 8 axes"},
           {with_header(tensor("U8", "[1]", "[0]"), 1), "two data_offsets"},
           {with_header(tensor("U8", "[1]", "[0,18446744073709551616]"), 1), "whole number"},
           {with_header(tensor("U8", "[1]", "[1,2]"), 2), "hole"},
           {with_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                        R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                        3),
            "overlap"},
           {with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                        R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                        2),
            "twice"},
           {with_header(R"({"__metadata__":{"a":1}})", 0), "expected a string"},
           {with_header(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "twice"},
           {with_header(R"({"__metadata__":{"a":"1"},"__metadata__":{"a":"1"}})", 0), "twice"},
           {with_header(tensor("F32", ("[" + std::string(5000, ' ') + "1]").c_str(), "[0,4]"), 4), "bytes"},
       }) {
    CAPTURE(c.bytes);
    directory.write("bad.safetensors", c.bytes);
    CHECK_THROWS_WITH(SafetensorsFile(path), Contains(c.message) && Contains(path));
    CHECK_THROWS_AS(SafetensorsFile(path), DataError);
  }
}

TEST_CASE("weights in the formats of others say how to convert them", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.weights", zeros(40, '\0');
  for (const auto& [start, kind] : std::vector<std::pair<std::string, std::string>>{
           {"\x89HDF\r\n\x1A\n", "found HDF5"},
           {"PK\3\4\x14", "found a zip archive"},
           {std::string("\0\0\0\0\1\0\0\0", 8), "found weights of Darknet"},
           {std::string("\0\0\0\0\2\0\0\0", 8), "found weights of Darknet"}}) {
    directory.write("model.weights", start + zeros);
    CHECK_THROWS_WITH(SafetensorsFile(path), Contains(kind) && Contains("bash weights/convert " + path + " " +
                                                                        path + ".safetensors"));
  }
}

TEST_CASE("safetensors truncated or damaged at any byte", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "cut.safetensors";
  write_safetensors(path, {{"a", Tensor<float>({2, 2})}, {"b", Tensor<std::uint8_t>({3})}}, {{"k", "v"}});
  const std::string whole = read_file(path);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    directory.write("cut.safetensors", whole.substr(0, length));
    CHECK_THROWS_AS(SafetensorsFile(path), DataError);
  }
  // A damaged file is refused or holds other tensors; the sanitizers watch.
  int refused = 0, read = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int flip : {0x01, 0x10, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      directory.write("cut.safetensors", damaged);
      try {
        const SafetensorsFile file(path);
        for (const SafetensorsInfo& tensor : file.tensors())
          if (is_convertible(tensor.dtype, DType::float32)) file.read<float>(tensor.name);
        ++read;
      } catch (const DataError&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 300);
  CHECK(read >= 4 * 19);  // at least every change in the data
}

TEST_CASE("safetensors are not written where they could not be read", "[io][safetensors]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "new.safetensors";
  const Tensor<float> x({1});
  CHECK_THROWS_WITH(write_safetensors(path, {{"a", x}, {"a", x}}), Contains("given twice"));
  CHECK_THROWS_WITH(write_safetensors(path, {{"__metadata__", x}}), Contains("reserved"));
  CHECK_THROWS_AS(write_safetensors(path, {{"\xFF", x}}), DataError);
  CHECK_THROWS_AS(SafetensorsFile(path), DataError);
  write_safetensors(path, std::span<const SafetensorsEntry>());
  CHECK(SafetensorsFile(path).names().empty());
}
