#pragma once

#include <string_view>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Keras's dtype policies: how convolutions and dense layers multiply. Tensors, weights and sums stay what
/// they are.
enum class Policy {
  float32,  ///< in the tensors' own type
  /// Factors of results and of gradients of inputs may be rounded to bfloat16, 8 bits of mantissa, where that
  /// is faster.
  mixed_bfloat16
};

/// By Keras's name: "mixed_bfloat16". Throws ConfigError for a name there is not.
inline Policy policy(std::string_view name) {
  if (name == "float32") return Policy::float32;
  if (name == "mixed_bfloat16") return Policy::mixed_bfloat16;
  throw ConfigError(concat("[policy] '", name, "' is not a policy; there are float32, mixed_bfloat16"));
}

}}  // namespace strata::STRATA_ABI
