#pragma once

#include <strata/layers/conv2d.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// Geometry of a convolution that makes `multiplier` outputs of each input channel, in their order.
inline Conv2DGeometry depthwise_geometry(const std::string& who, const Shape& input, std::int64_t multiplier,
                                         ops::Window window, std::int64_t batch) {
  ops::detail::require_images(who, input);
  require<ConfigError>(multiplier > 0, who, "expected a depth_multiplier of at least 1, found ", multiplier);
  require<ShapeError>(input[2] > 0, who, "expected images of one or more channels, found ", input);
  window.groups = input[2];
  return ops::conv2d_geometry(who, input, checked_multiply(who, input[2], multiplier), window, batch);
}
}  // namespace detail

struct DepthwiseConv2DOptions {
  Size2D kernel_size = {};
  Size2D strides = 1;
  Padding padding = Padding::valid;
  std::int64_t depth_multiplier = 1;
  Size2D dilation_rate = 1;
  Activation activation = Activation::linear;
  bool use_bias = true;
  Initializer depthwise_initializer = initializers::glorot_uniform();
  Initializer bias_initializer = initializers::zeros();
  Regularizer depthwise_regularizer = {}, bias_regularizer = {};
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("kernel_size", kernel_size);
    f("strides", strides);
    f("padding", padding);
    f("depth_multiplier", depth_multiplier);
    f("dilation_rate", dilation_rate);
    f("activation", activation);
    f("use_bias", use_bias);
    f("depthwise_initializer", depthwise_initializer);
    f("bias_initializer", bias_initializer);
    f("depthwise_regularizer", depthwise_regularizer);
    f("bias_regularizer", bias_regularizer);
  }
};

/// Every channel convolved by itself, with `depth_multiplier` kernels. Shapes: [batch,h,w,c] ->
/// [batch,h',w',c*depth_multiplier]; kernel [kernel_h,kernel_w,c,depth_multiplier], bias
/// [c*depth_multiplier]. Source: Keras's DepthwiseConv2D.
template <class T>
class DepthwiseConv2DImpl final : public LayerBase<DepthwiseConv2DImpl<T>, T, DepthwiseConv2DOptions> {
 public:
  using Base = LayerBase<DepthwiseConv2DImpl<T>, T, DepthwiseConv2DOptions>;
  static constexpr const char* type = "DepthwiseConv2D";
  explicit DepthwiseConv2DImpl(DepthwiseConv2DOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    const Conv2DGeometry g = geometry(this->single(inputs), 1);
    if (this->built())
      require<ShapeError>(g.in_c == kernel_->shape()[2], this->who(), "expected ", kernel_->shape()[2],
                          " input channels, found ", g.in_c, " (input shape ", inputs[0], ")");
    return {g.out_h, g.out_w, g.out_c};
  }
  void build(Shapes inputs) override {
    const auto& o = this->options();
    const std::int64_t channels = inputs[0][2];
    kernel_ =
        this->add_weight("kernel", {o.kernel_size.height, o.kernel_size.width, channels, o.depth_multiplier},
                         o.depthwise_initializer, o.depthwise_regularizer);
    if (o.use_bias)
      bias_ = this->add_weight("bias", {checked_multiply(this->who(), channels, o.depth_multiplier)},
                               o.bias_initializer, o.bias_regularizer);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    detail::conv2d_forward<T>(geometry(x[0].shape()), kernel_, bias_, final_activation(), x[0].data(),
                              y.data(), context);
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    detail::conv2d_gradients<T>(geometry(x[0].shape()), kernel_, bias_, x[0].data(), dy.data(),
                                {dx[0].data(), context.adds_input_gradient()}, context);
  }
  LayerCost cost(Shapes x, const BasicContext<T>& context) const override {
    const Conv2DGeometry g = geometry(x[0]);
    return {.flops = g.flops(),
            .algorithm = context.backend().describe_conv2d(g, context.epilogue(final_activation()))};
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
    return detail::depthwise_geometry(this->who(), input, o.depth_multiplier,
                                      {o.kernel_size, o.strides, o.dilation_rate, o.padding}, batch);
  }
  Conv2DGeometry geometry(const Shape& x) const { return geometry(x.without_batch(), x[0]); }

  ParameterPtr<T> kernel_, bias_;
};

template <class T>
using BasicDepthwiseConv2D = LayerHandle<DepthwiseConv2DImpl<T>>;
using DepthwiseConv2D = BasicDepthwiseConv2D<float>;

}}  // namespace strata::STRATA_ABI
