#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct FlattenOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

/// All axes but the batch become one, in Keras's (NHWC) order. Shapes: [batch,...] -> [batch,n]. Copies
/// nothing.
template <class T>
class FlattenImpl final : public LayerBase<FlattenImpl<T>, T, FlattenOptions> {
 public:
  using Base = LayerBase<FlattenImpl<T>, T, FlattenOptions>;
  static constexpr const char* type = "Flatten";
  explicit FlattenImpl(FlattenOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override { return {this->single(inputs).size()}; }
  bool passes_through(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().affine(y.size(), 1, 0, x[0].data(), y.data());
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0]) context.backend().affine(dy.size(), 1, 0, dy.data(), dx[0].data());
  }
};

template <class T>
using BasicFlatten = LayerHandle<FlattenImpl<T>>;
using Flatten = BasicFlatten<float>;

}}  // namespace strata::STRATA_ABI
