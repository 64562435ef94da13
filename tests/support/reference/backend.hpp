#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include <strata/tensor/backend.hpp>

#include "support/bfloat16.hpp"
#include "support/reference/memory.hpp"

namespace strata_test {

using namespace strata;

/// Backend<T> in plain loops: inputs are read as T, everything between is double, results are rounded once.
template <class T>
class ReferenceBackend final : public Backend<T> {
  using Int = std::int64_t;
  using Access = ReferenceMemory::Access;

 public:
  explicit ReferenceBackend(ReferenceMemory& memory) : memory_(memory) {}

  void upload(void* device, const void* host, std::size_t bytes) override {
    const Access access(memory_, {device});
    std::memcpy(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes) override {
    ++memory_.counts.downloads;
    const Access access(memory_, {device});
    std::memcpy(host, device, bytes);
  }
  void zero(void* device, std::size_t bytes) override {
    const Access access(memory_, {device});
    std::memset(device, 0, bytes);
  }
  void synchronize() override {}

  /// In mixed_bfloat16 the inputs of convolutions are rounded, which is enough to keep them so.
  bool set_policy(Policy policy) override {
    narrow_ = policy == Policy::mixed_bfloat16 && std::is_same_v<T, float>;
    return narrow_ || policy == Policy::float32;
  }

  // --- convolution ---

  bool takes_narrow(const Conv2DGeometry& g, const Epilogue<T>&) const override {
    return narrow_ && g.groups == 1;
  }
  void conv2d(const Conv2DGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
              T* y) override {
    const Access access(
        memory_, {x, kernel.data, epilogue.bias, epilogue.scale, epilogue.residual, epilogue.argmax, y});
    if (!narrow_) return convolve(g, x, kernel, epilogue, y);
    const Int shrink = epilogue.max_pool_2x2 ? 2 : 1;
    std::vector<T> in(g.batch * g.in_h * g.in_w * g.in_c),
        out(g.batch * (g.out_h / shrink) * (g.out_w / shrink) * g.out_c);
    for (std::size_t i = 0; i < in.size(); ++i)
      in[i] = T(epilogue.narrow_x ? narrow_at(x, i) : rounded(double(x[i])));
    convolve(g, in.data(), kernel, epilogue, out.data());
    memory_.counts.narrow_inputs += epilogue.narrow_x;
    if (!epilogue.narrow_y) return void(std::copy(out.begin(), out.end(), y));
    std::fill_n(y, out.size(), std::numeric_limits<T>::quiet_NaN());
    for (std::size_t i = 0; i < out.size(); ++i) put_narrow(double(out[i]), y, i);
  }
  static void convolve(const Conv2DGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
                       T* y) {
    std::vector<double> image(g.out_h * g.out_w * g.out_c);  // of one sample, before pooling
    Epilogue<T> part = epilogue;
    for (Int n = 0; n < g.batch; ++n) {
      if (epilogue.residual) part.residual = epilogue.residual + n * g.out_h * g.out_w * g.out_c;
      std::fill(image.begin(), image.end(), 0.0);
      for_taps(g, [&](Int in, Int tap, Int out) {
        for_channels(g, [&](Int first, Int ci, Int co) {
          image[out * g.out_c + co] += double(x[(n * g.in_h * g.in_w + in) * g.in_c + first + ci]) *
                                       double(kernel.data[(tap * g.group_in() + ci) * g.out_c + co]);
        });
      });
      finish(part, g.out_h * g.out_w, g.out_c, image);
      if (!epilogue.max_pool_2x2) {
        store(image, y + n * g.out_h * g.out_w * g.out_c);
        continue;
      }
      const Int rows = g.out_h / 2, columns = g.out_w / 2;
      for (Int i = 0; i < rows; ++i)
        for (Int j = 0; j < columns; ++j)
          for (Int c = 0; c < g.out_c; ++c) {
            const double* corner = &image[(2 * i * g.out_w + 2 * j) * g.out_c + c];
            const double window[] = {corner[0], corner[g.out_c], corner[g.out_w * g.out_c],
                                     corner[(g.out_w + 1) * g.out_c]};
            double best = window[0];
            for (const double value : window) best = maximum(best, value);
            const Int out = ((n * rows + i) * columns + j) * g.out_c + c;
            y[out] = T(best);
            const auto is_best = [&](double v) { return v == best || (std::isnan(v) && std::isnan(best)); };
            if (epilogue.argmax)
              epilogue.argmax[out] = std::uint8_t(std::find_if(window, window + 4, is_best) - window);
          }
    }
  }

  void conv2d_backward_input(const Conv2DGeometry& g, const T* dy, WeightView<T> kernel,
                             Gradient<T> dx) override {
    const Access access(memory_, {dy, kernel.data, dx.data});
    std::vector<double> image(g.in_h * g.in_w * g.in_c);  // the gradient of one sample
    for (Int n = 0; n < g.batch; ++n) {
      std::fill(image.begin(), image.end(), 0.0);
      for_taps(g, [&](Int in, Int tap, Int out) {
        for_channels(g, [&](Int first, Int ci, Int co) {
          image[in * g.in_c + first + ci] += double(dy[(n * g.out_h * g.out_w + out) * g.out_c + co]) *
                                             double(kernel.data[(tap * g.group_in() + ci) * g.out_c + co]);
        });
      });
      store(image, Gradient<T>{dx.data + n * g.in_h * g.in_w * g.in_c, dx.accumulate});
    }
  }

  void conv2d_backward_kernel(const Conv2DGeometry& g, const T* x, const T* dy,
                              Gradient<T> dkernel) override {
    const Access access(memory_, {x, dy, dkernel.data});
    std::vector<double> sums(g.kernel_h * g.kernel_w * g.group_in() * g.out_c);
    for (Int n = 0; n < g.batch; ++n)
      for_taps(g, [&](Int in, Int tap, Int out) {
        for_channels(g, [&](Int first, Int ci, Int co) {
          sums[(tap * g.group_in() + ci) * g.out_c + co] +=
              double(x[(n * g.in_h * g.in_w + in) * g.in_c + first + ci]) *
              double(dy[(n * g.out_h * g.out_w + out) * g.out_c + co]);
        });
      });
    store(sums, dkernel);
  }

  // --- pooling ---

  bool remembers_maxima(const Pool2DGeometry& g) const override { return g.pool_h * g.pool_w <= 256; }
  void pool2d(const Pool2DGeometry& g, PoolKind kind, const T* x, T* y, std::uint8_t* argmax) override {
    const Access access(memory_, {x, y, argmax});
    for_windows(g, [&](Int out, const std::vector<Int>& window) {
      if (kind == PoolKind::max) {
        double best = -std::numeric_limits<double>::infinity();
        for (const Int in : window) best = maximum(best, x[in]);
        y[out] = T(best);
        if (argmax) argmax[out] = std::uint8_t(first_maximum(window, x, y[out]));
      } else {
        double sum = 0;
        for (const Int in : window) sum += x[in];
        y[out] = T(sum / double(window.size()));
      }
    });
  }

  void pool2d_backward(const Pool2DGeometry& g, PoolKind kind, const Activation& before, const T* x,
                       const T* y, const T* dy, T* dx, const std::uint8_t* argmax) override {
    const Access access(memory_, {x, y, dy, dx, argmax});
    std::vector<double> sums(g.batch * g.in_h * g.in_w * g.channels);
    std::vector<T> maxima(argmax ? sums.size() : 0);  // all of x that counts
    for_windows(g, [&](Int out, const std::vector<Int>& window) {
      if (kind == PoolKind::max) {
        const Int place = argmax ? argmax[out] : first_maximum(window, x, y[out]);
        if (place < Int(window.size())) sums[window[place]] += dy[out];
        if (argmax) maxima[window[place]] = y[out];
      } else {
        for (const Int in : window) sums[in] += double(dy[out]) / double(window.size());
      }
    });
    store(sums, dx);
    differentiate(before, g.batch * g.in_h * g.in_w, g.channels, nullptr, argmax ? maxima.data() : x, dx, dx);
  }

  // --- dense ---

  void dense(const DenseGeometry& g, const T* x, WeightView<T> kernel, const Epilogue<T>& epilogue,
             T* y) override {
    const Access access(memory_, {x, kernel.data, epilogue.bias, epilogue.scale, epilogue.residual, y});
    const auto [rows, in, out] = g;
    std::vector<double> result(rows * out);
    for (Int r = 0; r < rows; ++r)
      for (Int i = 0; i < in; ++i)
        for (Int o = 0; o < out; ++o)
          result[r * out + o] += double(x[r * in + i]) * double(kernel.data[i * out + o]);
    finish(epilogue, rows, out, result);
    store(result, y);
  }

  void dense_backward_input(const DenseGeometry& g, const T* dy, WeightView<T> kernel,
                            Gradient<T> dx) override {
    const Access access(memory_, {dy, kernel.data, dx.data});
    const auto [rows, in, out] = g;
    std::vector<double> sums(rows * in);
    for (Int r = 0; r < rows; ++r)
      for (Int i = 0; i < in; ++i)
        for (Int o = 0; o < out; ++o)
          sums[r * in + i] += double(dy[r * out + o]) * double(kernel.data[i * out + o]);
    store(sums, dx);
  }

  void dense_backward_kernel(const DenseGeometry& g, const T* x, const T* dy, Gradient<T> dkernel) override {
    const Access access(memory_, {x, dy, dkernel.data});
    const auto [rows, in, out] = g;
    std::vector<double> sums(in * out);
    for (Int r = 0; r < rows; ++r)
      for (Int i = 0; i < in; ++i)
        for (Int o = 0; o < out; ++o) sums[i * out + o] += double(x[r * in + i]) * double(dy[r * out + o]);
    store(sums, dkernel);
  }

  // --- elementwise and data movement ---

  void bias_gradient(Int rows, Int channels, const T* dy, Gradient<T> dbias) override {
    const Access access(memory_, {dy, dbias.data});
    store(column_sums(rows, channels, [&](Int i, Int) { return double(dy[i]); }), dbias);
  }

  void activation(const Activation& f, Int rows, Int channels, const T* x, T* y) override {
    const Access access(memory_, {x, y});
    std::vector<double> values(x, x + rows * channels);
    finish({.activation = f}, rows, channels, values);
    store(values, y);
  }

  void activation_backward(const Activation& f, Int rows, Int channels, const T* x, const T* y, const T* dy,
                           T* dx) override {
    const Access access(memory_, {x, y, dy, dx});
    differentiate(f, rows, channels, x, y, dy, dx);
  }
  static void differentiate(const Activation& f, Int rows, Int channels, const T* x, const T* y, const T* dy,
                            T* dx) {
    const T* const from = derivative_needs_input(f.kind) ? x : y;
    for (Int r = 0; r < rows; ++r) {
      double dot = 0;  // sum of y * dy over the channels, for softmax
      for (Int i = r * channels; i < (r + 1) * channels; ++i) dot += double(from[i]) * double(dy[i]);
      for (Int i = r * channels; i < (r + 1) * channels; ++i) {
        const double value = from[i], gradient = dy[i];
        switch (f.kind) {
          case Activation::Kind::linear:
            dx[i] = T(gradient);
            break;
          case Activation::Kind::relu:
            dx[i] = T(value > 0 ? gradient : 0);
            break;
          case Activation::Kind::leaky_relu:
            dx[i] = T(value > 0 ? gradient : f.negative_slope * gradient);
            break;
          case Activation::Kind::elu:
            dx[i] = T(value < 0 ? (value + 1) * gradient : gradient);
            break;
          case Activation::Kind::sigmoid:
            dx[i] = T(value * (1 - value) * gradient);
            break;
          case Activation::Kind::tanh:
            dx[i] = T((1 - value * value) * gradient);
            break;
          case Activation::Kind::relu6:
            dx[i] = T(value > 0 && value < 6 ? gradient : 0);
            break;
          case Activation::Kind::silu:
            dx[i] = T(sigmoid(value) * (1 + value * sigmoid(-value)) * gradient);
            break;
          case Activation::Kind::gelu: {
            const double density = std::exp(-value * value / 2) / std::sqrt(2 * std::numbers::pi);
            dx[i] = T((normal_cdf(value) + value * density) * gradient);
            break;
          }
          case Activation::Kind::selu:
            dx[i] = T((value < 0 ? value + selu_scale * selu_alpha : selu_scale) * gradient);
            break;
          case Activation::Kind::softplus:
            dx[i] = T(-std::expm1(-value) * gradient);
            break;
          case Activation::Kind::softsign:
            dx[i] = T((1 - std::fabs(value)) * (1 - std::fabs(value)) * gradient);
            break;
          case Activation::Kind::hard_sigmoid:
            dx[i] = T(value > 0 && value < 1 ? gradient / 6 : 0);
            break;
          case Activation::Kind::mish: {
            const double t = std::tanh(softplus(value));
            dx[i] = T((t + value * (1 - t * t) * sigmoid(value)) * gradient);
            break;
          }
          case Activation::Kind::softmax:
            dx[i] = T(value * (gradient - dot));
            break;
        }
      }
    }
  }

  void affine(Int count, T scale, T offset, const T* x, T* y) override {
    const Access access(memory_, {x, y});
    for (Int i = 0; i < count; ++i) y[i] = T(double(scale) * double(x[i]) + double(offset));
  }

  void axpy(Int count, T alpha, const T* x, T* y) override {
    const Access access(memory_, {x, y});
    for (Int i = 0; i < count; ++i) y[i] = T(double(y[i]) + double(alpha) * double(x[i]));
  }

  void copy_block(Int rows, Int columns, const T* x, Int x_stride, T* y, Int y_stride) override {
    const Access access(memory_, {x, y});
    for (Int r = 0; r < rows; ++r)
      for (Int c = 0; c < columns; ++c) y[r * y_stride + c] = x[r * x_stride + c];
  }

  void pad2d(const Pad2DGeometry& g, const T* x, T* y) override {
    const Access access(memory_, {x, y});
    std::fill_n(y, g.batch * (g.in_h + g.top + g.bottom) * (g.in_w + g.left + g.right) * g.channels, T(0));
    for_padded(g, [&](Int inner, Int outer) { y[outer] = x[inner]; });
  }

  void pad2d_backward(const Pad2DGeometry& g, const T* dy, T* dx) override {
    const Access access(memory_, {dy, dx});
    for_padded(g, [&](Int inner, Int outer) { dx[inner] = dy[outer]; });
  }

  void load_pixels(const PixelGeometry& g, const PixelScaling& scaling, const PixelSampling& sampling,
                   const PixelWarp* warps, const std::uint8_t* x, T* y) override {
    const Access access(memory_, {warps, x, y});
    std::vector<double> values(x, x + g.batch * g.height * g.width * g.channels);
    if (warps) values = warped(g, sampling, warps, x);
    for (Int p = 0; p < g.batch * g.height * g.width; ++p)
      for (Int c = 0; c < g.channels; ++c) {
        const Int from = scaling.reverse_channels ? g.channels - 1 - c : c;
        const double value = double(scaling.scale) * values[p * g.channels + from] - double(scaling.mean[c]);
        y[p * g.channels + c] = T(value / double(scaling.std[c]));
      }
  }

  void warp(const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp* warps, const T* x,
            T* y) override {
    const Access access(memory_, {warps, x, y});
    store(warped(g, sampling, warps, x), y);
  }

  void adjust_pixels(const PixelGeometry& g, const PixelAdjustment* adjustments, const T* x, T* y) override {
    const Access access(memory_, {adjustments, x, y});
    std::vector<double> values = adjusted(g, adjustments, x, true);
    const Int size = g.height * g.width * g.channels;
    for (Int i = 0; i < Int(values.size()); ++i)
      values[i] = std::clamp(values[i], adjustments[i / size].least, adjustments[i / size].greatest);
    store(values, y);
  }

  void adjust_pixels_backward(const PixelGeometry& g, const PixelAdjustment* adjustments, const T* x,
                              const T* dy, T* dx) override {
    const Access access(memory_, {adjustments, x, dy, dx});
    const std::vector<double> y = adjusted(g, adjustments, x, true);
    std::vector<double> passed(dy, dy + y.size());
    const Int size = g.height * g.width * g.channels;
    for (Int i = 0; i < Int(y.size()); ++i)
      if (y[i] < adjustments[i / size].least || y[i] > adjustments[i / size].greatest) passed[i] = 0;
    store(adjusted(g, adjustments, passed.data(), false), dx);  // contrast is its own transpose
  }

  void dropout(Int count, double rate, const RandomStream& random, const T* x, T* y) override {
    const Access access(memory_, {x, y});
    for (Int i = 0; i < count; ++i) {
      const bool kept = double(random.uniform(static_cast<std::uint64_t>(i))) >= rate;
      y[i] = T(kept ? double(x[i]) / (1 - rate) : 0);
    }
  }

  // --- batch normalization ---

  void batch_norm(const BatchNormSpec<T>& spec, double momentum, const T* x, Moments<T> batch,
                  Moments<T> moving, T* y) override {
    const Access access(
        memory_, {x, batch.mean, batch.variance, moving.mean, moving.variance, spec.gamma, spec.beta, y});
    const Int rows = spec.rows, channels = spec.channels;
    std::vector<double> means = column_sums(rows, channels, [&](Int i, Int) { return double(x[i]); });
    for (double& m : means) m /= double(rows);
    std::vector<double> variances = column_sums(
        rows, channels, [&](Int i, Int c) { return (double(x[i]) - means[c]) * (double(x[i]) - means[c]); });
    for (double& v : variances) v /= double(rows);
    normalize(spec, x, means, variances, y);
    store(means, batch.mean);
    store(variances, batch.variance);
    for (Int c = 0; c < channels; ++c) {
      moving.mean[c] = T(momentum * double(moving.mean[c]) + (1 - momentum) * means[c]);
      moving.variance[c] = T(momentum * double(moving.variance[c]) + (1 - momentum) * variances[c]);
    }
  }

  void batch_norm_inference(const BatchNormSpec<T>& spec, const T* x, Moments<const T> moments,
                            T* y) override {
    const Access access(memory_, {x, spec.gamma, spec.beta, moments.mean, moments.variance, y});
    normalize(spec, x, {moments.mean, moments.mean + spec.channels},
              {moments.variance, moments.variance + spec.channels}, y);
  }

  void batch_norm_backward(const BatchNormSpec<T>& spec, const T* x, Moments<const T> moments, bool fixed,
                           const T* dy, T* dx, Gradient<T> dgamma, Gradient<T> dbeta) override {
    const T *mean = moments.mean, *variance = moments.variance, *gamma = spec.gamma;
    const Int rows = spec.rows, channels = spec.channels;
    const Access access(memory_, {x, gamma, mean, variance, dy, dx, dgamma.data, dbeta.data});
    const auto inverse_deviation = [&](Int c) { return 1 / std::sqrt(double(variance[c]) + spec.epsilon); };
    const auto normalized = [&](Int i, Int c) {
      return (double(x[i]) - double(mean[c])) * inverse_deviation(c);
    };
    const std::vector<double> sum_dy = column_sums(rows, channels, [&](Int i, Int) { return double(dy[i]); });
    const std::vector<double> sum_dy_x =
        column_sums(rows, channels, [&](Int i, Int c) { return double(dy[i]) * normalized(i, c); });
    if (dx)
      for (Int r = 0; r < rows; ++r)
        for (Int c = 0; c < channels; ++c) {
          const Int i = r * channels + c;
          double gradient = dy[i];
          if (!fixed) gradient -= (sum_dy[c] + normalized(i, c) * sum_dy_x[c]) / double(rows);
          dx[i] = T(gradient * inverse_deviation(c) * (gamma ? double(gamma[c]) : 1));
        }
    if (dgamma.data) store(sum_dy_x, dgamma);
    if (dbeta.data) store(sum_dy, dbeta);
  }

  // --- losses, penalties, optimizers ---

  void loss(const LossSpec& spec, const Predictions<T>& of, double gradient_scale, T* losses,
            T* gradient) override {
    const Access access(memory_, {of.values, of.target, of.sample_weight, losses, gradient});
    const Int classes = of.classes;
    const T *prediction = of.values, *target = of.target;
    const bool sparse = spec.kind == LossKind::sparse_categorical_crossentropy;
    for (Int r = 0; r < of.rows; ++r) {
      std::vector<double> p(prediction + r * classes, prediction + (r + 1) * classes), t(classes), dp;
      for (Int c = 0; c < classes; ++c)
        t[c] = sparse ? double(c == Int(target[r])) : double(target[r * classes + c]);
      if (spec.kind == LossKind::binary_crossentropy)
        for (double& v : t) v = v * (1 - spec.label_smoothing) + 0.5 * spec.label_smoothing;
      if (spec.kind == LossKind::categorical_crossentropy)
        for (double& v : t) v = v * (1 - spec.label_smoothing) + spec.label_smoothing / double(classes);
      double value = row_loss(spec, p, t, dp);
      if (sparse && !(target[r] >= 0 && target[r] < T(classes))) {  // no such class
        value = std::numeric_limits<double>::quiet_NaN();
        dp.assign(classes, value);
      }
      losses[r] = T(value * of.weight(r));
      if (gradient)
        for (Int c = 0; c < classes; ++c)
          gradient[r * classes + c] = T(dp[c] * of.weight(r) * gradient_scale);
    }
  }

  void l1_l2_penalty(Int count, double l1, double l2, const T* w, T* gradient, double* to) override {
    const Access access(memory_, {w, gradient, to});
    for (Int i = 0; i < count; ++i) {
      const double value = w[i];
      *to += l1 * std::fabs(value) + l2 * value * value;
      if (gradient)
        gradient[i] = T(double(gradient[i]) + l1 * double((value > 0) - (value < 0)) + 2 * l2 * value);
    }
  }

  void add_sum(Int count, double scale, const T* x, double* to) override {
    const Access access(memory_, {x, to});
    for (Int i = 0; i < count; ++i) *to += scale * double(x[i]);
  }

  void add_sum_of_squares(Int count, const T* x, double* to) override {
    const Access access(memory_, {x, to});
    for (Int i = 0; i < count; ++i) *to += double(x[i]) * double(x[i]);
  }

  void add_scalar(double alpha, const double* x, double* to) override {
    const Access access(memory_, {x, to});
    *to += alpha * *x;
  }

  void add_row_metric(const RowMetricSpec& spec, const Predictions<T>& of, double* sums) override {
    const Access access(memory_, {of.values, of.target, of.sample_weight, sums});
    strata::add_row_metric(spec, of, sums);
  }

  void add_confusion(const ConfusionSpec& spec, const Predictions<T>& of, double* sums) override {
    const Access access(memory_, {of.values, of.target, of.sample_weight, sums});
    strata::add_confusion(spec, of, sums);
  }

  void optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                      std::span<const OptimizerUpdate<T>> updates) override {
    const Access counted(memory_, {state});
    state->iteration += 1;
    const Powers powers(spec, state->iteration);
    for (const OptimizerUpdate<T>& u : updates) {
      const Access access(memory_, {u.value, u.gradient, u.slots[0], u.slots[1], u.slots[2], u.squares});
      const double norm = spec.clip_norm > 0 ? std::sqrt(*u.squares) : 0;
      for (Int i = 0; i < u.size; ++i) {
        double g = double(u.gradient[i]);
        if (norm > spec.clip_norm) g *= spec.clip_norm / norm;
        if (spec.clip_value > 0) g = std::clamp(g, -spec.clip_value, spec.clip_value);
        double slots[3] = {};
        for (int s = 0; s < 3; ++s)
          if (u.slots[s]) slots[s] = u.slots[s][i];
        double w = u.value[i];
        w -= state->learning_rate * spec.weight_decay * w;
        w += step(spec, state->learning_rate, powers, g, slots);
        u.value[i] = T(w);
        for (int s = 0; s < 3; ++s)
          if (u.slots[s]) u.slots[s][i] = T(slots[s]);
      }
    }
  }

