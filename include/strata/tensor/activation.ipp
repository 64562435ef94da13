#pragma once

#include <string>

#include <strata/tensor/activation.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Activation activation(std::string_view name) {
  std::string known;
  for (int i = 0; i < static_cast<int>(std::size(activation_names)); ++i) {
    const Activation::Kind kind{i};
    if (name == activation_names[i] || (name == "swish" && kind == Activation::Kind::silu))
      return kind == Activation::Kind::leaky_relu ? Activation::leaky_relu() : Activation(kind);
    known.append(i ? ", " : "").append(activation_names[i]);
  }
  throw ConfigError(concat("[activation] '", name, "' is not an activation; there are ", known));
}

STRATA_COLD STRATA_INLINE Activation::Activation(const char* name) : Activation(activation(name)) {}

}}  // namespace strata::STRATA_ABI
