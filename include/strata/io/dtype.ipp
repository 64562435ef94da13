#pragma once

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include <strata/io/dtype.hpp>

namespace strata { inline namespace STRATA_ABI {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian, as is every supported CPU");

STRATA_INLINE std::uint64_t bytes_of(DType dtype, const Shape& shape) {
  std::uint64_t bytes = element_size(dtype);
  bool empty = false;
  for (const std::int64_t extent : shape) {
    const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(extent, 1));
    require<DataError>(bytes <= std::numeric_limits<std::int64_t>::max() / count, "the shape ", shape,
                       " overflows");
    bytes *= count;
    empty = empty || extent == 0;
  }
  return empty ? 0 : bytes;
}

STRATA_INLINE bool is_convertible(DType from, DType to) {
  if (from == to) return true;
  switch (to) {
    case DType::float32:
    case DType::float64:
      return from >= DType::float16;
    case DType::int64:
      return from == DType::int32 || from == DType::uint8;
    case DType::int32:
      return from == DType::uint8;
    case DType::uint8:
      return from == DType::boolean;
    default:
      return false;
  }
}

namespace detail {

STRATA_INLINE float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16, exponent = half >> 10 & 31,
                      mantissa = half & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | mantissa << 13);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -subnormal : subnormal;
}
STRATA_INLINE float bfloat_to_float(std::uint16_t value) {
  return std::bit_cast<float>(std::uint32_t{value} << 16);
}

template <class From, class To, class Value>
void convert_each(const void* source, void* target, std::size_t count, Value value_of) {
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<To>(value_of(from[i]));
}
template <class To>
void convert_to(DType from, const void* source, void* target, std::size_t count) {
  const auto same = [](auto value) { return value; };
  switch (from) {
    case DType::boolean:
    case DType::uint8:
      return convert_each<std::uint8_t, To>(source, target, count, same);
    case DType::int32:
      return convert_each<std::int32_t, To>(source, target, count, same);
    case DType::int64:
      return convert_each<std::int64_t, To>(source, target, count, same);
    case DType::float16:
      return convert_each<std::uint16_t, To>(source, target, count, half_to_float);
    case DType::bfloat16:
      return convert_each<std::uint16_t, To>(source, target, count, bfloat_to_float);
    case DType::float32:
      return convert_each<float, To>(source, target, count, same);
    case DType::float64:
      return convert_each<double, To>(source, target, count, same);
  }
}
/// Of convertible types, both aligned.
STRATA_INLINE void convert(DType from, const void* source, DType to, void* target, std::size_t count) {
  switch (to) {
    case DType::uint8:
      return convert_to<std::uint8_t>(from, source, target, count);
    case DType::int32:
      return convert_to<std::int32_t>(from, source, target, count);
    case DType::int64:
      return convert_to<std::int64_t>(from, source, target, count);
    case DType::float32:
      return convert_to<float>(from, source, target, count);
    default:
      return convert_to<double>(from, source, target, count);
  }
}

}  // namespace detail

STRATA_INLINE void read_elements(const InputFile& file, std::uint64_t offset, DType from, bool big_endian,
                                 std::uint64_t count, DType to, void* out) {
  require<DataError>(is_convertible(from, to), "[file] '", file.path(), "': ", name_of(from),
                     " is not read as ", name_of(to));
  const std::size_t size = element_size(from);
  if (from == to && (!big_endian || size == 1)) return file.read(offset, out, count * size);
  constexpr std::uint64_t piece = 1 << 17;
  std::vector<char> buffer(std::min(count, piece) * size);
  while (count > 0) {
    const std::size_t elements = std::min(count, piece), bytes = elements * size;
    file.read(offset, buffer.data(), bytes);
    if (big_endian)
      for (std::size_t i = 0; i < bytes; i += size) std::reverse(buffer.data() + i, buffer.data() + i + size);
    detail::convert(from, buffer.data(), to, out, elements);
    out = static_cast<char*>(out) + elements * element_size(to);
    offset += bytes;
    count -= elements;
  }
}

}}  // namespace strata::STRATA_ABI
