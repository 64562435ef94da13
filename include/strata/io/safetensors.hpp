#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <strata/io/dtype.hpp>
#include <strata/io/file.hpp>
#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What a safetensors file says about one tensor.
struct SafetensorsInfo {
  std::string name;
  DType dtype;
  Shape shape;
  std::uint64_t offset;  ///< of the first byte in the file
  std::uint64_t bytes;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

/// Reads a safetensors file (the format of the PyPI package `safetensors`). The constructor checks the whole
/// header: sizes, types, offsets that neither overlap nor leave holes, names that differ. Tensors are read
/// from disk when asked for, by any number of threads, and compared with their checksums where the file has
/// some (see `add_checksums`). Throws DataError naming file and tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  /// The text under "__metadata__", empty where there is none.
  const SafetensorsMetadata& metadata() const { return metadata_; }
  /// All tensors by position in the file.
  const std::vector<SafetensorsInfo>& tensors() const { return tensors_; }
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return index_.contains(name); }
  /// Throws DataError that lists the names there are.
  const SafetensorsInfo& info(std::string_view name) const;

  /// The tensor, converted where `is_convertible` allows it: float of F32, F16, BF16 and F64.
  template <class T>
  Tensor<T> read(std::string_view name) const {
    const SafetensorsInfo& tensor = info(name);
    check_convertible(tensor, dtype_of<T>());
    auto out = Tensor<T>::uninitialized(tensor.shape);
    read_into(tensor, dtype_of<T>(), out.data());
    return out;
  }
  /// The same into memory the caller owns. Throws DataError where the shapes differ.
  template <class T>
  void read(std::string_view name, TensorView<T> out) const {
    const SafetensorsInfo& tensor = info(name);
    check_convertible(tensor, dtype_of<T>());
    require<DataError>(tensor.shape == out.shape(), "[safetensors] '", path(), "': expected tensor '", name,
                       "' of shape ", out.shape(), ", found ", tensor.shape);
    read_into(tensor, dtype_of<T>(), out.data());
  }

 private:
  void check_convertible(const SafetensorsInfo& tensor, DType to) const;
  void read_into(const SafetensorsInfo& tensor, DType to, void* out) const;

  InputFile file_;
  SafetensorsMetadata metadata_;
  std::vector<SafetensorsInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::map<std::string, std::uint32_t, std::less<>> checksums_;
};

/// A named tensor to write; its memory must live until it is written.
struct SafetensorsEntry {
  std::string name;
  DType dtype;
  Shape shape;
  const void* data;

  template <class T>
  SafetensorsEntry(std::string called, TensorView<T> tensor)
      : name(std::move(called)), dtype(dtype_of<T>()), shape(tensor.shape()), data(tensor.data()) {}
  /// Throws DeviceError for a tensor on a device.
  template <class T>
  SafetensorsEntry(std::string called, const Tensor<T>& tensor)
      : name(std::move(called)), dtype(dtype_of<T>()), shape(tensor.shape()), data(tensor.values().data()) {}
};

/// Adds "crc32c" to the metadata: a JSON object of the CRC-32C of each tensor's bytes by name and, as
/// "__metadata__", of the texts that are in the metadata already.
void add_checksums(SafetensorsMetadata& metadata, std::span<const SafetensorsEntry> entries);

/// Writes the file atomically, straight from the tensors' memory. The same entries give the same bytes:
/// wider types first (so that all are aligned), otherwise in the order given. Throws DataError.
void write_safetensors(const std::string& path, std::span<const SafetensorsEntry> entries,
                       const SafetensorsMetadata& metadata = {});
inline void write_safetensors(const std::string& path, std::initializer_list<SafetensorsEntry> entries,
                              const SafetensorsMetadata& metadata = {}) {
  write_safetensors(path, std::span(entries.begin(), entries.size()), metadata);
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/safetensors.ipp>
#endif