 private:
  // NaN wins, as it must not be lost on its way to the loss.
  static double maximum(double a, double b) { return std::isnan(a) || a > b ? a : b; }

  static void store(const std::vector<double>& from, T* to) {
    std::transform(from.begin(), from.end(), to, [](double value) { return T(value); });
  }
  static void store(const std::vector<double>& from, Gradient<T> to) {
    for (std::size_t i = 0; i < from.size(); ++i)
      to.data[i] = T(from[i] + (to.accumulate ? double(to.data[i]) : 0));
  }

  /// Calls f(input pixel, kernel tap, output pixel) for every tap that meets the image, padding left out.
  template <class F>
  static void for_taps(const Conv2DGeometry& g, F f) {
    for (Int oy = 0; oy < g.out_h; ++oy)
      for (Int ox = 0; ox < g.out_w; ++ox)
        for (Int ky = 0; ky < g.kernel_h; ++ky)
          for (Int kx = 0; kx < g.kernel_w; ++kx) {
            const Int iy = oy * g.stride_h - g.pad_top + ky * g.dilation_h;
            const Int ix = ox * g.stride_w - g.pad_left + kx * g.dilation_w;
            if (iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w) continue;
            f(iy * g.in_w + ix, ky * g.kernel_w + kx, oy * g.out_w + ox);
          }
  }

