#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

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
/// Memory that a device, or the host, does not have: smaller batches take less.
class OutOfMemoryError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};
/// An option or a name that does not exist or is out of range.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// One piece of a message: text, a number, or anything with `to_string()`. Borrowed, and turned into text
/// only when the message is wanted, so that a check costs its callers no code but the check.
class MessagePart {
 public:
  template <class T>
  requires std::convertible_to<const T&, std::string_view>
  constexpr MessagePart(const T& text) : kind_(Kind::text), text_(text) {}
  template <std::same_as<bool> T>
  constexpr MessagePart(T value) : kind_(Kind::text), text_(value ? "true" : "false") {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) constexpr MessagePart(T value)
      : kind_(std::signed_integral<T> ? Kind::integer : Kind::natural),
        integer_(static_cast<std::int64_t>(value)) {}
  constexpr MessagePart(double value) : kind_(Kind::real), real_(value) {}
  template <class T>
  requires requires(const T& object) { object.to_string(); }
  constexpr MessagePart(const T& object)
      : kind_(Kind::object), object_{&object, [](const void* that) {
                                       return static_cast<const T*>(that)->to_string();
                                     }} {}

  void append_to(std::string& out) const;

 private:
  enum class Kind : unsigned char { text, integer, natural, real, object };
  struct Object {
    const void* that;
    std::string (*to_string)(const void*);
  };
  Kind kind_;
  union {
    std::string_view text_;
    std::int64_t integer_;
    double real_;
    Object object_;
  };
};

namespace detail {
std::string join(std::initializer_list<MessagePart> parts);
template <class E>
[[noreturn, gnu::noinline, gnu::cold]] void raise(std::initializer_list<MessagePart> parts) {
  throw E(join(parts));
}
/// For handlers of a DeviceError: throws it again, of the same class, with more said around its message.
[[noreturn]] void rethrow_device_error(std::string_view before, std::string_view after = {});
}  // namespace detail

/// Joins text, numbers and anything with `to_string()` into one message.
template <class... Parts>
std::string concat(const Parts&... parts) {
  return detail::join({parts...});
}

/// Throws `E` with the joined message unless `condition` holds.
template <class E, class... Parts>
constexpr void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    detail::raise<E>({parts...});
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/core/error.ipp>
#endif
