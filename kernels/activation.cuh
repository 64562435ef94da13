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
    default:
      return x;
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
