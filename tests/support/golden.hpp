#pragma once

#include <catch2/catch.hpp>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <strata/io/json.hpp>
#include <strata/io/safetensors.hpp>

#include "support/paths.hpp"

namespace strata_test {

/// A file of golden cases, what Keras answered: `tests/support/golden/<group>.safetensors`, written by
/// generate.py beside it. Each case is a JSON description and tensors named `<case>/...`.
class Golden {
 public:
  explicit Golden(const std::string& group)
      : file_(golden_folder() + group + ".safetensors"),
        cases_(strata::Json::parse(file_.metadata().at("cases"), file_.path())) {}

  const strata::Json::Array& cases() const { return cases_.as_array(); }

  static std::string name(const strata::Json& golden_case) { return golden_case.get<std::string>("name"); }

  bool contains(const strata::Json& golden_case, const std::string& tensor) const {
    return file_.contains(name(golden_case) + "/" + tensor);
  }
  /// A tensor that belongs to no single case.
  template <class T>
  strata::Tensor<T> read(const std::string& tensor) const {
    return file_.read<T>(tensor);
  }
  template <class T>
  strata::Tensor<T> read(const strata::Json& golden_case, const std::string& tensor) const {
    return read<T>(name(golden_case) + "/" + tensor);
  }
  /// The names behind `<case>/<folder>/`.
  std::vector<std::string> list(const strata::Json& golden_case, const std::string& folder) const {
    const std::string prefix = name(golden_case) + "/" + folder + "/";
    std::vector<std::string> out;
    for (const std::string& tensor : file_.names())
      if (tensor.starts_with(prefix)) out.push_back(tensor.substr(prefix.size()));
    return out;
  }

 private:
  strata::SafetensorsFile file_;
  strata::Json cases_;
};

/// ||actual - expected|| / ||expected||, infinite where a number is missing.
template <class T, class U>
double relative_error(std::span<const T> actual, std::span<const U> expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double a = static_cast<double>(actual[i]), e = static_cast<double>(expected[i]);
    difference += (a - e) * (a - e);
    norm += e * e;
  }
  if (difference == 0) return 0;
  const double error = std::sqrt(difference / std::max(norm, 1e-300));
  return std::isnan(error) ? INFINITY : error;
}

/// Checks shape, relative L2 error, and that no single element is far off: by more than 30 times the
/// tolerance of its own size plus the tensor's root mean square.
template <class T, class U>
void check_close(const std::string& what, const strata::Tensor<T>& actual, const strata::Tensor<U>& expected,
                 double tolerance) {
  INFO(what);
  REQUIRE(actual.shape().to_string() == expected.shape().to_string());
  const strata::Tensor<T> host = actual.to(nullptr);
  const std::span<const T> a = host.values();
  const std::span<const U> e = expected.values();
  CHECK(relative_error(a, e) <= tolerance);
  double squares = 0;
  for (const U value : e) squares += static_cast<double>(value) * static_cast<double>(value);
  const double rms = std::sqrt(squares / std::max<double>(1, static_cast<double>(e.size())));
  std::size_t worst = 0;
  double excess = -1;
  for (std::size_t i = 0; i < e.size(); ++i) {
    const double expected_value = static_cast<double>(e[i]);
    const double difference = std::abs(static_cast<double>(a[i]) - expected_value);
    const double now = difference - 30 * tolerance * (std::abs(expected_value) + rms);
    if (!(now <= excess)) worst = i, excess = now;
  }
  if (excess > 0) FAIL_CHECK("element " << worst << " is " << a[worst] << ", Keras has " << e[worst]);
}

}  // namespace strata_test
