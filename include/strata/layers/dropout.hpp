#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct DropoutOptions {
  double rate = 0;  ///< fraction of inputs that become 0, in [0, 1]
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("rate", rate);
  }
};

/// In training, zeroes a random fraction `rate` of the input and scales the rest by 1 / (1 - rate); else
/// passes it on. Source: Srivastava et al., JMLR 15, 2014; Keras's Dropout.
template <class T>
class DropoutImpl final : public LayerBase<DropoutImpl<T>, T, DropoutOptions> {
 public:
  using Base = LayerBase<DropoutImpl<T>, T, DropoutOptions>;
  static constexpr const char* type = "Dropout";
  explicit DropoutImpl(DropoutOptions options) : Base(std::move(options)) {
    const double rate = this->options().rate;
    require<ConfigError>(rate >= 0 && rate <= 1, this->who(), "expected a rate in [0, 1], found ", rate);
  }

  Shape output_shape(Shapes inputs) const override { return this->single(inputs); }
  bool passes_through(bool training) const override { return !training || this->options().rate == 0; }
  bool repeats(bool training) const override { return passes_through(training); }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    apply(x[0], y, context);
  }
  // The mask is a function of the step, so the backward pass draws it again.
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0]) apply(dy, dx[0], context);
  }

 private:
  void apply(TensorView<const T> x, TensorView<T> y, BasicContext<T>& context) const {
    const double rate = passes_through(context.training()) ? 0 : this->options().rate;
    if (rate == 1) return context.backend().zero(y.data(), static_cast<std::size_t>(y.size()) * sizeof(T));
    context.backend().dropout(x.size(), rate, context.random(), x.data(), y.data());
  }
};

template <class T>
using BasicDropout = LayerHandle<DropoutImpl<T>>;
using Dropout = BasicDropout<float>;

}}  // namespace strata::STRATA_ABI
