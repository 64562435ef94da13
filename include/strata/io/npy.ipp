#pragma once

#include <charconv>
#include <cstring>
#include <limits>
#include <memory>
#include <system_error>

#include <strata/io/npy.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

inline constexpr std::string_view npy_magic = "\x93NUMPY";
inline constexpr std::string_view npy_types[] = {"b1", "u1", "i4", "i8", "f2", "", "f4", "f8"};

/// The header of format 1.0, padded so that the data begin at a multiple of 64. Its length leaves room for
/// any extent of the first axis, which is known only at the end when batches are appended.
STRATA_COLD STRATA_INLINE std::string npy_header(DType dtype, const Shape& shape) {
  const auto text = [&](std::int64_t first) {
    std::string extents;
    for (int axis = 0; axis < shape.rank(); ++axis)
      extents += concat(axis ? ", " : "", axis ? shape[axis] : first, shape.rank() == 1 ? "," : "");
    return concat("{'descr': '", element_size(dtype) == 1 ? "|" : "<", npy_types[static_cast<int>(dtype)],
                  "', 'fortran_order': False, 'shape': (", extents, "), }");
  };
  constexpr std::size_t prefix = 10;
  const std::size_t longest = prefix + text(std::numeric_limits<std::int64_t>::max()).size() + 1;
  const auto length = static_cast<std::uint16_t>((longest + 63) / 64 * 64 - prefix);
  std::string out(npy_magic);
  out += std::string_view("\1\0", 2);
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  out += text(shape[0]);
  out.resize(prefix + length - 1, ' ');
  return out + '\n';
}

/// The Python literal that describes an array: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class NpyHeaderParser {
 public:
  explicit NpyHeaderParser(std::string_view text) : rest_(text) {}

  void parse() {
    expect("{");
    while (!take("}")) {
      const std::string_view key = quoted();
      expect(":");
      if (key == "descr" && !has_descr) {
        descr = quoted();
        has_descr = true;
      } else if (key == "fortran_order" && !has_order) {
        fortran_order = take("True");
        if (!fortran_order) expect("False");
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        extents();
        has_shape = true;
      } else {
        throw DataError(concat("the header's key '", key, "' is unknown or there twice"));
      }
      if (!take(",")) {
        expect("}");
        break;
      }
    }
    skip_space();
    require<DataError>(rest_.empty(), "the header goes on after '}'");
    require<DataError>(has_descr && has_order && has_shape,
                       "the header lacks 'descr', 'fortran_order' or 'shape'");
  }

  std::string_view descr;
  bool fortran_order = false;
  Shape shape;

 private:
  void skip_space() {
    const std::size_t at = rest_.find_first_not_of(" \n");
    rest_.remove_prefix(at == rest_.npos ? rest_.size() : at);
  }
  bool take(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    require<DataError>(take(token), "expected '", token, "' in the header, found '", rest_.substr(0, 20),
                       "'");
  }
  std::string_view quoted() {
    const std::string_view quote = take("'") ? "'" : "\"";
    if (quote == "\"") expect(quote);  // a list here would be a structured type
    const std::size_t end = rest_.find(quote);
    require<DataError>(end != rest_.npos, "a text in the header does not end");
    const std::string_view out = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return out;
  }
  void extents() {
    expect("(");
    while (!take(")")) {
      skip_space();
      std::int64_t extent = -1;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      require<DataError>(error == std::errc() && extent >= 0, "expected an extent in the shape, found '",
                         rest_.substr(0, 20), "'");
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      require<DataError>(shape.rank() < Shape::max_rank, "at most ", Shape::max_rank, " axes are supported");
      shape.append(extent);
      if (!take(",")) {
        // "(3)" is a number in Python, a tuple of one needs its comma.
        require<DataError>(shape.rank() > 1, "expected ',' after the only extent of the shape");
        expect(")");
        break;
      }
    }
  }

  std::string_view rest_;
  bool has_descr = false, has_order = false, has_shape = false;
};

}  // namespace detail

STRATA_COLD STRATA_INLINE NpyReader::NpyReader(const std::string& path) : file_(path) {
  try {
    constexpr std::uint64_t max_header = 1 << 16;
    char prefix[12] = {};
    require<DataError>(file_.size() >= sizeof prefix, "the file is too short for a header");
    file_.read(0, prefix, sizeof prefix);
    require<DataError>(std::string_view(prefix, 6) == detail::npy_magic, "this is not a .npy file");
    const int version = prefix[6];
    require<DataError>(version >= 1 && version <= 3 && prefix[7] == 0,
                       "expected format 1.0, 2.0 or 3.0, found ", version, ".", static_cast<int>(prefix[7]));
    std::uint32_t length = 0;
    const std::size_t length_bytes = version == 1 ? 2 : 4;
    std::memcpy(&length, prefix + 8, length_bytes);
    data_begin_ = 8 + length_bytes + length;
    require<DataError>(length <= max_header && data_begin_ <= file_.size(), "the header claims ", length,
                       " bytes, the file has ", file_.size());
    std::string header(length, '\0');
    file_.read(8 + length_bytes, header.data(), length);
    parse(header);
  } catch (const DataError& error) {
    throw DataError(concat("[npy] '", path, "': ", error.what()));
  }
}

