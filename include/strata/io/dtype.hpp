#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <strata/core/shape.hpp>
#include <strata/io/file.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Element types of the tensors in files.
enum class DType { boolean, uint8, int32, int64, float16, bfloat16, float32, float64 };

constexpr std::size_t element_size(DType dtype) {
  constexpr std::size_t bytes[] = {1, 1, 4, 8, 2, 2, 4, 8};
  return bytes[static_cast<int>(dtype)];
}
/// "float32"
constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view names[] = {"bool",    "uint8",    "int32",   "int64",
                                        "float16", "bfloat16", "float32", "float64"};
  return names[static_cast<int>(dtype)];
}

/// The DType of a Tensor's scalar.
template <class T>
constexpr DType dtype_of() {
  using U = std::remove_const_t<T>;
  if constexpr (std::is_same_v<U, std::uint8_t>)
    return DType::uint8;
  else if constexpr (std::is_same_v<U, std::int32_t>)
    return DType::int32;
  else if constexpr (std::is_same_v<U, std::int64_t>)
    return DType::int64;
  else if constexpr (std::is_same_v<U, float>)
    return DType::float32;
  else {
    static_assert(std::is_same_v<U, double>, "files hold uint8, int32, int64, float and double");
    return DType::float64;
  }
}

/// Bytes of a packed tensor. Throws DataError where 63 bits cannot count them, even if an extent of 0 hides
/// it.
std::uint64_t bytes_of(DType dtype, const Shape& shape);

/// True where elements of `from` may be read as `to`: any float as float or double (double to float rounds),
/// integers as the same or a wider integer.
bool is_convertible(DType from, DType to);

/// Reads `count` elements of type `from`, which begin at `offset`, as elements of type `to`; a conversion
/// takes a megabyte of memory, however long the tensor is. Throws DataError.
void read_elements(const InputFile& file, std::uint64_t offset, DType from, bool big_endian,
                   std::uint64_t count, DType to, void* out);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/dtype.ipp>
#endif
