#pragma once

#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>

#include <strata/core/config.hpp>

namespace strata::inline STRATA_ABI {

/// Base of every exception the library throws. Messages say what was expected, what was found, and where.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes that do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};
/// Weights that are missing, unexpected or misshapen, or belong to another network.
class WeightError : public Error {
 public:
  using Error::Error;
};
/// Files and datasets that cannot be read or are not what they claim to be.
class DataError : public Error {
 public:
  using Error::Error;
};
/// A device that is absent, out of memory, or asked for what it cannot do.
class DeviceError : public Error {
 public:
  using Error::Error;
};
/// An option or a name that does not exist or is out of range.
class ConfigError : public Error {
 public:
  using Error::Error;
};

namespace detail {
inline void append(std::string& out, std::string_view text) {
  out += text;
}
template <std::same_as<bool> T>
void append(std::string& out, T value) {
  out += value ? "true" : "false";
}
template <class T>
requires(std::integral<T> && !std::same_as<T, bool>) void append(std::string& out, T value) {
  out += std::to_string(value);
}
inline void append(std::string& out, double value) {
  char text[32];
  const int length = __builtin_snprintf(text, sizeof text, "%.9g", value);
  out.append(text, static_cast<std::size_t>(length));
}
template <class T>
requires requires(const T& value) {
  value.to_string();
}
void append(std::string& out, const T& value) {
  out += value.to_string();
}
}  // namespace detail

/// Joins text, numbers and anything with `to_string()` into one message.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

/// Throws `E` with the joined message unless `condition` holds.
template <class E, class... Parts>
constexpr void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    throw E(concat(parts...));
}

}  // namespace strata::inline STRATA_ABI
