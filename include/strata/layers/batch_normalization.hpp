#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct BatchNormalizationOptions {
  double momentum = 0.99;
  double epsilon = 1e-3;
  bool center = true, scale = true;
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("momentum", momentum);
    f("epsilon", epsilon);
    f("center", center);
    f("scale", scale);
  }
};

/// Normalises each channel (last axis) to mean 0 and variance 1: by the batch in training, by moving averages
/// otherwise and when frozen. Weights gamma, beta, moving_mean, moving_variance [c]. Source: Ioffe and
/// Szegedy, ICML 2015; Keras.
template <class T>
class BatchNormalizationImpl final
    : public LayerBase<BatchNormalizationImpl<T>, T, BatchNormalizationOptions> {
 public:
  using Base = LayerBase<BatchNormalizationImpl<T>, T, BatchNormalizationOptions>;
  static constexpr const char* type = "BatchNormalization";
  explicit BatchNormalizationImpl(BatchNormalizationOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    require<ShapeError>(this->single(inputs).rank() > 0, this->who(),
                        "expected an input with channels, found a scalar");
    return inputs[0];
  }
  void build(Shapes inputs) override {
    const Shape shape{inputs[0].back()};
    if (this->options().scale) gamma_ = this->add_weight("gamma", shape, initializers::ones());
    if (this->options().center) beta_ = this->add_weight("beta", shape, initializers::zeros());
    mean_ = this->add_weight("moving_mean", shape, initializers::zeros(), {}, false);
    variance_ = this->add_weight("moving_variance", shape, initializers::ones(), {}, false);
  }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    const auto& o = this->options();
    const std::int64_t c = mean_->shape()[0], rows = c ? y.size() / c : 0;
    Backend<T>& backend = context.backend();
    if (!uses_batch(context)) {
      backend.batch_norm_inference(rows, c, o.epsilon, x[0].data(), data(gamma_), data(beta_), data(mean_),
                                   data(variance_), y.data());
      return;
    }
    Tensor<T>&mean = context.saved(0, {c}), &variance = context.saved(1, {c});
    backend.batch_norm(rows, c, o.epsilon, x[0].data(), data(gamma_), data(beta_), mean.data(),
                       variance.data(), y.data());
    move_towards(backend, *mean_, mean);
    move_towards(backend, *variance_, variance);
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    const std::int64_t c = mean_->shape()[0], rows = c ? dy.size() / c : 0;
    const bool batch = uses_batch(context);
    const T* mean = batch ? context.saved(0, {c}).data() : data(mean_);
    const T* variance = batch ? context.saved(1, {c}).data() : data(variance_);
    context.backend().batch_norm_backward(rows, c, this->options().epsilon, !batch, x[0].data(), data(gamma_),
                                          mean, variance, dy.data(), dx[0].data(),
                                          gamma_ ? context.gradient(*gamma_) : Gradient<T>{},
                                          beta_ ? context.gradient(*beta_) : Gradient<T>{});
  }

 private:
  bool uses_batch(const BasicContext<T>& context) const { return context.training() && this->trainable(); }
  static const T* data(const ParameterPtr<T>& parameter) {
    return parameter ? parameter->value().data() : nullptr;
  }
  void move_towards(Backend<T>& backend, BasicParameter<T>& moving, const Tensor<T>& batch) const {
    const T keep = static_cast<T>(this->options().momentum);
    T* values = moving.mutate().data();
    backend.affine(batch.size(), keep, 0, values, values);
    backend.axpy(batch.size(), static_cast<T>(1 - this->options().momentum), batch.data(), values);
  }
  ParameterPtr<T> gamma_, beta_, mean_, variance_;
};

template <class T>
using BasicBatchNormalization = LayerHandle<BatchNormalizationImpl<T>>;
using BatchNormalization = BasicBatchNormalization<float>;

}}  // namespace strata::STRATA_ABI
