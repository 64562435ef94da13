#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct InputOptions {
  Shape shape;  ///< of one sample, {150, 150, 3}
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("shape", shape);
  }
};

/// Where data enters a model. Shapes: none -> [batch, ...shape].
template <class T>
class InputImpl final : public LayerBase<InputImpl<T>, T, InputOptions> {
 public:
  using Base = LayerBase<InputImpl<T>, T, InputOptions>;
  static constexpr const char* type = "InputLayer";
  explicit InputImpl(InputOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes) const override { return this->options().shape; }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T>, TensorView<T>, BasicContext<T>&) const override {}
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T>, InputGradients<T>,
                BasicContext<T>&) const override {}
};

/// `Input({.shape = {180, 180, 3}})`: the first layer of a Sequential, or a symbolic tensor for the
/// functional API.
template <class T>
class BasicInput : public LayerHandle<InputImpl<T>> {
 public:
  explicit BasicInput(InputOptions options)
      : LayerHandle<InputImpl<T>>(std::move(options)),
        symbol_(std::make_shared<const typename BasicSymbol<T>::Node>(
            typename BasicSymbol<T>::Node{this->impl_, {}, this->impl_->output_shape({})})) {}
  operator const BasicSymbol<T>&() const { return symbol_; }

 private:
  BasicSymbol<T> symbol_;
};
using Input = BasicInput<float>;

}}  // namespace strata::STRATA_ABI
