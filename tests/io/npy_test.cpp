#include <strata/io/npy.hpp>

#include <catch2/catch.hpp>
#include <cstring>

#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

/// A version 1.0 file with this header text.
std::string npy(const std::string& header, const std::string& data, const char version = 1) {
  const auto length = static_cast<std::uint32_t>(header.size());
  std::string out = "\x93NUMPY";
  out += version;
  out += '\0';
  out.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  return out + header + data;
}
template <class T>
std::string bytes_of(std::initializer_list<T> values, bool big_endian = false) {
  std::string out;
  for (const T value : values) {
    std::string one(reinterpret_cast<const char*>(&value), sizeof value);
    out += big_endian ? std::string(one.rbegin(), one.rend()) : one;
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("npy round trip", "[io][npy]", float, double, std::uint8_t, std::int32_t, std::int64_t) {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.npy";
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{5}, Shape{0, 3}, Shape{2, 3}, Shape{2, 1, 3, 2}}) {
    Tensor<TestType> x(shape);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<TestType>(3 * i + 1);
    save_npy(path, x);
    CHECK(load_npy<TestType>(path) == x);
    CHECK(NpyReader(path).dtype() == dtype_of<TestType>());
  }
}

TEST_CASE("npy has NumPy's own bytes", "[io][npy]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.npy";
  save_npy(path, Tensor<float>({2, 3}, {0, 1, 2, 3, 4, 5}));
  // numpy.save of numpy.arange(6, dtype="f4").reshape(2, 3)
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  header.resize(117, ' ');
  CHECK(read_file(path) == npy(header + "\n", bytes_of<float>({0, 1, 2, 3, 4, 5})));
}

TEST_CASE("npy is written in batches and read in rows", "[io][npy]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "features.npy";
  Tensor<float> all({23, 2, 3});
  for (std::int64_t i = 0; i < all.size(); ++i) all.data()[i] = static_cast<float>(i);
  {
    NpyWriter writer(path);
    for (std::int64_t begin = 0; begin < 23; begin += 5)
      writer.append(all.slice(begin, std::min<std::int64_t>(begin + 5, 23)));
    CHECK(writer.shape() == Shape{23, 2, 3});
    CHECK_THROWS_AS(NpyReader(path), DataError);  // nothing before close
    CHECK_THROWS_WITH(writer.append(Tensor<float>({1, 3, 2})), Contains("[2,3]") && Contains("[3,2]"));
    CHECK_THROWS_WITH(writer.append(Tensor<double>({1, 2, 3})), Contains("float64"));
    writer.close();
  }
  const NpyReader reader(path);
  CHECK(reader.shape() == all.shape());
  CHECK(reader.read<float>() == all);
  Tensor<double> rows({4, 2, 3});
  reader.read<double>(7, 11, rows);
  for (std::int64_t i = 0; i < rows.size(); ++i) CHECK(rows.data()[i] == static_cast<double>(42 + i));
  CHECK(reader.read<float>(23, 23).size() == 0);
  CHECK_THROWS_WITH(reader.read<float>(20, 24), Contains("[20,24)") && Contains("[23,2,3]"));
  CHECK_THROWS_AS(reader.read<float>(-1, 2), DataError);
  CHECK_THROWS_AS(reader.read<float>(3, 2), DataError);
  CHECK_THROWS_AS(reader.read<std::int32_t>(), DataError);
  CHECK_THROWS_AS(reader.read<float>(0, 4, Tensor<float>({4, 6})), DataError);

  { NpyWriter abandoned(directory / "abandoned.npy"); }
  CHECK_THROWS_AS(NpyReader(directory / "abandoned.npy"), DataError);
  CHECK_THROWS_WITH(NpyWriter(directory / "empty.npy").close(), Contains("nothing was appended"));
}