STRATA_COLD STRATA_INLINE void NpyReader::parse(std::string_view header) {
  detail::NpyHeaderParser parser(header);
  parser.parse();
  shape_ = parser.shape;
  fortran_order_ = parser.fortran_order && shape_.rank() > 1;
  int type = -1;
  for (int i = 0; i < static_cast<int>(std::size(detail::npy_types)); ++i)
    if (parser.descr.size() == 3 && parser.descr.substr(1) == detail::npy_types[i]) type = i;
  const char order = parser.descr.empty() ? '\0' : parser.descr[0];
  const bool known = type >= 0 && (order == '<' || order == '>' || order == '=' ||
                                   (order == '|' && element_size(static_cast<DType>(type)) == 1));
  require<DataError>(known, "expected descr f8, f4, f2, i8, i4, u1 or b1, found '", parser.descr, "'");
  dtype_ = static_cast<DType>(type);
  big_endian_ = order == '>';

  const std::uint64_t bytes = bytes_of(dtype_, shape_);
  require<DataError>(bytes == file_.size() - data_begin_, "shape ", shape_, " of ", name_of(dtype_),
                     " takes ", bytes, " bytes, the file has ", file_.size() - data_begin_);
}

STRATA_COLD STRATA_INLINE void NpyReader::check_convertible(DType to) const {
  require<DataError>(is_convertible(dtype_, to), "[npy] '", path(), "' is ", name_of(dtype_),
                     ", which is not read as ", name_of(to));
}

STRATA_COLD STRATA_INLINE Shape NpyReader::shape_of_rows(std::int64_t begin, std::int64_t end) const {
  require<DataError>(!fortran_order_, "[npy] '", path(),
                     "' is in Fortran order: its rows are scattered, read the whole array");
  require<DataError>(shape_.rank() > 0 && begin >= 0 && begin <= end && end <= shape_[0], "[npy] '", path(),
                     "': rows [", begin, ",", end, ") are not inside ", shape_);
  Shape out = shape_;
  out[0] = end - begin;
  return out;
}

STRATA_COLD STRATA_INLINE void NpyReader::read_rows(std::int64_t begin, std::int64_t end, DType to,
                                                    void* out) const {
  const std::uint64_t row = static_cast<std::uint64_t>(shape_.without_batch().size()) * element_size(dtype_);
  const auto count = static_cast<std::uint64_t>(end - begin) * row / element_size(dtype_);
  read_elements(file_, data_begin_ + static_cast<std::uint64_t>(begin) * row, dtype_, big_endian_, count, to,
                out);
}

STRATA_COLD STRATA_INLINE void NpyReader::read_all(DType to, void* out) const {
  const auto count = static_cast<std::uint64_t>(shape_.size());
  if (!fortran_order_) return read_elements(file_, data_begin_, dtype_, big_endian_, count, to, out);
  const std::size_t size = element_size(to);
  const std::unique_ptr<char[]> columns(new char[count * size]);
  read_elements(file_, data_begin_, dtype_, big_endian_, count, to, columns.get());
  // `index` counts in the file's order, first axis fastest; `offset` follows in row-major order.
  std::int64_t index[Shape::max_rank] = {}, stride[Shape::max_rank] = {}, offset = 0;
  for (std::int64_t axis = shape_.rank() - 1, step = 1; axis >= 0; step *= shape_[static_cast<int>(axis--)])
    stride[axis] = step;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::memcpy(static_cast<char*>(out) + static_cast<std::size_t>(offset) * size, columns.get() + i * size,
                size);
    for (int axis = 0; axis < shape_.rank(); ++axis) {
      offset += stride[axis];
      if (++index[axis] < shape_[axis]) break;
      offset -= stride[axis] * shape_[axis];
      index[axis] = 0;
    }
  }
}

STRATA_COLD STRATA_INLINE void NpyWriter::append(DType dtype, const Shape& shape, const void* data) {
  require<DataError>(shape.rank() > 0, "[npy] '", file_.path(),
                     "': a batch needs an axis of rows, found a scalar");
  if (file_.size() == 0) {
    dtype_ = dtype;
    shape_ = shape;
    shape_[0] = 0;
    file_.write(detail::npy_header(dtype_, shape_));
  }
  require<DataError>(dtype == dtype_ && shape.without_batch() == shape_.without_batch(), "[npy] '",
                     file_.path(), "': expected rows ", shape_.without_batch(), " of ", name_of(dtype_),
                     ", found ", shape.without_batch(), " of ", name_of(dtype));
  file_.write(data, static_cast<std::size_t>(shape.size()) * element_size(dtype));
  shape_[0] += shape[0];
}

STRATA_COLD STRATA_INLINE void NpyWriter::close() {
  require<DataError>(file_.size() > 0, "[npy] '", file_.path(), "': nothing was appended");
  const std::string header = detail::npy_header(dtype_, shape_);
  file_.write_at(0, header.data(), header.size());
  file_.commit();
}

STRATA_COLD STRATA_INLINE void detail::save_npy(const std::string& path, DType dtype, const Shape& shape,
                                                const void* data) {
  AtomicFile file(path);
  file.write(npy_header(dtype, shape));
  file.write(data, static_cast<std::size_t>(shape.size()) * element_size(dtype));
  file.commit();
}

}}  // namespace strata::STRATA_ABI
