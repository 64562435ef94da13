#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <strata/core/random.hpp>
#include <strata/tensor/activation.hpp>
#include <strata/tensor/device.hpp>
#include <strata/tensor/geometry.hpp>
#include <strata/tensor/metric_sums.hpp>
#include <strata/tensor/packed_weights.hpp>
#include <strata/tensor/pixels.hpp>
#include <strata/tensor/policy.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Where a gradient goes: written over, or added to what earlier uses of the same weight or value left.
template <class T>
struct Gradient {
  T* data = nullptr;
  bool accumulate = false;
};

/// What follows a convolution or a dense product before its result leaves the registers: activation(scale *
/// product + bias + residual), then pooling. Softmax is over the channels.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  ///< per output channel, or null
  Activation activation = Activation::linear;
  bool max_pool_2x2 = false;  ///< convolution only: 2x2 max-pooling with stride 2, incomplete windows dropped
  const T* scale = nullptr;   ///< per output channel, or null
  const T* residual = nullptr;  ///< of the result's shape (before pooling), or null
  /// x, or y, holds bfloat16 in the first half of its memory: only where the backend `takes_narrow`.
  bool narrow_x = false, narrow_y = false;
  /// With max_pool_2x2: told the places of the maxima, as by `pool2d`, or null. Only where the backend
  /// `remembers_maxima` of such a pooling, without scale and residual, and not behind a softmax.
  std::uint8_t* argmax = nullptr;
};

/// The pooling that max_pool_2x2 stands for.
constexpr Pool2DGeometry pooling_behind(const Conv2DGeometry& g) {
  return {g.batch, g.out_h, g.out_w, g.out_c, g.out_h / 2, g.out_w / 2, 2, 2, 2, 2, 0, 0};
}

/// How a backend computes a product, for people to see.
struct Algorithm {
  std::string name;                  ///< "winograd F(6x6,3x3)"; empty where it does not say
  std::int64_t packed_bytes = 0;     ///< what it derives from the weight and keeps beside it
  std::int64_t workspace_bytes = 0;  ///< scratch, of all threads together
};

enum class PoolKind { max, average };

/// Batch normalization of x [rows,channels]: y = activation(gamma (x - mean) / sqrt(variance + epsilon) +
/// beta).
template <class T>
struct BatchNormSpec {
  std::int64_t rows = 0, channels = 0;
  double epsilon = 0;
  const T* gamma = nullptr;  ///< [channels], or null: 1
  const T* beta = nullptr;   ///< [channels], or null: 0
  Activation activation = Activation::linear;
};
/// Mean and (biased) variance per channel.
template <class T>
struct Moments {
  T *mean = nullptr, *variance = nullptr;
};

enum class LossKind {
  binary_crossentropy,
  categorical_crossentropy,
  sparse_categorical_crossentropy,
  mean_squared_error,
  mean_absolute_error,
  huber
};
struct LossSpec {
  LossKind kind = LossKind::mean_squared_error;
  bool from_logits = false;
  double label_smoothing = 0;
  double delta = 1;  ///< huber: from this error on it grows linearly
};

enum class OptimizerKind { sgd, rmsprop, adam, adagrad, nadam };
/// One optimizer step; which fields count depends on the kind. Formulas are Keras's.
struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0;            ///< sgd, rmsprop
  bool nesterov = false;          ///< sgd
  double rho = 0;                 ///< rmsprop
  bool centered = false;          ///< rmsprop
  double beta_1 = 0, beta_2 = 0;  ///< adam, nadam
  bool amsgrad = false;           ///< adam
  double epsilon = 0;
  double initial_accumulator_value = 0;  ///< adagrad: where its slot starts
  double weight_decay = 0;  ///< decoupled: w -= learning_rate * weight_decay * w, before the step
  double clip_value = 0;    ///< gradients are clamped to +-clip_value; 0: not
  double clip_norm = 0;     ///< gradients are scaled down to this norm (see OptimizerUpdate); 0: not
};
/// What changes from step to step. It lies in device memory, so that a step asks the host for nothing and can
/// be recorded and replayed.
struct OptimizerState {
  double learning_rate = 0;
  double iteration = 0;  ///< steps done
  friend constexpr bool operator==(const OptimizerState&, const OptimizerState&) = default;
};
/// One weight of an optimizer step. Slots by kind: sgd {momentum}, rmsprop {velocity, momentum, average
/// gradient}, adam {first moment, second moment, maximum of the second}, adagrad {sum of squares}, nadam
/// {first moment, second moment}; unused ones are null.
template <class T>
struct OptimizerUpdate {
  std::int64_t size = 0;
  T* value = nullptr;
  const T* gradient = nullptr;
  T* slots[3] = {};
  const double* squares = nullptr;  ///< where clip_norm is set: the squared norm, in device memory
};

