#include "elementwise.cuh"

#include <strata/cuda/kernels/elementwise.hpp>

#include "activation.cuh"

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// The derivative at `value`, which is the function's input for silu, gelu and mish and its output for the
/// others, times the gradient behind it.
__device__ inline float derivative(int kind, float negative_slope, float value, float gradient) {
  switch (kind) {
    case activation_kind::relu:
      return value > 0 ? gradient : 0.0f;
    case activation_kind::leaky_relu:
      return value > 0 ? gradient : negative_slope * gradient;
    case activation_kind::elu:
      return value < 0 ? (value + 1) * gradient : gradient;
    case activation_kind::sigmoid:
      return value * (1 - value) * gradient;
    case activation_kind::tanh:
      return (1 - value) * (1 + value) * gradient;
    case activation_kind::relu6:
      return value > 0 && value < 6 ? gradient : 0.0f;
    case activation_kind::silu:
      return sigmoid(value) * (1 + value * sigmoid(-value)) * gradient;
    case activation_kind::gelu: {
      const float density = 0.39894228040143268f * expf(-0.5f * value * value);
      return (normal_cdf(value) + value * density) * gradient;
    }
    case activation_kind::selu:
      return (value < 0 ? value + selu_slope : selu_scale) * gradient;
    case activation_kind::softplus:
      return -expm1f(-value) * gradient;
    case activation_kind::softsign:
      return (1 - fabsf(value)) * (1 - fabsf(value)) * gradient;
    case activation_kind::hard_sigmoid:
      return value > 0 && value < 1 ? gradient / 6 : 0.0f;
    case activation_kind::mish: {
      const float t = tanhf(softplus(value));
      return (t + value * (1 - t * t) * sigmoid(value)) * gradient;
    }
    default:
      return gradient;
  }
}

STRATA_KERNEL(strata_activation_backward, ActivationBackwardParameters) {
  map(p.rows * p.channels, 1, p.dx,
      [&](Int i, Int) { return derivative(p.kind, p.negative_slope, p.from[i], p.dy[i]); });
}

STRATA_KERNEL(strata_softmax_backward, ActivationBackwardParameters) {
  const RowTeam team(p.wide);
  for (Int row = team.row; row < p.rows; row += team.rows) {
    const float *y = p.from + row * p.channels, *dy = p.dy + row * p.channels;
    double dot = 0;
    for (Int c = team.lane; c < p.channels; c += team.lanes) dot += double(y[c]) * double(dy[c]);
    dot = team.sum(dot);
    for (Int c = team.lane; c < p.channels; c += team.lanes)
      p.dx[row * p.channels + c] = y[c] * float(double(dy[c]) - dot);
  }
}

STRATA_KERNEL(strata_affine, AffineParameters) {
  map(p.count, 1, p.y, [&](Int i, Int) { return p.scale * p.x[i] + p.offset; });
}

STRATA_KERNEL(strata_axpy, AxpyParameters) {
  map(p.count, 1, p.y, [&](Int i, Int) { return p.y[i] + p.alpha * p.x[i]; });
}

STRATA_KERNEL(strata_copy_block, CopyBlockParameters) {
  map_to(
      p.rows * p.columns, p.columns, [&](Int i, Int c) { return p.x[(i - c) / p.columns * p.x_stride + c]; },
      [&](Int i, Int c, float value) { p.y[(i - c) / p.columns * p.y_stride + c] = value; });
}

STRATA_KERNEL(strata_pad2d, Pad2DParameters) {
  const Int inner = p.g.in_w * p.g.channels, left = p.g.left * p.g.channels;  // of one row of pixels
  const Int outer = left + inner + p.g.right * p.g.channels;
  const Int out_h = p.g.top + p.g.in_h + p.g.bottom;
  map(p.g.batch * out_h * outer, outer, p.y, [&](Int i, Int place) {
    const Int line = (i - place) / outer, image = line / out_h, row = line - image * out_h - p.g.top;
    const Int column = place - left;
    const bool inside = row >= 0 && row < p.g.in_h && column >= 0 && column < inner;
    return inside ? p.x[(image * p.g.in_h + row) * inner + column] : 0.0f;
  });
}

/// x is the gradient of the padded images, y that of the inner ones.
STRATA_KERNEL(strata_pad2d_backward, Pad2DParameters) {
  const Int inner = p.g.in_w * p.g.channels, left = p.g.left * p.g.channels;
  const Int outer = left + inner + p.g.right * p.g.channels;
  const Int out_h = p.g.top + p.g.in_h + p.g.bottom;
  map(p.g.batch * p.g.in_h * inner, inner, p.y, [&](Int i, Int place) {
    const Int line = (i - place) / inner, image = line / p.g.in_h, row = line - image * p.g.in_h + p.g.top;
    return p.x[(image * out_h + row) * outer + left + place];
  });
}

/// Philox 4x32-10: the 128 bits of one block, as core/random.hpp computes them.
__device__ inline void philox(std::uint32_t (&counter)[4], std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter[0] = std::uint32_t(b >> 32) ^ counter[1] ^ key0;
    counter[1] = std::uint32_t(b);
    counter[2] = std::uint32_t(a >> 32) ^ counter[3] ^ key1;
    counter[3] = std::uint32_t(a);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

/// A thread per block of four numbers.
STRATA_KERNEL(strata_dropout, DropoutParameters) {
  for (Int block = first(); block < (p.count + 3) / 4; block += stride()) {
    std::uint32_t words[4] = {std::uint32_t(block), std::uint32_t(block >> 32), p.step[0], p.step[1]};
    philox(words, p.key[0], p.key[1]);
    const float* const x = p.x + 4 * block;
    float* const y = p.y + 4 * block;
    float values[4] = {};
    for (int k = 0; k < 4; ++k)
      if (4 * block + k < p.count) values[k] = (words[k] >> 8) >= p.threshold ? x[k] * p.scale : 0.0f;
    for (int k = 0; k < 4; ++k)
      if (4 * block + k < p.count) y[k] = values[k];
  }
}

}}}  // namespace strata::STRATA_ABI::cuda
