#pragma once

#include <strata/eigen/convolution.hpp>
#include <strata/eigen/losses.hpp>
#include <strata/eigen/normalization.hpp>
#include <strata/eigen/optimizers.hpp>
#include <strata/eigen/pixels.hpp>
#include <strata/tensor/host_device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

/// Backend<T> in Eigen's terms: what is one expression stands here, the rest in the files beside this one.
/// Convolutions and pooling take an image per task, everything else runs on the calling thread.
template <class T>
class EigenBackend final : public HostBackend<T> {
  using In = ArrayMap<const T>;
  using Out = ArrayMap<T>;
  using MatrixIn = MatrixMap<const T>;
  using MatrixOut = MatrixMap<T>;

 public:
  explicit EigenBackend(ThreadPool& pool) : pool_(pool) {}

  // --- convolution and pooling ---

  void conv2d(const Conv2DGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
              T* y) override {
    eigen::conv2d(pool_, g, x, kernel.data, epilogue, y);
  }
  void conv2d_backward_input(const Conv2DGeometry& g, const T* dy, WeightView<T> kernel,
                             Gradient<T> dx) override {
    eigen::conv2d_backward_input(pool_, g, dy, kernel.data, dx);
  }
  void conv2d_backward_kernel(const Conv2DGeometry& g, const T* x, const T* dy,
                              Gradient<T> dkernel) override {
    eigen::conv2d_backward_kernel(pool_, g, x, dy, dkernel);
  }
  void pool2d(const Pool2DGeometry& g, PoolKind kind, const T* x, T* y, std::uint8_t*) override {
    const Index in = g.in_h * g.in_w * g.channels, out = g.out_h * g.out_w * g.channels;
    pool_.run(g.batch, [&](Index n, int) { pool_image(g, kind, x + n * in, y + n * out); });
  }
  void pool2d_backward(const Pool2DGeometry& g, PoolKind kind, const Activation& before, const T* x,
                       const T* y, const T* dy, T* dx, const std::uint8_t*) override {
    const Index in = g.in_h * g.in_w * g.channels, out = g.out_h * g.out_w * g.channels;
    pool_.run(g.batch, [&](Index n, int) {
      pool_image_backward(g, kind, x + n * in, y + n * out, dy + n * out, dx + n * in);
    });
    if (before != Activation::linear)
      activation_backward(before, g.batch * g.in_h * g.in_w, g.channels, nullptr, x, dx, dx);
  }

  // --- dense ---

  void dense(const DenseGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
             T* y) override {
    MatrixOut(y, g.rows, g.out).noalias() = MatrixIn(x, g.rows, g.in) * MatrixIn(kernel.data, g.in, g.out);
    finish<T>(epilogue, {y, g.rows, g.out});
  }
  void dense_backward_input(const DenseGeometry& g, const T* dy, WeightView<T> kernel,
                            Gradient<T> dx) override {
    MatrixOut gradient(dx.data, g.rows, g.in);
    if (!dx.accumulate) gradient.setZero();
    gradient.noalias() += MatrixIn(dy, g.rows, g.out) * MatrixIn(kernel.data, g.in, g.out).transpose();
  }
  void dense_backward_kernel(const DenseGeometry& g, const T* x, const T* dy, Gradient<T> dkernel) override {
    MatrixOut gradient(dkernel.data, g.in, g.out);
    if (!dkernel.accumulate) gradient.setZero();
    gradient.noalias() += MatrixIn(x, g.rows, g.in).transpose() * MatrixIn(dy, g.rows, g.out);
  }

  // --- elementwise and data movement ---

