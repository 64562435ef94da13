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
  bool repeats(bool) const override { return !this->trainable(); }  // nor changes its moving averages
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    BatchNormSpec<T> spec = this->spec(x[0].shape());
    spec.activation = context.epilogue(Activation::linear).activation;
    if (uses_batch(context))
      context.backend().batch_norm(spec, this->options().momentum, x[0].data(), batch(context),
                                   {mean_->mutate().data(), variance_->mutate().data()}, y.data());
    else
      context.backend().batch_norm_inference(spec, x[0].data(), moving(), y.data());
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    const bool fixed = !uses_batch(context);
    Moments<const T> moments = moving();
    if (!fixed) moments = {batch(context).mean, batch(context).variance};
    context.backend().batch_norm_backward(spec(x[0].shape()), x[0].data(), moments, fixed, dy.data(),
                                          dx[0].data(), gamma_ ? context.gradient(*gamma_) : Gradient<T>{},
                                          beta_ ? context.gradient(*beta_) : Gradient<T>{});
  }
  LayerCost cost(Shapes, const BasicContext<T>& context) const override {
    return {.saved = uses_batch(context) ? 2 * mean_->shape().size() : 0};
  }
  bool absorb(const BasicLayerImpl<T>& next, const Shape& y, Epilogue<T>& epilogue,
              bool training) const override {
    return next.is_activation() && next.append_to(y, epilogue, training);
  }
  bool append_to(const Shape&, Epilogue<T>& epilogue, bool training) const override {
    if ((training && this->trainable()) || epilogue.scale || epilogue.residual || epilogue.max_pool_2x2 ||
        epilogue.activation != Activation::linear)
      return false;
    epilogue.scale = data(variance_);
    return true;
  }
  /// What normalization makes of ones, but for mean and beta, is the scale, and what it makes of a bias is
  /// the bias.
  void fold(const BasicParameter<T>* bias, BasicContext<T>& context, Epilogue<T>& epilogue) const override {
    const std::int64_t channels = mean_->shape().size(), row = whole_lines<T>(channels);
    std::uint64_t version = bias ? bias->view().version : 0;  // the sum grows with each
    for (const auto* weight : {gamma_.get(), beta_.get(), mean_.get(), variance_.get()})
      if (weight) version += weight->view().version;
    const T* const folded = context.derived(version, folded_shape<T>(channels), [&](T* scale) {
      Backend<T>& backend = context.backend();
      T *const offset = scale + row, *const zeros = offset + row, *const ones = zeros + row;
      backend.zero(zeros, static_cast<std::size_t>(channels) * sizeof(T));
      backend.affine(channels, 0, 1, zeros, ones);
      BatchNormSpec<T> spec = this->spec({1, channels});
      backend.batch_norm_inference(spec, bias ? bias->value().data() : zeros, moving(), offset);
      spec.beta = nullptr;
      backend.batch_norm_inference(spec, ones, {zeros, data(variance_)}, scale);
    });
    epilogue.scale = folded;
    epilogue.bias = folded + row;
  }

 private:
  bool uses_batch(const BasicContext<T>& context) const { return context.training() && this->trainable(); }
  static const T* data(const ParameterPtr<T>& parameter) {
    return parameter ? parameter->value().data() : nullptr;
  }
  BatchNormSpec<T> spec(const Shape& x) const {
    return {x.rows(), x.back(), this->options().epsilon, data(gamma_), data(beta_)};
  }
  Moments<const T> moving() const { return {data(mean_), data(variance_)}; }
  /// Kept from forward to backward.
  Moments<T> batch(BasicContext<T>& context) const {
    return {context.saved(0, mean_->shape()).data(), context.saved(1, mean_->shape()).data()};
  }
  ParameterPtr<T> gamma_, beta_, mean_, variance_;
};

template <class T>
using BasicBatchNormalization = LayerHandle<BatchNormalizationImpl<T>>;
using BatchNormalization = BasicBatchNormalization<float>;

}}  // namespace strata::STRATA_ABI
