#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <strata/core/error.hpp>
#include <strata/core/function_ref.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A JSON value (RFC 8259). Objects keep the order in which their members were added.
///
/// Whole numbers that fit 64 bits stay exact; every other number is a double. Getters throw DataError where
/// the value has another type.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  ///< null
  Json(const Json& other);
  Json(Json&&) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&&) noexcept;
  ~Json();
  Json(std::nullptr_t) {}
  template <std::same_as<bool> T>
  Json(T value) : value_(value) {}
  /// Throws DataError for an unsigned value beyond 63 bits.
  template <std::integral T>
  requires(!std::same_as<T, bool>) Json(T value) : value_(static_cast<std::int64_t>(value)) {
    require<DataError>(std::in_range<std::int64_t>(value), "[json] ", value, " does not fit 64 bits");
  }
  template <std::floating_point T>
  Json(T value) : value_(static_cast<double>(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}

  /// Json::object({{"units", 256}, {"activation", "relu"}}). Throws DataError for a key given twice.
  static Json object(std::initializer_list<Member> members = {});
  static Json array(std::initializer_list<Json> items = {}) { return Json(Array(items)); }
  /// An array of the elements of any range: a vector, a Shape, a tensor's values.
  template <class Range>
  requires requires(const Range& range) { range.begin() != range.end(); }
  static Json array(const Range& range) {
    Array items;
    for (const auto& item : range) items.emplace_back(item);
    return Json(std::move(items));
  }

  /// Parses one value, strictly: UTF-8 only, no comments, no trailing text, no repeated keys, at most 128
  /// levels. Throws DataError as "[json] config.json:3:14: expected ...", columns counted in bytes.
  static Json parse(std::string_view text, std::string_view source = "text");

  /// Visits the members of an object that would be too large as a Json: each value as its text, which is JSON
  /// but for keys given twice. Throws what `parse` throws, and what `visit` throws.
  static void for_members(std::string_view text, std::string_view source,
                          FunctionRef<void(std::string key, std::string_view value)> visit);

  /// JSON text; with `indent` > 0 one member per line. Doubles are the shortest that read back equal. Throws
  /// DataError for NaN, infinities and strings that are not UTF-8.
  std::string dump(int indent = 0) const;

  bool is_null() const { return is<std::monostate>(); }
  bool is_bool() const { return is<bool>(); }
  bool is_int() const { return is<std::int64_t>(); }
  bool is_number() const { return is<double>() || is_int(); }
  bool is_string() const { return is<std::string>(); }
  bool is_array() const { return is<Array>(); }
  bool is_object() const { return is<Object>(); }

  bool as_bool() const;
  std::int64_t as_int() const;  ///< also of a double without a fraction
  double as_double() const;     ///< of any number
  const std::string& as_string() const;
  const Array& as_array() const;
  const Object& as_object() const;

  /// The value as bool, an integer (range checked), float or double, std::string, Json, or a container that
  /// is made of a pair of iterators over such (std::vector, Shape).
  template <class T>
  T as() const;

  /// Number of items or members.
  std::size_t size() const { return is_object() ? as_object().size() : as_array().size(); }

  const Json& at(std::size_t index) const;
  /// The member of that name. Throws DataError that lists the names there are.
  const Json& at(std::string_view key) const;
  /// The member of that name, or null where there is none.
  const Json* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }

  /// The member `key` as T; errors name the key.
  template <class T>
  T get(std::string_view key) const {
    const Json& value = at(key);
    try {
      return value.as<T>();
    } catch (const DataError& error) {
      rethrow_with_key(key, error);
    }
  }
  /// The same, or `fallback` where there is no such member.
  template <class T>
  T get(std::string_view key, T fallback) const {
    return contains(key) ? get<T>(key) : fallback;
  }
  std::string get(std::string_view key, const char* fallback) const {
    return get(key, std::string(fallback));
  }

  /// The member of that name, added where there is none. A null value becomes an object.
  Json& operator[](std::string_view key);
  /// Appends to an array. A null value becomes an array.
  void push_back(Json item);

  bool operator==(const Json& other) const;

 private:
  explicit Json(Array items) : value_(std::move(items)) {}
  explicit Json(Object members) : value_(std::move(members)) {}

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(value_);
  }
  template <class T>
  const T& expect(const char* expected) const;
  [[noreturn]] void wrong_type(std::string_view expected) const;
  [[noreturn]] static void rethrow_with_key(std::string_view key, const DataError& error);

  class Parser;
  class Writer;

  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

template <class T>
T Json::as() const {
  if constexpr (std::same_as<T, Json>) {
    return *this;
  } else if constexpr (std::same_as<T, bool>) {
    return as_bool();
  } else if constexpr (std::integral<T>) {
    const std::int64_t value = as_int();
    if (!std::in_range<T>(value))
      wrong_type(
          concat("an integer in [", std::numeric_limits<T>::min(), ",", std::numeric_limits<T>::max(), "]"));
    return static_cast<T>(value);
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(as_double());
  } else if constexpr (std::same_as<T, std::string>) {
    return as_string();
  } else {
    std::vector<std::remove_cvref_t<decltype(*std::declval<const T&>().begin())>> items;
    for (const Json& item : as_array()) items.push_back(item.as<typename decltype(items)::value_type>());
    return T(items.begin(), items.end());
  }
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/json.ipp>
#endif