  void bias_gradient(Index rows, Index channels, const T* dy, Gradient<T> dbias) override {
    store(column_sums<T>({dy, rows, channels}), dbias);
  }
  void activation(const Activation& f, Index rows, Index channels, const T* x, T* y) override {
    activate<T>(f, {x, rows, channels}, {y, rows, channels});
  }
  void activation_backward(const Activation& f, Index rows, Index channels, const T* x, const T* y,
                           const T* dy, T* dx) override {
    activate_backward<T>(f, {x, rows, channels}, {y, rows, channels}, {dy, rows, channels},
                         {dx, rows, channels});
  }
  void affine(Index count, T scale, T offset, const T* x, T* y) override {
    Out(y, 1, count) = scale * In(x, 1, count) + offset;
  }
  void axpy(Index count, T alpha, const T* x, T* y) override { Out(y, 1, count) += alpha * In(x, 1, count); }
  void copy_block(Index rows, Index columns, const T* x, Index x_stride, T* y, Index y_stride) override {
    block(y, rows, columns, y_stride) = block(x, rows, columns, x_stride);
  }
  void pad2d(const Pad2DGeometry& g, const T* x, T* y) override {
    const Index inner = g.in_h * g.in_w * g.channels;
    Out(y, g.batch, padded_size(g)).setZero();
    for (Index n = 0; n < g.batch; ++n) inside(g, y, n) = In(x + n * inner, g.in_h, g.in_w * g.channels);
  }
  void pad2d_backward(const Pad2DGeometry& g, const T* dy, T* dx) override {
    const Index inner = g.in_h * g.in_w * g.channels;
    for (Index n = 0; n < g.batch; ++n) Out(dx + n * inner, g.in_h, g.in_w * g.channels) = inside(g, dy, n);
  }
  void load_pixels(const PixelGeometry& g, const PixelScaling& scaling, const PixelSampling& sampling,
                   const PixelWarp* warps, const std::uint8_t* x, T* y) override {
    Out to(y, g.batch * g.height * g.width, g.channels);
    if (warps)
      eigen::warp(pool_, g, sampling, warps, x, y);
    else
      to = ArrayMap<const std::uint8_t>(x, to.rows(), g.channels).template cast<T>();
    if (scaling.reverse_channels) to = to.rowwise().reverse().eval();
    for (Index c = 0; c < g.channels; ++c)
      to.col(c) = (T(scaling.scale) * to.col(c) - T(scaling.mean[c])) / T(scaling.std[c]);
  }
  void warp(const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp* warps, const T* x,
            T* y) override {
    eigen::warp(pool_, g, sampling, warps, x, y);
  }
  void adjust_pixels(const PixelGeometry& g, const PixelAdjustment* adjustments, const T* x, T* y) override {
    const Index pixels = g.height * g.width, size = pixels * g.channels;
    for (Index n = 0; size && n < g.batch; ++n) {
      const PixelAdjustment& a = adjustments[n];
      Out(y + n * size, pixels, g.channels) =
          adjusted<T>(a.contrast, a.brightness, In(x + n * size, pixels, g.channels))
              .max(T(a.least))
              .min(T(a.greatest));
    }
  }
  void adjust_pixels_backward(const PixelGeometry& g, const PixelAdjustment* adjustments, const T* x,
                              const T* dy, T* dx) override {
    const Index pixels = g.height * g.width, size = pixels * g.channels;
    for (Index n = 0; size && n < g.batch; ++n) {
      const PixelAdjustment& a = adjustments[n];
      const Array<T> y = adjusted<T>(a.contrast, a.brightness, In(x + n * size, pixels, g.channels));
      const Array<T> passed =
          (y < T(a.least) || y > T(a.greatest)).select(T(0), In(dy + n * size, pixels, g.channels));
      // Contrast is its own transpose.
      Out(dx + n * size, pixels, g.channels) =
          adjusted<T>(a.contrast, 0, In(passed.data(), pixels, g.channels));
    }
  }
  void dropout(Index count, double rate, const RandomStream& random, const T* x, T* y) override {
    const auto kept = [&](Index i) { return double(random.uniform(static_cast<std::uint64_t>(i))) >= rate; };
    Out(y, 1, count) = Row<bool>::NullaryExpr(count, kept).select(In(x, 1, count) / T(1 - rate), T(0));
  }

  // --- batch normalization ---

  void batch_norm(const BatchNormSpec<T>& spec, double momentum, const T* x, Moments<T> batch,
                  Moments<T> moving, T* y) override {
    take_moments<T>({x, spec.rows, spec.channels}, momentum, batch, moving);
    batch_norm_inference(spec, x, {batch.mean, batch.variance}, y);
  }
  void batch_norm_inference(const BatchNormSpec<T>& spec, const T* x, Moments<const T> moments,
                            T* y) override {
    normalize<T>(spec, {x, spec.rows, spec.channels}, moments, {y, spec.rows, spec.channels});
    if (spec.activation != Activation::linear) activation(spec.activation, spec.rows, spec.channels, y, y);
  }
  void batch_norm_backward(const BatchNormSpec<T>& spec, const T* x, Moments<const T> moments, bool fixed,
                           const T* dy, T* dx, Gradient<T> dgamma, Gradient<T> dbeta) override {
    eigen::batch_norm_backward<T>(spec, {x, spec.rows, spec.channels}, moments, fixed,
                                  {dy, spec.rows, spec.channels}, dx, dgamma, dbeta);
  }

  // --- losses, penalties, optimizers ---

  void loss(const LossSpec& spec, const Predictions<T>& of, double gradient_scale, T* losses,
            T* gradient) override {
    eigen::loss(spec, of, gradient_scale, losses, gradient);
  }
  void l1_l2_penalty(Index count, double l1, double l2, const T* w, T* gradient, double* to) override {
    const In weights(w, 1, count);
    if (gradient) Out(gradient, 1, count) += T(l1) * weights.sign() + T(2 * l2) * weights;
    const auto in_double = weights.template cast<double>();
    *to += l1 * in_double.abs().sum() + l2 * in_double.square().sum();
  }
  void optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                      std::span<const OptimizerUpdate<T>> updates) override {
    state->iteration += 1;
    for (const OptimizerUpdate<T>& update : updates) eigen::optimizer_step(spec, *state, update);
  }

  // --- sums ---

  void add_sum(Index count, double scale, const T* x, double* to) override {
    *to += scale * In(x, 1, count).template cast<double>().sum();
  }
  void add_sum_of_squares(Index count, const T* x, double* to) override {
    *to += In(x, 1, count).template cast<double>().square().sum();
  }

 private:
  /// A block whose rows lie `stride` elements apart.
  template <class U>
  static auto block(U* data, Index rows, Index columns, Index stride) {
    using Plain = std::conditional_t<std::is_const_v<U>, const Array<T>, Array<T>>;
    return Eigen::Map<Plain, 0, Eigen::OuterStride<>>(data, rows, columns, Eigen::OuterStride<>(stride));
  }
  static Index padded_size(const Pad2DGeometry& g) {
    return (g.in_h + g.top + g.bottom) * (g.in_w + g.left + g.right) * g.channels;
  }
  /// Image n of padded ones without its padding, [in_h, in_w * channels].
  template <class U>
  static auto inside(const Pad2DGeometry& g, U* padded, Index n) {
    const Index stride = (g.in_w + g.left + g.right) * g.channels;
    return block(padded + n * padded_size(g) + g.top * stride + g.left * g.channels, g.in_h,
                 g.in_w * g.channels, stride);
  }

  ThreadPool& pool_;
};

}}}  // namespace strata::STRATA_ABI::eigen