/// What a device computes, and in which order: the whole contract. One backend is one execution context
/// (`Device::make_backend`), used by one thread at a time; its work happens in the order of the calls, which
/// may return before it is done. Pointers are device memory, row-major NHWC, sizes already checked by ops/.
/// Outputs never overlap inputs unless a comment allows it. Results are the same bits for any number of
/// threads. Sums and norms are doubles that stay on the device.
template <class T>
class Backend {
 public:
  virtual ~Backend() = default;

  // --- memory, in order with the work ---
  /// `host` may be reused at once, except Device::host_memory: that is left alone until it is given back.
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  /// Waits for the bytes.
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void zero(void* device, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// Whether what it derives from a weight that `changes` is scratch of the call.
  virtual bool repacks() const { return false; }
  /// How products compute from now on; false, and in `T`, where the device cannot.
  virtual bool set_policy(Policy policy) { return policy == Policy::float32; }

  // --- convolution: x [n,h,w,ci], kernel [kh,kw,ci/groups,co] ---
  virtual void conv2d(const Conv2DGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
                      T* y) = 0;
  virtual void conv2d_backward_input(const Conv2DGeometry& g, const T* dy, WeightView<T> kernel,
                                     Gradient<T> dx) = 0;
  virtual void conv2d_backward_kernel(const Conv2DGeometry& g, const T* x, const T* dy,
                                      Gradient<T> dkernel) = 0;
  /// The gradients of the kernel and the bias, either of which may be left out (null): one pass over dy where
  /// the device can. With the `argmax` of the forward call, dy is that behind the pooling: only where the
  /// device `takes_pooled_gradient`.
  virtual void conv2d_backward_weights(const Conv2DGeometry& g, const T* x, const T* dy, Gradient<T> dkernel,
                                       Gradient<T> dbias, const std::uint8_t* argmax = nullptr) {
    (void)argmax;
    if (dkernel.data) conv2d_backward_kernel(g, x, dy, dkernel);
    if (dbias.data) bias_gradient(g.batch * g.out_h * g.out_w, g.out_c, dy, dbias);
  }
  /// Whether the gradients of weights can be had from the one behind a pooling.
  virtual bool takes_pooled_gradient(const Conv2DGeometry& g) const { return (void)g, false; }
  /// Whether `conv2d` takes this epilogue, which has narrow_x or narrow_y. The bits of what it computes are
  /// those that it computes from floats: it rounds these itself.
  virtual bool takes_narrow(const Conv2DGeometry& g, const Epilogue<T>& epilogue) const {
    return (void)g, (void)epilogue, false;
  }
  /// What `conv2d` will do.
  virtual Algorithm describe_conv2d(const Conv2DGeometry& g, const Epilogue<T>& epilogue) const {
    return (void)g, (void)epilogue, Algorithm{};
  }

  // --- pooling; the gradient of a maximum goes to its first occurrence in the window ---
  /// Unless null, `argmax` [y's elements] is told which element of its window each maximum is, counted
  /// row-major from 0 over those inside the image; only where the device remembers them.
  virtual void pool2d(const Pool2DGeometry& g, PoolKind kind, const T* x, T* y,
                      std::uint8_t* argmax = nullptr) = 0;
  /// x is what the activation `before` gave, whose derivative follows from that channel by channel: dx goes
  /// through it, too, and is the gradient in front of it. With the forward call's `argmax`, x is not read.
  virtual void pool2d_backward(const Pool2DGeometry& g, PoolKind kind, const Activation& before, const T* x,
                               const T* y, const T* dy, T* dx, const std::uint8_t* argmax = nullptr) = 0;
  /// Whether a backward pass by the places of these maxima is possible, and reads less memory.
  virtual bool remembers_maxima(const Pool2DGeometry& g) const { return (void)g, false; }

  // --- dense: x [rows,in], kernel [in,out], y [rows,out] ---
  virtual void dense(const DenseGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
                     T* y) = 0;
  virtual void dense_backward_input(const DenseGeometry& g, const T* dy, WeightView<T> kernel,
                                    Gradient<T> dx) = 0;
  virtual void dense_backward_kernel(const DenseGeometry& g, const T* x, const T* dy,
                                     Gradient<T> dkernel) = 0;
  /// What `dense` will do.
  virtual Algorithm describe_dense(const DenseGeometry& g) const { return (void)g, Algorithm{}; }

  // --- elementwise and data movement ---
  /// Sums of the columns of dy [rows,channels].
  virtual void bias_gradient(std::int64_t rows, std::int64_t channels, const T* dy, Gradient<T> dbias) = 0;
  /// y may be x.
  virtual void activation(const Activation& f, std::int64_t rows, std::int64_t channels, const T* x,
                          T* y) = 0;
  /// dx from the input x where `derivative_needs_input`, else from the output y; the other may be null. dx
  /// may be dy.
  virtual void activation_backward(const Activation& f, std::int64_t rows, std::int64_t channels, const T* x,
                                   const T* y, const T* dy, T* dx) = 0;
  /// y = scale * x + offset; y may be x.
  virtual void affine(std::int64_t count, T scale, T offset, const T* x, T* y) = 0;
  /// y += alpha * x.
  virtual void axpy(std::int64_t count, T alpha, const T* x, T* y) = 0;
  /// Copies a [rows,columns] block between matrices whose rows are `x_stride` and `y_stride` elements apart;
  /// with an x_stride of 0 one row is repeated.
  virtual void copy_block(std::int64_t rows, std::int64_t columns, const T* x, std::int64_t x_stride, T* y,
                          std::int64_t y_stride) = 0;
  virtual void pad2d(const Pad2DGeometry& g, const T* x, T* y) = 0;
  virtual void pad2d_backward(const Pad2DGeometry& g, const T* dy, T* dx) = 0;
  /// The one way from bytes to a network's input: y from pictures x, each by its own warp (`warps` [batch],
  /// in device memory; null: none), then scaled. At most 4 channels.
  virtual void load_pixels(const PixelGeometry& g, const PixelScaling& scaling, const PixelSampling& sampling,
                           const PixelWarp* warps, const std::uint8_t* x, T* y) = 0;
  /// The same for values that are no bytes, unscaled, with any number of channels.
  virtual void warp(const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp* warps, const T* x,
                    T* y) = 0;
  /// Each picture by its own adjustment (`adjustments` [batch], in device memory).
  virtual void adjust_pixels(const PixelGeometry& g, const PixelAdjustment* adjustments, const T* x,
                             T* y) = 0;
  /// Where y is clipped, dy does not count; dx may be dy.
  virtual void adjust_pixels_backward(const PixelGeometry& g, const PixelAdjustment* adjustments, const T* x,
                                      const T* dy, T* dx) = 0;
  /// Inverted dropout: y[i] = random.uniform(i) >= rate ? x[i] / (1 - rate) : 0. Its backward pass is the
  /// same call. y may be x.
  virtual void dropout(std::int64_t count, double rate, const RandomStream& random, const T* x, T* y) = 0;

  // --- batch normalization ---
  /// By the moments of the rows, which it writes to `batch`; moving = momentum * moving + (1 - momentum) *
  /// batch.
  virtual void batch_norm(const BatchNormSpec<T>& spec, double momentum, const T* x, Moments<T> batch,
                          Moments<T> moving, T* y) = 0;
  /// By given moments.
  virtual void batch_norm_inference(const BatchNormSpec<T>& spec, const T* x, Moments<const T> moments,
                                    T* y) = 0;
  /// From dy behind the activation. dx through the batch's own moments or, where they are `fixed`, through
  /// given ones. dx, dgamma.data, dbeta.data may be null.
  virtual void batch_norm_backward(const BatchNormSpec<T>& spec, const T* x, Moments<const T> moments,
                                   bool fixed, const T* dy, T* dx, Gradient<T> dgamma, Gradient<T> dbeta) = 0;

  // --- sums ---
  /// *to += scale * sum(x).
  virtual void add_sum(std::int64_t count, double scale, const T* x, double* to) = 0;
  /// *to += sum(x^2).
  virtual void add_sum_of_squares(std::int64_t count, const T* x, double* to) = 0;
  /// *to += alpha * *x.
  virtual void add_scalar(double alpha, const double* x, double* to) = 0;
  /// See `tensor/metric_sums.hpp`.
  virtual void add_row_metric(const RowMetricSpec& spec, const Predictions<T>& of, double* sums) = 0;
  virtual void add_confusion(const ConfusionSpec& spec, const Predictions<T>& of, double* sums) = 0;

  // --- losses, penalties, optimizers ---
  /// Weighted loss per row, as Keras defines it before reduction, and, unless null, gradient =
  /// gradient_scale * d(sum of losses) / d(prediction). sparse_categorical_crossentropy takes class numbers.
  virtual void loss(const LossSpec& spec, const Predictions<T>& of, double gradient_scale, T* losses,
                    T* gradient) = 0;
  /// *to += l1 * sum|w| + l2 * sum w^2; adds its gradient to `gradient`, unless that is null.
  virtual void l1_l2_penalty(std::int64_t count, double l1, double l2, const T* w, T* gradient,
                             double* to) = 0;
  /// Counts the step in `state` and updates all weights, each touched once.
  virtual void optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                              std::span<const OptimizerUpdate<T>> updates) = 0;
};

inline std::unique_ptr<Backend<float>> Device::make_backend_float() {
  throw DeviceError(concat("[device] ", description(), " does not compute in float"));
}
inline std::unique_ptr<Backend<double>> Device::make_backend_double() {
  throw DeviceError(concat("[device] ", description(), " does not compute in double"));
}
template <>
inline std::unique_ptr<Backend<float>> Device::make_backend<float>() {
  return make_backend_float();
}
template <>
inline std::unique_ptr<Backend<double>> Device::make_backend<double>() {
  return make_backend_double();
}

}}  // namespace strata::STRATA_ABI