  /// Calls f(the group's first input channel, input channel in its group, output channel) for every pair of a
  /// group's channels.
  template <class F>
  static void for_channels(const Conv2DGeometry& g, F f) {
    for (Int group = 0; group < g.groups; ++group)
      for (Int ci = 0; ci < g.group_in(); ++ci)
        for (Int co = group * g.group_out(); co < (group + 1) * g.group_out(); ++co)
          f(group * g.group_in(), ci, co);
  }

  static Int first_maximum(const std::vector<Int>& window, const T* x, T y) {
    return std::find_if(window.begin(), window.end(),
                        [&](Int in) { return x[in] == y || std::isnan(x[in]); }) -
           window.begin();
  }
  /// Calls f(output element, input elements of its window in row-major order).
  template <class F>
  static void for_windows(const Pool2DGeometry& g, F f) {
    std::vector<Int> window;
    for (Int n = 0; n < g.batch; ++n)
      for (Int oy = 0; oy < g.out_h; ++oy)
        for (Int ox = 0; ox < g.out_w; ++ox)
          for (Int c = 0; c < g.channels; ++c) {
            window.clear();
            for (Int ky = 0; ky < g.pool_h; ++ky)
              for (Int kx = 0; kx < g.pool_w; ++kx) {
                const Int iy = oy * g.stride_h - g.pad_top + ky, ix = ox * g.stride_w - g.pad_left + kx;
                if (iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w) continue;
                window.push_back(((n * g.in_h + iy) * g.in_w + ix) * g.channels + c);
              }
            f(((n * g.out_h + oy) * g.out_w + ox) * g.channels + c, window);
          }
  }

