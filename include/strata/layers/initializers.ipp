#pragma once

#include <cmath>

#include <strata/layers/initializers.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Initializer detail::scaled(const Initializer& how, const Shape& shape) {
  using Kind = Initializer::Kind;
  using Fan = Initializer::Fan;
  if (how.kind != Kind::variance_scaling) return how;
  double receptive = 1;
  for (int axis = 0; axis + 2 < shape.rank(); ++axis) receptive *= static_cast<double>(shape[axis]);
  const double fan_in =
      shape.rank() < 2 ? static_cast<double>(shape.size()) : receptive * static_cast<double>(shape[-2]);
  const double fan_out =
      shape.rank() < 2 ? static_cast<double>(shape.size()) : receptive * static_cast<double>(shape[-1]);
  const double fan = how.fan == Fan::in ? fan_in : how.fan == Fan::out ? fan_out : (fan_in + fan_out) / 2;
  const double variance = how.a / (fan > 1 ? fan : 1);

  Initializer out = how;
  out.kind = how.distribution;
  // A normal cut at two deviations has 0.8796 of its standard deviation.
  const bool uniform = out.kind == Kind::random_uniform;
  out.b = uniform ? std::sqrt(3 * variance) : std::sqrt(variance) / 0.87962566103423978;
  out.a = uniform ? -out.b : 0;
  return out;
}

}}  // namespace strata::STRATA_ABI
