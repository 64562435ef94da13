#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct Conv2DOptions {
  std::int64_t filters = 0;
  Size2D kernel_size = {};
  Size2D strides = 1;
  Padding padding = Padding::valid;
  Size2D dilation_rate = 1;
  std::int64_t groups = 1;
  Activation activation = Activation::linear;
  bool use_bias = true;
  Initializer kernel_initializer = initializers::glorot_uniform();
  Initializer bias_initializer = initializers::zeros();
  Regularizer kernel_regularizer = {}, bias_regularizer = {};
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("filters", filters);
    f("kernel_size", kernel_size);
    f("strides", strides);
    f("padding", padding);
    f("dilation_rate", dilation_rate);
    f("groups", groups);
    f("activation", activation);
    f("use_bias", use_bias);
    f("kernel_initializer", kernel_initializer);
    f("bias_initializer", bias_initializer);
    f("kernel_regularizer", kernel_regularizer);
    f("bias_regularizer", bias_regularizer);
  }
};

namespace detail {
/// A convolution with bias (may be null) and activation, and what the layer absorbed, the maxima of which go
/// to `argmax` (may be null).
template <class T>
void conv2d_forward(const Conv2DGeometry& g, const ParameterPtr<T>& kernel, const ParameterPtr<T>& bias,
                    const Activation& activation, const T* x, T* y, BasicContext<T>& context,
                    std::uint8_t* argmax = nullptr) {
  Epilogue<T> epilogue = context.epilogue(activation, bias.get());
  epilogue.argmax = argmax;
  context.backend().conv2d(g, x, context.view(*kernel), epilogue, y);
}

/// Gradients of a convolution's kernel, bias (may be null) and, where `dx` is not, input. With `argmax`, dy
/// is that behind a pooling, and dx null.
template <class T>
void conv2d_gradients(const Conv2DGeometry& g, const ParameterPtr<T>& kernel, const ParameterPtr<T>& bias,
                      const T* x, const T* dy, Gradient<T> dx, BasicContext<T>& context,
                      const std::uint8_t* argmax = nullptr) {
  Backend<T>& backend = context.backend();
  const Gradient<T> dkernel = context.gradient(*kernel);
  backend.conv2d_backward_weights(g, x, dy, dkernel, bias ? context.gradient(*bias) : Gradient<T>{}, argmax);
  if (dx.data) backend.conv2d_backward_input(g, dy, context.view(*kernel), dx);
}
}  // namespace detail

/// 2D convolution (cross-correlation), bias and activation. Shapes: [batch,h,w,c] -> [batch,h',w',filters];
/// kernel [kernel_h,kernel_w,c/groups,filters], bias [filters]. Source: Keras's Conv2D.
template <class T>
class Conv2DImpl final : public LayerBase<Conv2DImpl<T>, T, Conv2DOptions> {
 public:
  using Base = LayerBase<Conv2DImpl<T>, T, Conv2DOptions>;
  static constexpr const char* type = "Conv2D";
  explicit Conv2DImpl(Conv2DOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    const Conv2DGeometry g = geometry(this->single(inputs), 1);
    if (this->built())
      require<ShapeError>(g.group_in() == kernel_->shape()[2], this->who(), "expected ",
                          kernel_->shape()[2] * g.groups, " input channels, found ", inputs[0][2],
                          " (input shape ", inputs[0], ")");
    return {g.out_h, g.out_w, g.out_c};
  }
  void build(Shapes inputs) override {
    const auto& o = this->options();
    kernel_ = this->add_weight(
        "kernel", {o.kernel_size.height, o.kernel_size.width, inputs[0][2] / o.groups, o.filters},
        o.kernel_initializer, o.kernel_regularizer);
    if (o.use_bias) bias_ = this->add_weight("bias", {o.filters}, o.bias_initializer, o.bias_regularizer);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    const Conv2DGeometry g = geometry(x[0].shape());
    detail::conv2d_forward<T>(g, kernel_, bias_, final_activation(), x[0].data(), y.data(), context,
                              pools(context) ? argmax(g, context) : nullptr);
  }
  void backward(Inputs<T> x, TensorView<const T> y, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    const Conv2DGeometry g = geometry(x[0].shape());
    const Gradient<T> to{dx[0].data(), context.adds_input_gradient()};
    if (!pools(context))
      return detail::conv2d_gradients<T>(g, kernel_, bias_, x[0].data(), dy.data(), to, context);
    Backend<T>& backend = context.backend();
    if (!to.data && backend.takes_pooled_gradient(g))
      return detail::conv2d_gradients<T>(g, kernel_, bias_, x[0].data(), dy.data(), to, context,
                                         argmax(g, context));
    const auto whole = context.scratch({g.batch, g.out_h, g.out_w, g.out_c});
    backend.pool2d_backward(pooling_behind(g), PoolKind::max, Activation::linear, nullptr, y.data(),
                            dy.data(), whole.data(), argmax(g, context));
    detail::conv2d_gradients<T>(g, kernel_, bias_, x[0].data(), whole.data(), to, context);
  }
  LayerCost cost(Shapes x, const BasicContext<T>& context) const override {
    const Conv2DGeometry g = geometry(x[0]);
    LayerCost out{.flops = g.flops(),
                  .algorithm = context.backend().describe_conv2d(g, context.epilogue(final_activation()))};
    if (!pools(context)) return out;
    out.saved = detail::argmax_elements<T>(pooling_behind(g));
    if (context.input_gradient() || !context.backend().takes_pooled_gradient(g))
      out.backward_scratch = g.batch * g.out_h * g.out_w * g.out_c;
    return out;
  }
  bool backward_through_pooling(Shapes x, const BasicContext<T>& context) const override {
    const Epilogue<T> epilogue = context.epilogue(final_activation());
    return epilogue.max_pool_2x2 && !epilogue.scale && !epilogue.residual &&
           epilogue.activation != Activation::softmax &&
           context.backend().remembers_maxima(pooling_behind(geometry(x[0])));
  }
  bool takes_narrow(Shapes x, const BasicContext<T>& context) const override {
    return context.backend().takes_narrow(geometry(x[0]), context.epilogue(final_activation()));
  }
  Activation final_activation() const override { return this->options().activation; }
  bool adds_input_gradient() const override { return true; }
  bool absorb(const BasicLayerImpl<T>& next, const Shape& y, Epilogue<T>& epilogue,
              bool training) const override {
    return next.append_to(y, epilogue, training);
  }

 private:
  Conv2DGeometry geometry(const Shape& input, std::int64_t batch) const {
    const auto& o = this->options();
    return ops::conv2d_geometry(this->who(), input, o.filters,
                                {o.kernel_size, o.strides, o.dilation_rate, o.padding, o.groups}, batch);
  }
  Conv2DGeometry geometry(const Shape& x) const { return geometry(x.without_batch(), x[0]); }

  // The backward pass goes through a pooling that the call absorbed, by a byte for every maximum.
  bool pools(const BasicContext<T>& context) const {
    return context.recording() && context.epilogue(final_activation()).max_pool_2x2;
  }
  static std::uint8_t* argmax(const Conv2DGeometry& g, BasicContext<T>& context) {
    return detail::saved_argmax(pooling_behind(g), context);
  }

  ParameterPtr<T> kernel_, bias_;
};

template <class T>
using BasicConv2D = LayerHandle<Conv2DImpl<T>>;
using Conv2D = BasicConv2D<float>;

}}  // namespace strata::STRATA_ABI