  /// One of the two pixels that lie around a place along one axis, and how much of it there is; -1 is
  /// outside.
  struct Neighbour {
    Int index;
    double share;
  };
  static std::array<Neighbour, 2> neighbours(double at, Int size, const PixelSampling& sampling) {
    const bool scipy = sampling.edges == EdgeRule::scipy, constant = sampling.fill_mode == FillMode::constant;
    const double last = double(size - 1), period = sampling.fill_mode == FillMode::wrap ? last : 2.0 * size;
    if (constant && scipy && !(at >= 0 && at <= last)) return {{{-1, 1}, {-1, 0}}};
    if (sampling.fill_mode == FillMode::nearest) at = std::clamp(at, 0.0, last);
    if (sampling.fill_mode == FillMode::reflect) {
      at = std::fmod(at < 0 ? -at - 1 : at, period);
      if (at > last + 0.5) at = period - 1 - at;
    }
    if (sampling.fill_mode == FillMode::wrap && (at < 0 || at > last)) {
      // At whole periods the last pixel is taken below the picture, the first above it.
      const double periods = at < 0 ? -std::floor(-at / period) - 1 : std::floor(at / period);
      at = size == 1 ? 0 : at - (scipy ? period : double(size)) * periods;
    }
    if (!constant && sampling.fill_mode != FillMode::reflect) at = std::clamp(at, 0.0, last);
    if (sampling.interpolation == Interpolation::nearest) at = scipy ? std::floor(at + 0.5) : std::round(at);
    if (!(std::abs(at) < 1e9)) return {{{-1, 1}, {-1, 0}}};
    const double low = std::floor(at);
    const auto index = [&](double i) {
      return constant ? (i >= 0 && i <= last ? Int(i) : -1) : Int(std::clamp(i, 0.0, last));
    };
    return {{{index(low), 1 - (at - low)}, {index(low + 1), at - low}}};
  }

