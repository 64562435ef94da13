#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <strata/io/dtype.hpp>
#include <strata/io/file.hpp>
#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Reads a NumPy `.npy` file, format 1.0 to 3.0: bool, uint8, int32, int64, float16, float32 and float64,
/// little- or big-endian, in C or Fortran order. The header is checked against the file's size at once; rows
/// are read from disk when asked for, by any number of threads. Throws DataError naming the file.
class NpyReader {
 public:
  explicit NpyReader(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }

  /// The whole array, converted where `is_convertible` allows it.
  template <class T>
  Tensor<T> read() const {
    check_convertible(dtype_of<T>());
    auto out = Tensor<T>::uninitialized(shape_);
    read_all(dtype_of<T>(), out.data());
    return out;
  }
  /// Entries [begin, end) along the first axis, for arrays larger than memory. Not in Fortran order.
  template <class T>
  Tensor<T> read(std::int64_t begin, std::int64_t end) const {
    check_convertible(dtype_of<T>());
    auto out = Tensor<T>::uninitialized(shape_of_rows(begin, end));
    read_rows(begin, end, dtype_of<T>(), out.data());
    return out;
  }
  /// The same into memory the caller owns, of the shape of these rows.
  template <class T>
  void read(std::int64_t begin, std::int64_t end, TensorView<T> out) const {
    check_convertible(dtype_of<T>());
    const Shape shape = shape_of_rows(begin, end);
    require<DataError>(out.shape() == shape, "[npy] '", path(), "': expected memory of shape ", shape,
                       ", found ", out.shape());
    read_rows(begin, end, dtype_of<T>(), out.data());
  }

 private:
  void parse(std::string_view header);
  void check_convertible(DType to) const;
  Shape shape_of_rows(std::int64_t begin, std::int64_t end) const;
  void read_rows(std::int64_t begin, std::int64_t end, DType to, void* out) const;
  void read_all(DType to, void* out) const;

  InputFile file_;
  Shape shape_;
  DType dtype_ = DType::float32;
  bool fortran_order_ = false, big_endian_ = false;
  std::uint64_t data_begin_ = 0;
};

/// Writes a `.npy` file batch by batch along the first axis, for arrays larger than memory. The first batch
/// sets the type and the shape of a row. The file appears, complete, at `close`; without it nothing does.
class NpyWriter {
 public:
  explicit NpyWriter(const std::string& path) : file_(path) {}

  /// Throws DataError where type or row differ from the first batch's, or nothing can be written.
  template <class T>
  void append(TensorView<T> batch) {
    append(dtype_of<T>(), batch.shape(), batch.data());
  }
  template <class T>
  void append(const Tensor<T>& batch) {
    append(dtype_of<T>(), batch.shape(), batch.values().data());
  }
  /// So far: [rows, ...], a scalar before the first batch.
  const Shape& shape() const { return shape_; }

  /// Writes the final shape and puts the file in place. Throws DataError where nothing was appended.
  void close();

 private:
  void append(DType dtype, const Shape& shape, const void* data);

  AtomicFile file_;
  DType dtype_ = DType::float32;
  Shape shape_;
};

/// The whole array of a `.npy` file, see NpyReader.
template <class T>
Tensor<T> load_npy(const std::string& path) {
  return NpyReader(path).read<T>();
}

namespace detail {
void save_npy(const std::string& path, DType dtype, const Shape& shape, const void* data);
}

/// Writes an array as NumPy's `save` does (format 1.0, C order), atomically. Throws DataError.
template <class T>
void save_npy(const std::string& path, TensorView<T> array) {
  detail::save_npy(path, dtype_of<T>(), array.shape(), array.data());
}
template <class T>
void save_npy(const std::string& path, const Tensor<T>& array) {
  detail::save_npy(path, dtype_of<T>(), array.shape(), array.values().data());
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/npy.ipp>
#endif
