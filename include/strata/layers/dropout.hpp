#pragma once

#include <strata/layers/merge.hpp>

namespace strata { inline namespace STRATA_ABI {

struct DropoutOptions {
  double rate = 0;  ///< fraction of inputs that become 0, in [0, 1]
  Shape noise_shape =
      {};  ///< of what is drawn for a sample, 1 along axes that share it: {1,1,1} drops samples
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("rate", rate);
    f("noise_shape", noise_shape);
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

  Shape output_shape(Shapes inputs) const override {
    const Shape &x = this->single(inputs), &noise = this->options().noise_shape;
    bool fits = noise.empty() || noise.rank() == x.rank();
    for (int axis = 0; fits && axis < noise.rank(); ++axis) fits = noise[axis] == 1 || noise[axis] == x[axis];
    require<ShapeError>(fits, this->who(),
                        "expected a noise_shape of 1 or the input's extent along each axis of ", x,
                        ", found ", noise);
    return x;
  }
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
  LayerCost cost(Shapes inputs, const BasicContext<T>& context) const override {
    const Shape& noise = this->options().noise_shape;
    if (noise.empty() || passes_through(context.training())) return {};
    const Shape factors[] = {inputs[0], noise.with_batch(inputs[0][0])};
    return {.saved = factors[1].size(),
            .scratch = Merging<T>::scratch(MergeKind::multiply, factors, inputs[0])};
  }

 private:
  void apply(TensorView<const T> x, TensorView<T> y, BasicContext<T>& context) const {
    const double rate = passes_through(context.training()) ? 0 : this->options().rate;
    if (rate == 1) return context.backend().zero(y.data(), static_cast<std::size_t>(y.size()) * sizeof(T));
    if (this->options().noise_shape.empty())
      return context.backend().dropout(x.size(), rate, context.random(), x.data(), y.data());
    Tensor<T>& mask = context.saved(0, this->options().noise_shape.with_batch(x.shape()[0]));
    const std::int64_t size = mask.size();
    context.backend().zero(mask.data(), static_cast<std::size_t>(size) * sizeof(T));
    context.backend().affine(size, 1, 1, mask.data(), mask.data());
    context.backend().dropout(size, rate, context.random(), mask.data(), mask.data());
    const TensorView<const T> factors[] = {x, TensorView<const T>(mask)};
    Merging<T>::forward(MergeKind::multiply, factors, y, context);
  }
};

template <class T>
using BasicDropout = LayerHandle<DropoutImpl<T>>;
using Dropout = BasicDropout<float>;

}}  // namespace strata::STRATA_ABI