  template <class X>
  static std::vector<double> warped(const PixelGeometry& g, const PixelSampling& sampling,
                                    const PixelWarp* warps, const X* x) {
    std::vector<double> out;
    for (Int n = 0; n < g.batch; ++n, x += g.height * g.width * g.channels) {
      const PixelWarp& warp = warps[n];
      const auto begin = out.size();
      for (Int i = 0; i < g.height * g.width; ++i) {
        const double row = double(warp.flip_vertical ? g.height - 1 - i / g.width : i / g.width);
        const double column = double(warp.flip_horizontal ? g.width - 1 - i % g.width : i % g.width);
        const double* const m = warp.matrix;
        const auto rows = neighbours(m[2] + row * m[0] + column * m[1], g.height, sampling);
        const auto columns = neighbours(m[5] + row * m[3] + column * m[4], g.width, sampling);
        for (Int c = 0; c < g.channels; ++c) {
          double sum = 0;
          for (const Neighbour& r : rows)
            for (const Neighbour& k : columns) {
              const bool outside = r.index < 0 || k.index < 0;
              if (r.share * k.share != 0)  // what has no part in it may be NaN
                sum += r.share * k.share *
                       double(outside ? sampling.cval : x[(r.index * g.width + k.index) * g.channels + c]);
            }
          out.push_back(sum);
        }
      }
      const auto [low, high] = std::minmax_element(out.begin() + begin, out.end());
      if (warp.channel_shift != 0)
        std::transform(out.begin() + begin, out.end(), out.begin() + begin,
                       [low = *low, high = *high, &warp](double v) {
                         return std::clamp(v + double(warp.channel_shift), low, high);
                       });
      if (warp.brightness != 1)
        for (auto i = begin; i < out.size(); ++i) {
          const bool alpha = g.channels == 4 && i % 4 == 3;
          const double whole = std::floor(std::clamp(double(float(out[i])), 0.0, 255.0));
          out[i] = alpha ? whole : std::floor(std::clamp(double(warp.brightness * float(whole)), 0.0, 255.0));
        }
    }
    return out;
  }

