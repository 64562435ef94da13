#pragma once

#include <strata/layers/config.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(const Size2D& value) {
  return Json::array({value.height, value.width});
}
STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(const Shape& value) {
  return Json::array(value);
}
STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(const Range& value) {
  return Json::array({value.lower, value.upper});
}
STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(Padding value) {
  return value == Padding::same ? "same" : "valid";
}
STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(const Activation& value) {
  if (value.kind != Activation::Kind::leaky_relu) return std::string(name_of(value));
  return Json::object({{"name", "leaky_relu"}, {"negative_slope", value.negative_slope}});
}
STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(const Initializer& value) {
  return Json::object({{"name", std::string(value.name)}, {"a", value.a}, {"b", value.b}});
}
STRATA_COLD STRATA_INLINE Json ConfigWriter::to_json(const Regularizer& value) {
  return value ? Json::object({{"l1", value.l1}, {"l2", value.l2}}) : Json();
}

STRATA_COLD STRATA_INLINE void ConfigReader::finish() const {
  for (const auto& [key, value] : json_.as_object()) {
    bool known = false;
    for (const std::string_view name : known_) known = known || name == key;
    require<DataError>(known, who_, "unexpected option '", key, "'");
  }
}

STRATA_COLD STRATA_INLINE void ConfigReader::from_json(const Json& json, Size2D& value) {
  if (json.is_number()) {
    value = Size2D(json.as_int());
    return;
  }
  require<DataError>(json.size() == 2, "expected a number or [height,width]");
  value = Size2D(json.at(std::size_t{0}).as_int(), json.at(std::size_t{1}).as_int());
}

STRATA_COLD STRATA_INLINE void ConfigReader::from_json(const Json& json, Padding& value) {
  const std::string& name = json.as_string();
  require<DataError>(name == "same" || name == "valid", "expected 'same' or 'valid', found '", name, "'");
  value = name == "same" ? Padding::same : Padding::valid;
}

STRATA_COLD STRATA_INLINE void ConfigReader::from_json(const Json& json, Activation& value) {
  value = json.is_null()     ? Activation::linear
          : json.is_string() ? activation(json.as_string())
                             : activation(json.get<std::string>("name"));
  if (json.is_object() && value.kind == Activation::Kind::leaky_relu)
    value = Activation::leaky_relu(json.get("negative_slope", value.negative_slope));
}

STRATA_COLD STRATA_INLINE void ConfigReader::from_json(const Json& json, Initializer& value) {
  value = initializers::named(json.is_string() ? json.as_string() : json.get<std::string>("name"));
  if (!json.is_object()) return;
  value.a = json.get("a", value.a);
  value.b = json.get("b", value.b);
}

STRATA_COLD STRATA_INLINE void ConfigReader::from_json(const Json& json, Regularizer& value) {
  value = json.is_null() ? Regularizer{} : Regularizer{json.get("l1", 0.0), json.get("l2", 0.0)};
}

}}  // namespace strata::STRATA_ABI
