#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <strata/io/json.hpp>
#include <strata/layers/initializers.hpp>
#include <strata/layers/parameter.hpp>
#include <strata/layers/range.hpp>
#include <strata/ops/geometry.hpp>
#include <strata/tensor/activation.hpp>
#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Keras's name of value i of an enumeration, empty behind the last: one overload makes it an option.
constexpr std::string_view names_of(FillMode, std::size_t i) {
  constexpr std::string_view names[] = {"nearest", "constant", "reflect", "wrap"};
  return i < std::size(names) ? names[i] : std::string_view{};
}
constexpr std::string_view names_of(Interpolation, std::size_t i) {
  constexpr std::string_view names[] = {"nearest", "bilinear"};
  return i < std::size(names) ? names[i] : std::string_view{};
}

/// Turns options into JSON (Keras's `get_config` keys) and back. An options struct names its fields once:
///
///     template <class Fields> void fields(Fields& f) { f("units", units); f("activation", activation); }
///
/// and both directions follow from that.
class ConfigWriter {
 public:
  template <class T>
  void operator()(std::string_view key, const T& value) {
    json_[key] = to_json(value);
  }
  Json take() { return json_.is_null() ? Json::object() : std::move(json_); }

 private:
  template <class T>
  requires std::is_constructible_v<Json, const T&>
  static Json to_json(const T& value) { return Json(value); }
  static Json to_json(const Size2D& value);
  static Json to_json(const Shape& value);
  static Json to_json(const Range& value);
  template <class T>
  static Json to_json(const std::optional<T>& value) {
    return value ? to_json(*value) : Json();
  }
  template <class Enum>
  requires requires(Enum value) { names_of(value, 0); }
  static Json to_json(Enum value) { return std::string(names_of(value, static_cast<std::size_t>(value))); }
  static Json to_json(Padding value);
  template <class T>
  static Json to_json(const std::vector<T>& values) {
    Json out = Json::array();
    for (const T& value : values) out.push_back(to_json(value));
    return out;
  }
  template <class T, std::size_t n>
  static Json to_json(const T (&values)[n]) {
    return Json::array(std::span(values));
  }
  static Json to_json(const Activation& value);
  static Json to_json(const Initializer& value);
  static Json to_json(const Regularizer& value);

  Json json_;
};

class ConfigReader {
 public:
  /// `who` opens error messages. Throws DataError for values of a wrong type.
  ConfigReader(const Json& json, std::string who) : json_(json), who_(std::move(who)) {}

  /// Fields that are absent keep their default.
  template <class T>
  void operator()(std::string_view key, T& value) {
    known_.push_back(key);
    const Json* found = json_.find(key);
    if (!found) return;
    try {
      from_json(*found, value);
    } catch (const Error& error) {
      throw DataError(concat(who_, "option '", key, "': ", error.what()));
    }
  }
  /// Throws DataError for members that no field asked for: a misspelt option must not pass silently.
  void finish() const;

 private:
  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_same_v<T, std::string> || std::is_same_v<T, Json> ||
           std::is_same_v<T, Shape>) static void from_json(const Json& json, T& value) {
    value = json.as<T>();
  }
  template <class T>
  static void from_json(const Json& json, std::vector<T>& values) {
    values.clear();
    for (const Json& item : json.as_array()) from_json(item, values.emplace_back());
  }
  template <class T, std::size_t n>
  static void from_json(const Json& json, T (&values)[n]) {
    require<DataError>(json.size() == n, "expected ", n, " values, found ", json.size());
    for (std::size_t i = 0; i < n; ++i) from_json(json.at(i), values[i]);
  }
  static void from_json(const Json& json, Size2D& value);
  template <class R>
  requires std::is_base_of_v<Range, R>
  static void from_json(const Json& json, R& value) {
    if (json.is_number()) {
      value = R(json.as<double>());
      return;
    }
    require<DataError>(json.size() == 2, "expected a number or [lower,upper]");
    value = R(json.at(std::size_t{0}).as<double>(), json.at(std::size_t{1}).as<double>());
  }
  template <class T>
  static void from_json(const Json& json, std::optional<T>& value) {
    if (json.is_null())
      value.reset();
    else
      from_json(json, value.emplace());
  }
  template <class Enum>
  requires requires(Enum value) { names_of(value, 0); }
  static void from_json(const Json& json, Enum& value) {
    const std::string& name = json.as_string();
    std::size_t i = 0;
    std::string known;
    for (; !names_of(value, i).empty() && names_of(value, i) != name; ++i)
      known += concat(i ? ", " : "", "'", names_of(value, i), "'");
    require<DataError>(!names_of(value, i).empty(), "expected one of ", known, ", found '", name, "'");
    value = static_cast<Enum>(i);
  }
  static void from_json(const Json& json, Padding& value);
  static void from_json(const Json& json, Activation& value);
  static void from_json(const Json& json, Initializer& value);
  static void from_json(const Json& json, Regularizer& value);

  const Json& json_;
  std::string who_;
  std::vector<std::string_view> known_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/layers/config.ipp>
#endif
