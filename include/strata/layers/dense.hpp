#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct DenseOptions {
  std::int64_t units = 0;
  Activation activation = Activation::linear;
  bool use_bias = true;
  Initializer kernel_initializer = initializers::glorot_uniform();
  Initializer bias_initializer = initializers::zeros();
  Regularizer kernel_regularizer = {}, bias_regularizer = {};
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("units", units);
    f("activation", activation);
    f("use_bias", use_bias);
    f("kernel_initializer", kernel_initializer);
    f("bias_initializer", bias_initializer);
    f("kernel_regularizer", kernel_regularizer);
    f("bias_regularizer", bias_regularizer);
  }
};

/// y = activation(x kernel + bias) over the last axis. Shapes: [batch,...,in] -> [batch,...,units]; kernel
/// [in,units], bias [units]. Source: Keras's Dense.
template <class T>
class DenseImpl final : public LayerBase<DenseImpl<T>, T, DenseOptions> {
 public:
  using Base = LayerBase<DenseImpl<T>, T, DenseOptions>;
  static constexpr const char* type = "Dense";
  explicit DenseImpl(DenseOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    Shape out = this->single(inputs);
    require<ConfigError>(this->options().units > 0, this->who(), "expected units of at least 1, found ",
                         this->options().units);
    require<ShapeError>(out.rank() > 0, this->who(),
                        "expected an input of shape [...,features], found a scalar");
    require<ShapeError>(out.back() > 0, this->who(), "expected one or more features, found ", out);
    out[-1] = this->options().units;
    return out;
  }
  void build(Shapes inputs) override {
    const auto& o = this->options();
    kernel_ =
        this->add_weight("kernel", {inputs[0].back(), o.units}, o.kernel_initializer, o.kernel_regularizer);
    if (o.use_bias) bias_ = this->add_weight("bias", {o.units}, o.bias_initializer, o.bias_regularizer);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().dense(geometry(x[0].shape()), x[0].data(), context.view(*kernel_),
                            context.epilogue(final_activation(), bias_.get()), y.data());
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    const DenseGeometry g = geometry(x[0].shape());
    Backend<T>& backend = context.backend();
    if (const auto dkernel = context.gradient(*kernel_); dkernel.data)
      backend.dense_backward_kernel(g, x[0].data(), dy.data(), dkernel);
    if (bias_)
      if (const auto dbias = context.gradient(*bias_); dbias.data)
        backend.bias_gradient(g.rows, g.out, dy.data(), dbias);
    if (dx[0])
      backend.dense_backward_input(g, dy.data(), context.view(*kernel_),
                                   {dx[0].data(), context.adds_input_gradient()});
  }
  LayerCost cost(Shapes x, const BasicContext<T>& context) const override {
    const DenseGeometry g = geometry(x[0]);
    return {.flops = g.flops(), .algorithm = context.backend().describe_dense(g)};
  }
  Activation final_activation() const override { return this->options().activation; }
  bool adds_input_gradient() const override { return true; }
  bool absorb(const BasicLayerImpl<T>& next, const Shape& y, Epilogue<T>& epilogue,
              bool training) const override {
    return next.is_activation() && next.append_to(y, epilogue, training);
  }

 private:
  DenseGeometry geometry(const Shape& x) const {
    return {x.rows(), kernel_->shape()[0], kernel_->shape()[1]};
  }
  ParameterPtr<T> kernel_, bias_;
};

template <class T>
using BasicDense = LayerHandle<DenseImpl<T>>;
using Dense = BasicDense<float>;

}}  // namespace strata::STRATA_ABI
