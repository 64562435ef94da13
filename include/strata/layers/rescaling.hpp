#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct RescalingOptions {
  double scale = 1;
  double offset = 0;
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("scale", scale);
    f("offset", offset);
  }
};

/// y = x * scale + offset. Shapes: any, kept. Source: Keras's Rescaling.
template <class T>
class RescalingImpl final : public LayerBase<RescalingImpl<T>, T, RescalingOptions> {
 public:
  using Base = LayerBase<RescalingImpl<T>, T, RescalingOptions>;
  static constexpr const char* type = "Rescaling";
  explicit RescalingImpl(RescalingOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override { return this->single(inputs); }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().affine(y.size(), static_cast<T>(this->options().scale),
                             static_cast<T>(this->options().offset), x[0].data(), y.data());
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0])
      context.backend().affine(dy.size(), static_cast<T>(this->options().scale), 0, dy.data(), dx[0].data());
  }
};

template <class T>
using BasicRescaling = LayerHandle<RescalingImpl<T>>;
using Rescaling = BasicRescaling<float>;

}}  // namespace strata::STRATA_ABI