  template <class X>
  static std::vector<double> adjusted(const PixelGeometry& g, const PixelAdjustment* adjustments, const X* x,
                                      bool brightness) {
    const Int pixels = g.height * g.width;
    std::vector<double> out;
    for (Int n = 0; n < g.batch; ++n, x += pixels * g.channels) {
      const auto sums = column_sums(pixels, g.channels, [&](Int i, Int) { return double(x[i]); });
      for (Int i = 0; i < pixels * g.channels; ++i) {
        const double mean = sums[i % g.channels] / double(pixels);
        out.push_back(adjustments[n].contrast * (x[i] - mean) + mean +
                      (brightness ? adjustments[n].brightness : 0));
      }
    }
    return out;
  }

  /// Calls f(element of the inner image, its place in the padded one).
  template <class F>
  static void for_padded(const Pad2DGeometry& g, F f) {
    const Int out_h = g.in_h + g.top + g.bottom, out_w = g.in_w + g.left + g.right;
    for (Int n = 0; n < g.batch; ++n)
      for (Int i = 0; i < g.in_h; ++i)
        for (Int j = 0; j < g.in_w; ++j)
          for (Int c = 0; c < g.channels; ++c)
            f(((n * g.in_h + i) * g.in_w + j) * g.channels + c,
              ((n * out_h + i + g.top) * out_w + j + g.left) * g.channels + c);
  }

