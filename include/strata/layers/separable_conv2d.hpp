#pragma once

#include <strata/layers/depthwise_conv2d.hpp>

namespace strata { inline namespace STRATA_ABI {

struct SeparableConv2DOptions {
  std::int64_t filters = 0;
  Size2D kernel_size = {};
  Size2D strides = 1;
  Padding padding = Padding::valid;
  Size2D dilation_rate = 1;
  std::int64_t depth_multiplier = 1;
  Activation activation = Activation::linear;
  bool use_bias = true;
  Initializer depthwise_initializer = initializers::glorot_uniform();
  Initializer pointwise_initializer = initializers::glorot_uniform();
  Initializer bias_initializer = initializers::zeros();
  Regularizer depthwise_regularizer = {}, pointwise_regularizer = {}, bias_regularizer = {};
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("filters", filters);
    f("kernel_size", kernel_size);
    f("strides", strides);
    f("padding", padding);
    f("dilation_rate", dilation_rate);
    f("depth_multiplier", depth_multiplier);
    f("activation", activation);
    f("use_bias", use_bias);
    f("depthwise_initializer", depthwise_initializer);
    f("pointwise_initializer", pointwise_initializer);
    f("bias_initializer", bias_initializer);
    f("depthwise_regularizer", depthwise_regularizer);
    f("pointwise_regularizer", pointwise_regularizer);
    f("bias_regularizer", bias_regularizer);
  }
};

/// A depthwise convolution, then one of 1x1 that mixes the channels, bias and activation. Shapes:
/// [batch,h,w,c] -> [batch,h',w',filters]; depthwise_kernel [kernel_h,kernel_w,c,depth_multiplier],
/// pointwise_kernel [1,1,c*depth_multiplier,filters], bias [filters]. Source: Keras's SeparableConv2D.
template <class T>
class SeparableConv2DImpl final : public LayerBase<SeparableConv2DImpl<T>, T, SeparableConv2DOptions> {
 public:
  using Base = LayerBase<SeparableConv2DImpl<T>, T, SeparableConv2DOptions>;
  static constexpr const char* type = "SeparableConv2D";
  explicit SeparableConv2DImpl(SeparableConv2DOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    const Conv2DGeometry g = depthwise(this->single(inputs), 1), p = pointwise(g);
    if (this->built())
      require<ShapeError>(g.in_c == depthwise_->shape()[2], this->who(), "expected ", depthwise_->shape()[2],
                          " input channels, found ", g.in_c, " (input shape ", inputs[0], ")");
    return {p.out_h, p.out_w, p.out_c};
  }
  void build(Shapes inputs) override {
    const auto& o = this->options();
    const std::int64_t channels = inputs[0][2];
    depthwise_ = this->add_weight("depthwise_kernel",
                                  {o.kernel_size.height, o.kernel_size.width, channels, o.depth_multiplier},
                                  o.depthwise_initializer, o.depthwise_regularizer);
    pointwise_ = this->add_weight(
        "pointwise_kernel", {1, 1, checked_multiply(this->who(), channels, o.depth_multiplier), o.filters},
        o.pointwise_initializer, o.pointwise_regularizer);
    if (o.use_bias) bias_ = this->add_weight("bias", {o.filters}, o.bias_initializer, o.bias_regularizer);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    const Conv2DGeometry g = depthwise(x[0].shape()), p = pointwise(g);
    if (keeps(context)) return forward(g, p, x[0].data(), context.saved(0, between(g)).data(), y, context);
    forward(g, p, x[0].data(), context.scratch(between(g)).data(), y, context);
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    const Conv2DGeometry g = depthwise(x[0].shape());
    const auto gradient = context.scratch(between(g));
    const T* const middle = keeps(context) ? context.saved(0, between(g)).data() : nullptr;
    detail::conv2d_gradients<T>(pointwise(g), pointwise_, bias_, middle, dy.data(), {gradient.data()},
                                context);
    detail::conv2d_gradients<T>(g, depthwise_, {}, x[0].data(), gradient.data(),
                                {dx[0].data(), context.adds_input_gradient()}, context);
  }
  LayerCost cost(Shapes x, const BasicContext<T>& context) const override {
    const Conv2DGeometry g = depthwise(x[0]), p = pointwise(g);
    const std::int64_t middle = between(g).size();
    return {.flops = g.flops() + p.flops(),
            .saved = keeps(context) ? middle : 0,
            .scratch = keeps(context) ? 0 : middle,
            .algorithm = context.backend().describe_conv2d(p, context.epilogue(final_activation()))};
  }
  Activation final_activation() const override { return this->options().activation; }
  bool adds_input_gradient() const override { return true; }
  bool absorb(const BasicLayerImpl<T>& next, const Shape& y, Epilogue<T>& epilogue,
              bool training) const override {
    return next.append_to(y, epilogue, training);
  }

 private:
  /// What lies between the two convolutions is kept for the gradient of the second kernel.
  bool keeps(const BasicContext<T>& context) const { return context.recording() && this->trainable(); }
  void forward(const Conv2DGeometry& g, const Conv2DGeometry& p, const T* x, T* middle, TensorView<T> y,
               BasicContext<T>& context) const {
    context.backend().conv2d(g, x, context.view(*depthwise_), {}, middle);
    detail::conv2d_forward<T>(p, pointwise_, bias_, final_activation(), middle, y.data(), context);
  }
  Conv2DGeometry depthwise(const Shape& input, std::int64_t batch) const {
    const auto& o = this->options();
    return detail::depthwise_geometry(this->who(), input, o.depth_multiplier,
                                      {o.kernel_size, o.strides, o.dilation_rate, o.padding}, batch);
  }
  Conv2DGeometry depthwise(const Shape& x) const { return depthwise(x.without_batch(), x[0]); }
  Conv2DGeometry pointwise(const Conv2DGeometry& g) const {
    return ops::conv2d_geometry(this->who(), {g.out_h, g.out_w, g.out_c}, this->options().filters,
                                {.size = 1}, g.batch);
  }
  static Shape between(const Conv2DGeometry& g) { return {g.batch, g.out_h, g.out_w, g.out_c}; }

  ParameterPtr<T> depthwise_, pointwise_, bias_;
};

template <class T>
using BasicSeparableConv2D = LayerHandle<SeparableConv2DImpl<T>>;
using SeparableConv2D = BasicSeparableConv2D<float>;

}}  // namespace strata::STRATA_ABI
