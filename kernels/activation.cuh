#pragma once

// Activations of one value, for every kernel that ends in one. Softmax needs a row: see elementwise.cu.

#include "common.cuh"

#include <strata/cuda/kernels/activation.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// exp never overflows; NaN stays NaN.
__device__ inline float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/// The normal distribution's share below x.
__device__ inline float normal_cdf(float x) {
  return 0.5f * erfcf(-0.70710678118654752f * x);
}

constexpr float selu_scale = 1.0507009873554805f, selu_slope = 1.7580993408473766f;  // slope: scale * alpha

__device__ inline float softplus(float x) {
  return (x < 0 ? 0.0f : x) + log1pf(expf(-fabsf(x)));
}

/// `kind` is one of activation_kind; linear and softmax leave x as it is.
__device__ inline float activate(int kind, float negative_slope, float x) {
  switch (kind) {
    case activation_kind::relu:
      return x < 0 ? 0.0f : x;
    case activation_kind::leaky_relu:
      return x < 0 ? negative_slope * x : x;
    case activation_kind::elu:
      return x < 0 ? expm1f(x) : x;
    case activation_kind::sigmoid:
      return sigmoid(x);
    case activation_kind::tanh:
      return tanhf(x);
    case activation_kind::relu6:
      return x < 0 ? 0.0f : x > 6 ? 6.0f : x;
    case activation_kind::silu:
      return x * sigmoid(x);
    case activation_kind::gelu:
      return x * normal_cdf(x);
    case activation_kind::selu:
      return x < 0 ? selu_slope * expm1f(x) : selu_scale * x;
    case activation_kind::softplus:
      return softplus(x);
    case activation_kind::softsign:
      return x / (1 + fabsf(x));
    case activation_kind::hard_sigmoid:
      return (x < -3 ? 0.0f : x > 3 ? 6.0f : x + 3) / 6;
    case activation_kind::mish:
      return x * tanhf(softplus(x));
    default:
      return x;
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