  /// Sums f(element, channel) over the rows.
  template <class F>
  static std::vector<double> column_sums(Int rows, Int channels, F f) {
    std::vector<double> sums(channels);
    for (Int r = 0; r < rows; ++r)
      for (Int c = 0; c < channels; ++c) sums[c] += f(r * channels + c, c);
    return sums;
  }

  /// All of an epilogue but the pooling.
  static void finish(const Epilogue<T>& epilogue, Int rows, Int channels, std::vector<double>& values) {
    const Activation& f = epilogue.activation;
    for (Int r = 0; r < rows; ++r) {
      double* row = values.data() + r * channels;
      for (Int c = 0; c < channels; ++c) {
        if (epilogue.scale) row[c] *= double(epilogue.scale[c]);
        if (epilogue.bias) row[c] += double(epilogue.bias[c]);
        if (epilogue.residual) row[c] += double(epilogue.residual[r * channels + c]);
      }
      if (f.kind == Activation::Kind::softmax)
        softmax(row, channels);
      else
        for (Int c = 0; c < channels; ++c) row[c] = activate(f, row[c]);
    }
  }

  static double activate(const Activation& f, double x) {
    switch (f.kind) {
      case Activation::Kind::relu:
        return x < 0 ? 0 : x;
      case Activation::Kind::leaky_relu:
        return x < 0 ? f.negative_slope * x : x;
      case Activation::Kind::elu:
        return x < 0 ? std::expm1(x) : x;
      case Activation::Kind::sigmoid:
        return sigmoid(x);
      case Activation::Kind::tanh:
        return std::tanh(x);
      case Activation::Kind::relu6:
        return x < 0 ? 0 : x > 6 ? 6 : x;
      case Activation::Kind::silu:
        return x * sigmoid(x);
      case Activation::Kind::gelu:
        return x * normal_cdf(x);
      case Activation::Kind::selu:
        return selu_scale * (x < 0 ? selu_alpha * std::expm1(x) : x);
      case Activation::Kind::softplus:
        return softplus(x);
      case Activation::Kind::softsign:
        return x / (1 + std::fabs(x));
      case Activation::Kind::hard_sigmoid:
        return (x < -3 ? 0 : x > 3 ? 6 : x + 3) / 6;
      case Activation::Kind::mish:
        return x * std::tanh(softplus(x));
      default:
        return x;
    }
  }
  static double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
  static double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
  static double normal_cdf(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }
  /// Softmax in place; returns log(sum(exp)).
  static double softmax(double* row, Int channels) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (Int c = 0; c < channels; ++c) top = maximum(top, row[c]);
    for (Int c = 0; c < channels; ++c) sum += row[c] = std::exp(row[c] - top);
    for (Int c = 0; c < channels; ++c) row[c] /= sum;
    return top + std::log(sum);
  }

  static void normalize(const BatchNormSpec<T>& spec, const T* x, const std::vector<double>& mean,
                        const std::vector<double>& variance, T* y) {
    const Int channels = spec.channels;
    std::vector<double> values(spec.rows * channels);
    for (Int i = 0; i < spec.rows * channels; ++i) {
      const Int c = i % channels;
      const double normalized = (double(x[i]) - mean[c]) / std::sqrt(variance[c] + spec.epsilon);
      values[i] = (spec.gamma ? double(spec.gamma[c]) : 1) * normalized;
    }
    finish({.bias = spec.beta, .activation = spec.activation}, spec.rows, channels, values);
    store(values, y);
  }

