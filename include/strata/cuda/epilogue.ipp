#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/kernels/activation.hpp>
#include <strata/cuda/kernels/elementwise.hpp>
#include <strata/cuda/kernels/epilogue.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

static_assert(activation_kind::linear == int(Activation::Kind::linear) &&
              activation_kind::relu == int(Activation::Kind::relu) &&
              activation_kind::leaky_relu == int(Activation::Kind::leaky_relu) &&
              activation_kind::elu == int(Activation::Kind::elu) &&
              activation_kind::sigmoid == int(Activation::Kind::sigmoid) &&
              activation_kind::tanh == int(Activation::Kind::tanh) &&
              activation_kind::relu6 == int(Activation::Kind::relu6) &&
              activation_kind::silu == int(Activation::Kind::silu) &&
              activation_kind::gelu == int(Activation::Kind::gelu) &&
              activation_kind::selu == int(Activation::Kind::selu) &&
              activation_kind::softplus == int(Activation::Kind::softplus) &&
              activation_kind::softsign == int(Activation::Kind::softsign) &&
              activation_kind::hard_sigmoid == int(Activation::Kind::hard_sigmoid) &&
              activation_kind::mish == int(Activation::Kind::mish) &&
              activation_kind::softmax == int(Activation::Kind::softmax));

namespace detail {

inline ApplyParameters apply_parameters(const Epilogue<float>& epilogue, std::int64_t rows,
                                        std::int64_t channels, const float* x, float* y) {
  return {.rows = rows,
          .channels = channels,
          .x = x,
          .scale = epilogue.scale,
          .bias = epilogue.bias,
          .residual = epilogue.residual,
          .y = y,
          .kind = static_cast<int>(epilogue.activation.kind),
          .negative_slope = static_cast<float>(epilogue.activation.negative_slope),
          .wide = channels > widest_warp_row};
}

}  // namespace detail

STRATA_INLINE void CudaBackend::apply(const Epilogue<float>& epilogue, std::int64_t rows,
                                      std::int64_t channels, const float* x, float* y) {
  const ApplyParameters p = detail::apply_parameters(epilogue, rows, channels, x, y);
  const bool nothing = p.kind == activation_kind::linear && !p.scale && !p.bias && !p.residual && x == y;
  if (nothing) return;
  if (p.kind == activation_kind::softmax)
    launch_over("strata_apply_softmax", threads_for_rows(rows, channels), p);
  else
    launch_over("strata_apply", (rows * channels + 3) / 4, p);
}

STRATA_INLINE void CudaBackend::apply_pooled(const Epilogue<float>& epilogue, std::int64_t batch,
                                             std::int64_t h, std::int64_t w, std::int64_t channels,
                                             const float* x, float* y) {
  const std::int64_t rows = batch * h * w;
  if (epilogue.activation.kind == Activation::Kind::softmax) {  // a pixel's values depend on all its channels
    const Scratch<float> whole = scratch<float>(rows * channels);
    apply(epilogue, rows, channels, x, whole.data());
    return apply_pooled({}, batch, h, w, channels, whole.data(), y);
  }
  launch_images(
      "strata_apply_pooled", batch, h / 2, w / 2 * channels,
      ApplyPooledParameters{
          .apply = detail::apply_parameters(epilogue, rows, channels, x, y), .batch = batch, .h = h, .w = w});
}

STRATA_INLINE void CudaBackend::transpose(std::int64_t rows, std::int64_t columns, const float* from,
                                          Gradient<float> to) {
  const std::int64_t tiles = ((rows + 31) / 32) * ((columns + 31) / 32);
  launch("strata_transpose", dim3(static_cast<unsigned>(tiles)), threads_per_block,
         TransposeParameters{
             .rows = rows, .columns = columns, .from = from, .to = to.data, .accumulate = to.accumulate});
}

}}}  // namespace strata::STRATA_ABI::cuda
