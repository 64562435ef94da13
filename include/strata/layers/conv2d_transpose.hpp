#pragma once

#include <optional>

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// One, or none.
struct OptionalSize2D : std::optional<Size2D> {
  using std::optional<Size2D>::optional;
  constexpr OptionalSize2D(std::int64_t height, std::int64_t width)
      : std::optional<Size2D>(Size2D(height, width)) {}
};

struct Conv2DTransposeOptions {
  std::int64_t filters = 0;
  Size2D kernel_size = {};
  Size2D strides = 1;
  Padding padding = Padding::valid;
  /// Chooses the size of the result: (size - 1) * stride + output_padding, and for `valid` the kernel's
  /// extent, for `same` 1 where that is odd. None: size * stride, for `valid` with what the kernel reaches
  /// beyond.
  OptionalSize2D output_padding = {};
  Size2D dilation_rate = 1;
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
    f("output_padding", output_padding);
    f("dilation_rate", dilation_rate);
    f("activation", activation);
    f("use_bias", use_bias);
    f("kernel_initializer", kernel_initializer);
    f("bias_initializer", bias_initializer);
    f("kernel_regularizer", kernel_regularizer);
    f("bias_regularizer", bias_regularizer);
  }
};

/// The transpose of a convolution: x is spread as the gradient of a convolution's result is over its input.
/// Shapes: [batch,h,w,c] -> [batch,h',w',filters]; kernel [kernel_h,kernel_w,filters,c], which is that of the
/// convolution from y to x, bias [filters]. Source: Keras's Conv2DTranspose.
template <class T>
class Conv2DTransposeImpl final : public LayerBase<Conv2DTransposeImpl<T>, T, Conv2DTransposeOptions> {
 public:
  using Base = LayerBase<Conv2DTransposeImpl<T>, T, Conv2DTransposeOptions>;
  static constexpr const char* type = "Conv2DTranspose";
  explicit Conv2DTransposeImpl(Conv2DTransposeOptions options) : Base(std::move(options)) {
    const auto& o = this->options();
    const Size2D &s = o.strides, &d = o.dilation_rate;
    require<ConfigError>(
        (s.height <= 1 && s.width <= 1) || (d.height <= 1 && d.width <= 1), this->who(),
        "`strides > 1` not supported in conjunction with `dilation_rate > 1`, found strides ", s.to_string(),
        " and dilation_rate ", d.to_string());
    if (const auto& p = o.output_padding)
      require<ConfigError>(p->height >= 0 && p->width >= 0 && p->height < s.height && p->width < s.width,
                           this->who(), "expected an output_padding from 0 to less than the strides ",
                           s.to_string(), ", found ", p->to_string());
  }

  Shape output_shape(Shapes inputs) const override {
    const Conv2DGeometry g = geometry(this->single(inputs), 1);
    if (this->built())
      require<ShapeError>(g.out_c == kernel_->shape()[3], this->who(), "expected ", kernel_->shape()[3],
                          " input channels, found ", g.out_c, " (input shape ", inputs[0], ")");
    return {g.in_h, g.in_w, g.in_c};
  }
  void build(Shapes inputs) override {
    const auto& o = this->options();
    kernel_ = this->add_weight("kernel", {o.kernel_size.height, o.kernel_size.width, o.filters, inputs[0][2]},
                               o.kernel_initializer, o.kernel_regularizer);
    if (o.use_bias) bias_ = this->add_weight("bias", {o.filters}, o.bias_initializer, o.bias_regularizer);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    Backend<T>& backend = context.backend();
    const Epilogue<T> epilogue = context.epilogue(final_activation(), bias_.get());
    const std::int64_t channels = this->options().filters, rows = y.size() / channels;
    // The bias lies there already when the sums are added.
    if (epilogue.bias) backend.copy_block(rows, channels, epilogue.bias, 0, y.data(), channels);
    backend.conv2d_backward_input(geometry(x[0].shape()), x[0].data(), context.view(*kernel_),
                                  {y.data(), epilogue.bias != nullptr});
    if (epilogue.activation != Activation::linear)
      backend.activation(epilogue.activation, rows, channels, y.data(), y.data());
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    const Conv2DGeometry g = geometry(x[0].shape());
    Backend<T>& backend = context.backend();
    if (const auto dkernel = context.gradient(*kernel_); dkernel.data)
      backend.conv2d_backward_kernel(g, dy.data(), x[0].data(), dkernel);
    if (bias_)
      if (const auto dbias = context.gradient(*bias_); dbias.data)
        backend.bias_gradient(dy.size() / g.in_c, g.in_c, dy.data(), dbias);
    if (dx[0]) backend.conv2d(g, dy.data(), context.view(*kernel_), {}, dx[0].data());
  }
  LayerCost cost(Shapes x, const BasicContext<T>&) const override {
    return {.flops = geometry(x[0]).flops()};
  }
  Activation final_activation() const override { return this->options().activation; }
  bool absorb(const BasicLayerImpl<T>& next, const Shape& y, Epilogue<T>& epilogue,
              bool training) const override {
    return next.is_activation() && next.append_to(y, epilogue, training);
  }

 private:
  /// Of the convolution from y to x.
  Conv2DGeometry geometry(const Shape& input, std::int64_t batch) const {
    const auto& o = this->options();
    const OptionalSize2D& p = o.output_padding;
    const std::string who = this->who();
    ops::detail::require_images(who, input);
    require<ShapeError>(input.size() > 0, who, "expected images of one or more pixels, found ", input);
    const auto extent = [&](std::int64_t size, std::int64_t kernel, std::int64_t stride,
                            std::int64_t dilation, std::int64_t output_padding) {
      require<ConfigError>(o.filters > 0 && kernel > 0 && stride > 0 && dilation > 0, who,
                           "expected filters, kernel_size, strides and dilation_rate of at least 1, found ",
                           o.filters, ", ", kernel, ", ", stride, " and ", dilation);
      if (o.padding == Padding::same && !p) return checked_multiply(who, size, stride);
      const std::int64_t span = checked_add(who, checked_multiply(who, kernel - 1, dilation), 1);
      const std::int64_t reach = o.padding == Padding::same ? span % 2 : (p || span > stride) ? span : stride;
      return checked_add(who, checked_multiply(who, size - 1, stride),
                         checked_add(who, reach, output_padding));
    };
    const Shape out{
        extent(input[0], o.kernel_size.height, o.strides.height, o.dilation_rate.height, p ? p->height : 0),
        extent(input[1], o.kernel_size.width, o.strides.width, o.dilation_rate.width, p ? p->width : 0),
        o.filters};
    const Conv2DGeometry g = ops::conv2d_geometry(
        who, out, input[2], {o.kernel_size, o.strides, o.dilation_rate, o.padding}, batch);
    require<ShapeError>(g.out_h == input[0] && g.out_w == input[1], who,
                        "padding `same` with a kernel of even "
                        "extent expects an output_padding of at least 1, found ",
                        p.value_or(0).to_string());
    return g;
  }
  Conv2DGeometry geometry(const Shape& x) const { return geometry(x.without_batch(), x[0]); }

  ParameterPtr<T> kernel_, bias_;
};

template <class T>
using BasicConv2DTranspose = LayerHandle<Conv2DTransposeImpl<T>>;
using Conv2DTranspose = BasicConv2DTranspose<float>;

}}  // namespace strata::STRATA_ABI
