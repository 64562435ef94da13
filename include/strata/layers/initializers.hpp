#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include <strata/core/random.hpp>
#include <strata/core/shape.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How a new weight gets its values. The functions below are Keras's, with Keras's scales; the numbers
/// themselves come from the model's seed, so they are Strata's own.
struct Initializer {
  enum class Kind {
    zeros,
    ones,
    constant,
    random_uniform,
    random_normal,
    truncated_normal,
    variance_scaling
  };
  enum class Fan { in, out, average };

  std::string_view name = "zeros";  ///< Keras's name in lower case, "glorot_uniform"
  Kind kind = Kind::zeros;
  double a = 0, b = 0;  ///< value; minval, maxval; mean, stddev; scale
  Fan fan = Fan::in;
  Kind distribution = Kind::random_uniform;  ///< of variance_scaling

  friend constexpr bool operator==(const Initializer&, const Initializer&) = default;
};

namespace initializers {
using Kind = Initializer::Kind;
using Fan = Initializer::Fan;
constexpr Initializer zeros() {
  return {};
}
constexpr Initializer ones() {
  return {.name = "ones", .kind = Kind::ones};
}
constexpr Initializer constant(double value) {
  return {.name = "constant", .kind = Kind::constant, .a = value};
}
constexpr Initializer random_uniform(double minval = -0.05, double maxval = 0.05) {
  return {.name = "random_uniform", .kind = Kind::random_uniform, .a = minval, .b = maxval};
}
constexpr Initializer random_normal(double mean = 0, double stddev = 0.05) {
  return {.name = "random_normal", .kind = Kind::random_normal, .a = mean, .b = stddev};
}
/// Normal, drawn again beyond two standard deviations.
constexpr Initializer truncated_normal(double mean = 0, double stddev = 0.05) {
  return {.name = "truncated_normal", .kind = Kind::truncated_normal, .a = mean, .b = stddev};
}
constexpr Initializer variance_scaling(std::string_view name, double scale, Fan fan, Kind distribution) {
  return {.name = name, .kind = Kind::variance_scaling, .a = scale, .fan = fan, .distribution = distribution};
}
/// Glorot and Bengio, AISTATS 2010.
constexpr Initializer glorot_uniform() {
  return variance_scaling("glorot_uniform", 1, Fan::average, Kind::random_uniform);
}
constexpr Initializer glorot_normal() {
  return variance_scaling("glorot_normal", 1, Fan::average, Kind::truncated_normal);
}
/// He et al., ICCV 2015.
constexpr Initializer he_uniform() {
  return variance_scaling("he_uniform", 2, Fan::in, Kind::random_uniform);
}
constexpr Initializer he_normal() {
  return variance_scaling("he_normal", 2, Fan::in, Kind::truncated_normal);
}
/// LeCun et al., "Efficient BackProp", 1998.
constexpr Initializer lecun_uniform() {
  return variance_scaling("lecun_uniform", 1, Fan::in, Kind::random_uniform);
}
constexpr Initializer lecun_normal() {
  return variance_scaling("lecun_normal", 1, Fan::in, Kind::truncated_normal);
}

/// The initializer of that name with Keras's defaults. Throws ConfigError for a name there is not.
constexpr Initializer named(std::string_view name) {
  for (const Initializer& known :
       {zeros(), ones(), constant(0), random_uniform(), random_normal(), truncated_normal(), glorot_uniform(),
        glorot_normal(), he_uniform(), he_normal(), lecun_uniform(), lecun_normal()})
    if (known.name == name) return known;
  throw ConfigError(concat("[initializer] '", name, "' is not an initializer"));
}
}  // namespace initializers

namespace detail {
/// Normal, cut at two standard deviations: up to 64 draws of stream element (i, attempt).
inline double truncated_normal(const RandomStream& random, std::uint64_t i) {
  for (std::uint64_t attempt = 0; attempt < 64; ++attempt)
    if (const double z = random.normal(i * 64 + attempt); std::abs(z) < 2) return z;
  return 0;
}

/// For variance scaling of weights of `shape` (last two axes in, out) what it comes to; others as they are.
Initializer scaled(const Initializer& how, const Shape& shape);
}  // namespace detail

/// Fills `values` (of `shape`, kernels last two axes in, out) from `random`. Source: Keras's
/// random_initializers.py.
template <class T>
void initialize(const Initializer& how, const Shape& shape, const RandomStream& random, std::span<T> values) {
  using Kind = Initializer::Kind;
  const Initializer scaled = detail::scaled(how, shape);
  const double a = scaled.a, b = scaled.b;
  for (std::size_t i = 0; i < values.size(); ++i) {
    double value = 0;
    switch (scaled.kind) {
      case Kind::zeros:
        break;
      case Kind::ones:
        value = 1;
        break;
      case Kind::constant:
        value = a;
        break;
      case Kind::random_uniform:
        value = a + (b - a) * random.uniform_double(i);
        break;
      case Kind::random_normal:
        value = a + b * random.normal(i);
        break;
      case Kind::truncated_normal:
      case Kind::variance_scaling:
        value = a + b * detail::truncated_normal(random, i);
        break;
    }
    values[i] = static_cast<T>(value);
  }
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/layers/initializers.ipp>
#endif