TEST_CASE("npy in every order and version", "[io][npy]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.npy";
  const auto read = [&](const std::string& bytes) {
    directory.write("x.npy", bytes);
    return NpyReader(path);
  };
  // numpy.asfortranarray(numpy.arange(24).reshape(2, 3, 4)), big-endian
  std::vector<std::int64_t> columns;
  for (int k = 0; k < 4; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) columns.push_back(i * 12 + j * 4 + k);
  std::string data;
  for (const std::int64_t value : columns) data += bytes_of({value}, true);
  const NpyReader fortran =
      read(npy("{'descr': '>i8', 'fortran_order': True, 'shape': (2, 3, 4), }\n", data));
  Tensor<std::int64_t> expected({2, 3, 4});
  for (std::int64_t i = 0; i < 24; ++i) expected.data()[i] = i;
  CHECK(fortran.read<std::int64_t>() == expected);
  CHECK_THROWS_WITH(fortran.read<std::int64_t>(0, 1), Contains("Fortran"));

  CHECK(read(npy("{\"shape\":(2,),\"fortran_order\":True,\"descr\":\">f4\"}",
                 bytes_of<float>({1.5f, -2}, true), 2))
            .read<double>() == Tensor<double>({2}, {1.5, -2}));
  CHECK(read(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }",
                 bytes_of<std::uint16_t>({0x3C00}), 3))
            .read<float>() == Tensor<float>({1}, {1}));
  CHECK(read(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", std::string("\1\0", 2)))
            .read<std::uint8_t>() == Tensor<std::uint8_t>({2}, {1, 0}));
}

TEST_CASE("npy with a lying header", "[io][npy]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "bad.npy";
  const auto header = [](const char* descr, const char* shape) {
    return std::string("{'descr': ") + descr + ", 'fortran_order': False, 'shape': " + shape + ", }\n";
  };
  struct Case {
    std::string bytes, message;
  };
  const std::string four(4, '\0');
  for (const Case& c : std::vector<Case>{
           {"", "too short"},
           {"PK\3\4 this is a zip file", "not a .npy file"},
           {npy(header("'<f4'", "(1,)"), four, 4), "found 4.0"},
           {npy("", four).substr(0, 8) + "\xFF\xFF" + four, "the header claims 65535"},
           {npy("", four, 2).substr(0, 8) + "\xFF\xFF\xFF\xFF" + four, "the header claims 4294967295"},
           {npy(header("'<f4'", "(2,)"), four), "takes 8 bytes, the file has 4"},
           {npy(header("'<f4'", "(1,)"), four + "x"), "takes 4 bytes, the file has 5"},
           {npy(header("'<f4'", "(4294967296, 4294967296, 4)"), four), "overflows"},
           {npy(header("'<f4'", "(2, 4611686018427387904)"), four), "overflows"},
           {npy(header("'<f4'", "(0, 4611686018427387904, 4)"), ""), "overflows"},
           {npy(header("'<f4'", "(9223372036854775808,)"), four), "expected an extent"},
           {npy(header("'<f4'", "(-1,)"), four), "expected an extent"},
           {npy(header("'<f4'", "(1)"), four), "expected ','"},
           {npy(header("'<f4'", "(1,1,1,1,1,1,1,1,1)"), four), "at most 8 axes"},
           {npy(header("'<f4'", "1"), four), "expected '('"},
           {npy(header("'|O'", "(1,)"), four), "found '|O'"},
           {npy(header("'|f4'", "(1,)"), four), "found '|f4'"},
           {npy(header("'<c8'", "(1,)"), four), "found '<c8'"},
           {npy(header("'<'", "(1,)"), four), "found '<'"},
           {npy(header("[('a', '<f4')]", "(1,)"), four), "header"},
           {npy("{'descr': '<f4', 'shape': (1,), }", four), "lacks"},
           {npy("{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }", four), "twice"},
           {npy("{'descr': '<f4', 'fortran_order': false, 'shape': (1,), }", four), "expected 'False'"},
           {npy(header("'<f4'", "(1,)") + "x", four), "goes on"},
           {npy("{'descr': '<f4", four), "does not end"},
       }) {
    CAPTURE(c.bytes);
    directory.write("bad.npy", c.bytes);
    CHECK_THROWS_WITH(NpyReader(path), Contains(c.message) && Contains(path));
    CHECK_THROWS_AS(NpyReader(path), DataError);
  }
}

TEST_CASE("npy truncated or damaged at any byte", "[io][npy]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "cut.npy";
  save_npy(path, Tensor<float>({2, 2}, {1, 2, 3, 4}));
  const std::string whole = read_file(path);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    directory.write("cut.npy", whole.substr(0, length));
    CHECK_THROWS_AS(NpyReader(path), DataError);
  }
  // A damaged file is refused or is another array; the sanitizers watch.
  int refused = 0, read = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int flip : {0x01, 0x04, 0x10, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      directory.write("cut.npy", damaged);
      try {
        const auto x = NpyReader(path).read<double>();
        ++read;
        REQUIRE(x.size() <= 16);
      } catch (const DataError&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 300);
  CHECK(read >= 80);  // at least every change in the data
}