  /// Loss of one row and its gradient dp by the prediction p, for the target t.
  static double row_loss(const LossSpec& spec, std::vector<double> p, const std::vector<double>& t,
                         std::vector<double>& dp) {
    // Keras's epsilon(), rounded as its tensors are: in float the upper bound is 1 - 2^-23.
    const double low = T(1e-7), high = T(1 - 1e-7);
    const std::size_t classes = p.size();
    const double count = double(classes);
    dp.resize(classes);
    double value = 0;
    switch (spec.kind) {
      case LossKind::mean_squared_error:
        for (std::size_t c = 0; c < classes; ++c) {
          value += (p[c] - t[c]) * (p[c] - t[c]) / count;
          dp[c] = 2 * (p[c] - t[c]) / count;
        }
        return value;

      case LossKind::mean_absolute_error:
        for (std::size_t c = 0; c < classes; ++c) {
          const double d = p[c] - t[c];
          value += std::fabs(d) / count;
          dp[c] = (d == 0 ? 0 : std::isnan(d) ? d : std::copysign(1, d)) / count;
        }
        return value;

      case LossKind::huber:
        for (std::size_t c = 0; c < classes; ++c) {
          const double d = p[c] - t[c];
          const bool far = std::fabs(d) > spec.delta;
          value += (far ? spec.delta * std::fabs(d) - spec.delta * spec.delta / 2 : d * d / 2) / count;
          dp[c] = (far ? std::copysign(spec.delta, d) : d) / count;
        }
        return value;

      case LossKind::binary_crossentropy:
        for (std::size_t c = 0; c < classes; ++c) {
          if (spec.from_logits) {
            value += (std::max(p[c], 0.0) - p[c] * t[c] + std::log1p(std::exp(-std::fabs(p[c])))) / count;
            dp[c] = (sigmoid(p[c]) - t[c]) / count;
          } else {
            const double q = std::clamp(p[c], low, high);
            value -= (t[c] * std::log(q) + (1 - t[c]) * std::log(1 - q)) / count;
            dp[c] = q == p[c] ? ((1 - t[c]) / (1 - q) - t[c] / q) / count : p[c] * 0;
          }
        }
        return value;

      case LossKind::categorical_crossentropy:
        if (!spec.from_logits) {  // from p / sum(p), clipped
          double sum = 0, dot = 0;
          for (const double v : p) sum += v;
          for (std::size_t c = 0; c < classes; ++c) {
            const double q = p[c] / sum, clipped = std::clamp(q, low, high);
            value -= t[c] * std::log(clipped);
            dp[c] = q == clipped ? -t[c] / clipped : q * 0;
            dot += dp[c] * q;
          }
          for (double& d : dp) d = (d - dot) / sum;
          return value;
        }
        return softmax_crossentropy(p, t, dp);

      case LossKind::sparse_categorical_crossentropy:
        if (!spec.from_logits) {  // Keras takes log(clipped p) for logits
          std::vector<double> logits(classes);
          for (std::size_t c = 0; c < classes; ++c) logits[c] = std::log(std::clamp(p[c], low, high));
          value = softmax_crossentropy(logits, t, dp);
          for (std::size_t c = 0; c < classes; ++c)
            dp[c] = std::clamp(p[c], low, high) == p[c] ? dp[c] / p[c] : p[c] * 0;
          return value;
        }
        return softmax_crossentropy(p, t, dp);
    }
    return value;
  }

  static double softmax_crossentropy(std::vector<double> logits, const std::vector<double>& t,
                                     std::vector<double>& dp) {
    const std::vector<double> z = logits;
    const double log_sum = softmax(logits.data(), Int(logits.size()));
    double value = 0, total = 0;
    for (const double v : t) total += v;
    for (std::size_t c = 0; c < z.size(); ++c) {
      if (t[c] != 0) value += t[c] * (log_sum - z[c]);
      dp[c] = total * logits[c] - t[c];
    }
    return value;
  }

  /// What step t has in common for all weights: powers of the betas, and Nadam's u(t) and u(t + 1) with the
  /// product of u(1) to u(t).
  struct Powers {
    Powers(const OptimizerSpec& spec, double t)
        : beta_1(std::pow(spec.beta_1, t)), beta_2(std::pow(spec.beta_2, t)) {
      const auto u = [&](double of) { return spec.beta_1 * (1 - 0.5 * std::pow(0.96, of)); };
      now = u(t), next = u(t + 1);
      for (double of = 1; of <= t; ++of) product *= u(of);
    }
    double beta_1, beta_2, now, next, product = 1;
  };

  /// What is added to a weight; updates the slots.
  static double step(const OptimizerSpec& spec, double rate, const Powers& powers, double g,
                     double (&slots)[3]) {
    switch (spec.kind) {
      case OptimizerKind::sgd: {
        if (spec.momentum == 0) return -rate * g;
        double& momentum = slots[0];
        momentum = spec.momentum * momentum - rate * g;
        return spec.nesterov ? spec.momentum * momentum - rate * g : momentum;
      }
      case OptimizerKind::rmsprop: {
        auto& [velocity, momentum, average] = slots;
        velocity = spec.rho * velocity + (1 - spec.rho) * g * g;
        if (spec.centered) average = spec.rho * average + (1 - spec.rho) * g;
        const double denominator = velocity - (spec.centered ? average * average : 0) + spec.epsilon;
        const double increment = rate * g / std::sqrt(denominator);
        if (spec.momentum == 0) return -increment;
        momentum = spec.momentum * momentum + increment;
        return -momentum;
      }
      case OptimizerKind::adam: {
        auto& [first, second, largest] = slots;
        const double alpha = rate * std::sqrt(1 - powers.beta_2) / (1 - powers.beta_1);
        first += (1 - spec.beta_1) * (g - first);
        second += (1 - spec.beta_2) * (g * g - second);
        if (spec.amsgrad) largest = std::max(largest, second);
        return -alpha * first / (std::sqrt(spec.amsgrad ? largest : second) + spec.epsilon);
      }
      case OptimizerKind::adagrad:
        slots[0] += g * g;
        return -rate * g / std::sqrt(slots[0] + spec.epsilon);
      case OptimizerKind::nadam: {
        const double product = powers.product;
        slots[0] += (1 - spec.beta_1) * (g - slots[0]);
        slots[1] += (1 - spec.beta_2) * (g * g - slots[1]);
        const double first =
            powers.next * slots[0] / (1 - product * powers.next) + (1 - powers.now) * g / (1 - product);
        return -rate * first / (std::sqrt(slots[1] / (1 - powers.beta_2)) + spec.epsilon);
      }
    }
    return 0;
  }

  ReferenceMemory& memory_;
  bool narrow_ = false;
};

}  // namespace strata_test
