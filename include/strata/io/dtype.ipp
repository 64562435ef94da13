#pragma once

#include <bit>
#include <cstring>

#include <strata/io/dtype.hpp>

namespace strata::inline STRATA_ABI {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian, as is every supported CPU");

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

template <class From, class To, class Convert>
void convert_each(const void* source, void* target, std::size_t count, Convert convert) {
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, static_cast<const char*>(source) + i * sizeof(From), sizeof(From));
    const To converted = static_cast<To>(convert(value));
    std::memcpy(static_cast<char*>(target) + i * sizeof(To), &converted, sizeof(To));
  }
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

}  // namespace detail

STRATA_INLINE void convert(DType from, const void* source, DType to, void* target, std::size_t count) {
  require<DataError>(is_convertible(from, to), "[dtype] ", name_of(from), " is not read as ", name_of(to));
  if (count == 0) return;
  if (from == to || size_of(from) == 1) {
    if (size_of(from) == size_of(to)) {
      std::memcpy(target, source, count * size_of(to));
      return;
    }
  }
  if (to == DType::float32) detail::convert_to<float>(from, source, target, count);
  if (to == DType::float64) detail::convert_to<double>(from, source, target, count);
  if (to == DType::int32) detail::convert_to<std::int32_t>(from, source, target, count);
  if (to == DType::int64) detail::convert_to<std::int64_t>(from, source, target, count);
}

}  // namespace strata::inline STRATA_ABI
