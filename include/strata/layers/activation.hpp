#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct ActivationOptions {
  Activation activation = Activation::linear;
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("activation", activation);
  }
};
struct ReLUOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};
struct LeakyReLUOptions {
  double negative_slope = 0.3;
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("negative_slope", negative_slope);
  }
};
struct SoftmaxOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

namespace detail {
inline Activation function_of(const ActivationOptions& options) {
  return options.activation;
}
inline Activation function_of(const ReLUOptions&) {
  return Activation::relu;
}
inline Activation function_of(const LeakyReLUOptions& options) {
  return Activation::leaky_relu(options.negative_slope);
}
inline Activation function_of(const SoftmaxOptions&) {
  return Activation::softmax;
}
template <class Options>
inline constexpr const char* activation_type = "Activation";
template <>
inline constexpr const char* activation_type<ReLUOptions> = "ReLU";
template <>
inline constexpr const char* activation_type<LeakyReLUOptions> = "LeakyReLU";
template <>
inline constexpr const char* activation_type<SoftmaxOptions> = "Softmax";
}  // namespace detail

/// An activation as a layer of its own; softmax is over the last axis. Shapes: any, kept.
template <class T, class Options>
class ActivationImpl final : public LayerBase<ActivationImpl<T, Options>, T, Options> {
 public:
  using Base = LayerBase<ActivationImpl<T, Options>, T, Options>;
  static constexpr const char* type = detail::activation_type<Options>;
  explicit ActivationImpl(Options options)
      : Base(std::move(options)), function_(detail::function_of(this->options())) {}

  Shape output_shape(Shapes inputs) const override {
    require<ShapeError>(this->single(inputs).rank() > 0, this->who(),
                        "expected an input with channels, found a scalar");
    return inputs[0];
  }
  bool passes_through(bool) const override { return function_ == Activation::linear; }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().activation(context.epilogue(function_).activation, y.shape().rows(), y.shape().back(),
                                 x[0].data(), y.data());
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0]) context.backend().affine(dy.size(), 1, 0, dy.data(), dx[0].data());
  }
  Activation final_activation() const override { return function_; }
  bool is_activation() const override { return true; }
  bool append_to(const Shape&, Epilogue<T>& epilogue, bool) const override {
    if (epilogue.activation != Activation::linear || epilogue.max_pool_2x2) return false;
    epilogue.activation = function_;
    return true;
  }

 private:
  Activation function_;
};

/// Keras's `Activation` layer; the plain name is the function itself.
template <class T>
using BasicActivationLayer = LayerHandle<ActivationImpl<T, ActivationOptions>>;
using ActivationLayer = BasicActivationLayer<float>;
template <class T>
using BasicReLU = LayerHandle<ActivationImpl<T, ReLUOptions>>;
using ReLU = BasicReLU<float>;
template <class T>
using BasicLeakyReLU = LayerHandle<ActivationImpl<T, LeakyReLUOptions>>;
using LeakyReLU = BasicLeakyReLU<float>;
template <class T>
using BasicSoftmax = LayerHandle<ActivationImpl<T, SoftmaxOptions>>;
using Softmax = BasicSoftmax<float>;

}}  // namespace strata::STRATA_ABI
