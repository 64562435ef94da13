#pragma once

#include <string_view>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// An activation function. The derivative of most follows from the output, so that nothing but the output is
/// kept for the backward pass; see `derivative_needs_input`.
struct Activation {
  enum class Kind {
    linear,
    relu,
    leaky_relu,
    elu,
    sigmoid,
    tanh,
    relu6,
    silu,
    gelu,
    selu,
    softplus,
    softsign,
    hard_sigmoid,
    mish,
    softmax
  };

  Kind kind = Kind::linear;
  double negative_slope = 0;  ///< of leaky_relu, > 0

  constexpr Activation() = default;
  explicit constexpr Activation(Kind k, double slope = 0) : kind(k), negative_slope(slope) {}
  /// By Keras's name: `.activation = "relu"`. Throws ConfigError for a name there is not.
  Activation(const char* name);

  static const Activation linear, relu, elu, sigmoid, tanh, softmax;
  static const Activation relu6;  ///< relu cut at 6
  static const Activation silu;   ///< x * sigmoid(x), also called swish
  static const Activation gelu;   ///< x * (1 + erf(x / sqrt(2))) / 2
  /// `selu_scale` * (x for x >= 0, else `selu_alpha` * (exp(x) - 1)). Source: Klambauer et al., NeurIPS 2017.
  static const Activation selu;
  static const Activation softplus;      ///< log(1 + exp(x))
  static const Activation softsign;      ///< x / (1 + |x|)
  static const Activation hard_sigmoid;  ///< relu6(x + 3) / 6
  static const Activation mish;          ///< x * tanh(softplus(x))
  /// x for x >= 0, else `negative_slope` * x. Keras's `leaky_relu` activation has 0.2, its LeakyReLU layer
  /// 0.3.
  static constexpr Activation leaky_relu(double negative_slope = 0.2) {
    require<ConfigError>(negative_slope >= 0, "[leaky_relu] expected a negative_slope of 0 or more, found ",
                         negative_slope);
    // With a slope of 0 the derivative would not follow from the output.
    return negative_slope > 0 ? Activation{Kind::leaky_relu, negative_slope} : Activation{Kind::relu};
  }

  friend constexpr bool operator==(const Activation&, const Activation&) = default;
};

inline constexpr Activation Activation::linear{Kind::linear};
inline constexpr Activation Activation::relu{Kind::relu};
inline constexpr Activation Activation::elu{Kind::elu};
inline constexpr Activation Activation::sigmoid{Kind::sigmoid};
inline constexpr Activation Activation::tanh{Kind::tanh};
inline constexpr Activation Activation::relu6{Kind::relu6};
inline constexpr Activation Activation::silu{Kind::silu};
inline constexpr Activation Activation::gelu{Kind::gelu};
inline constexpr Activation Activation::selu{Kind::selu};
inline constexpr Activation Activation::softplus{Kind::softplus};
inline constexpr Activation Activation::softsign{Kind::softsign};
inline constexpr Activation Activation::hard_sigmoid{Kind::hard_sigmoid};
inline constexpr Activation Activation::mish{Kind::mish};
inline constexpr Activation Activation::softmax{Kind::softmax};

inline constexpr std::string_view activation_names[] = {
    "linear", "relu", "leaky_relu", "elu",      "sigmoid",      "tanh", "relu6",  "silu",
    "gelu",   "selu", "softplus",   "softsign", "hard_sigmoid", "mish", "softmax"};

inline constexpr double selu_scale = 1.0507009873554805, selu_alpha = 1.6732632423543772;

/// By Keras's name, with Keras's defaults: "relu". Throws ConfigError for a name there is not.
Activation activation(std::string_view name);

/// Keras's name of an activation: "relu".
constexpr std::string_view name_of(const Activation& activation) {
  return activation_names[static_cast<int>(activation.kind)];
}

/// The derivative follows from the input x and not from the output y: a function that falls and rises takes
/// the same value twice.
constexpr bool derivative_needs_input(Activation::Kind kind) {
  return kind == Activation::Kind::silu || kind == Activation::Kind::gelu || kind == Activation::Kind::mish;
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/tensor/activation.ipp>
#endif
