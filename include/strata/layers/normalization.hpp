#pragma once

#include <span>
#include <vector>

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct NormalizationOptions {
  std::vector<double> mean = {}, variance = {};  ///< of each channel, or one for all; neither: `adapt`
  bool invert = false;                           ///< y = x * sqrt(variance) + mean
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("mean", mean);
    f("variance", variance);
    f("invert", invert);
  }
};

/// Mean and variance of each channel.
struct ChannelMoments {
  std::vector<double> mean, variance;
};

/// y = (x - mean) / sqrt(variance) of each channel (last axis). Shapes: any with channels, kept. Where the
/// options do not give them, mean and variance are weights [c] that do not train: 0 and 1 until `adapt` takes
/// them from data. A deviation counts as 1e-7 at least. Source: Keras's Normalization with axis=-1, without
/// its weight `count`, which nothing reads.
template <class T>
class NormalizationImpl final : public LayerBase<NormalizationImpl<T>, T, NormalizationOptions> {
 public:
  using Base = LayerBase<NormalizationImpl<T>, T, NormalizationOptions>;
  static constexpr const char* type = "Normalization";
  explicit NormalizationImpl(NormalizationOptions options)
      : Base(std::move(options)), moments_{this->options().mean, this->options().variance} {}

  LayerPtr<T> copy() const override {
    LayerPtr<T> out = Base::copy();
    static_cast<NormalizationImpl&>(*out).moments_ = moments_;
    return out;
  }
  Shape output_shape(Shapes inputs) const override {
    require<ShapeError>(this->single(inputs).rank() > 0, this->who(),
                        "expected an input with channels, found a scalar");
    require_moments(moments_, inputs[0].back());
    return inputs[0];
  }
  void build(Shapes inputs) override {
    const Shape shape{inputs[0].back()};
    if (given()) {
      mean_ = constant("mean", shape);
      variance_ = constant("variance", shape);
    } else {
      mean_ = this->add_weight("mean", shape, initializers::zeros(), {}, false);
      variance_ = this->add_weight("variance", shape, initializers::ones(), {}, false);
    }
    if (!moments_.mean.empty()) set_values();
  }
  void move_to(const DevicePtr& device) override {
    Base::move_to(device);
    if (!given() || !this->built()) return;
    mean_->move_to(device);
    variance_->move_to(device);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    const auto [spec, moments] = call(x[0].shape(), context);
    context.backend().batch_norm_inference(spec, x[0].data(), moments, y.data());
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (!dx[0]) return;
    const auto [spec, moments] = call(x[0].shape(), context);
    context.backend().batch_norm_backward(spec, x[0].data(), moments, true, dy.data(), dx[0].data(), {}, {});
  }
  LayerCost cost(Shapes inputs, const BasicContext<T>&) const override {
    return {.saved = folded_shape<T>(inputs[0].back()).size()};
  }

  /// Normalises by these from now on, whether there are weights yet or not. Throws ConfigError where the
  /// options have moments, and for other channels than those of the input.
  void adapt(ChannelMoments moments) {
    require<ConfigError>(!given(), this->who(), "has its mean and variance from the options, found adapt");
    if (this->built()) require_moments(moments, mean_->shape().back());
    moments_ = std::move(moments);
    if (this->built()) set_values();
  }

 private:
  struct Call {
    BatchNormSpec<T> spec;
    Moments<const T> moments;
  };
  /// As a batch normalization by fixed moments, of which it wants no epsilon: a small variance counts as more
  /// instead. The inverse is one by 0 and 1 whose gamma is the deviation.
  Call call(const Shape& x, BasicContext<T>& context) const {
    const std::int64_t channels = x.back(), row = whole_lines<T>(channels);
    const auto at = [row](T* first, int i) { return first + i * row; };
    T* const derived =
        context.derived(variance_->view().version, folded_shape<T>(channels), [&](T* variance) {
          Backend<T>& backend = context.backend();
          T *const zeros = at(variance, 1), *const ones = at(variance, 2);
          constexpr T least = static_cast<T>(1e-14);
          backend.affine(channels, 1, -least, variance_->value().data(), variance);
          backend.activation(Activation::relu, 1, channels, variance, variance);
          backend.affine(channels, 1, least, variance, variance);
          backend.zero(zeros, static_cast<std::size_t>(channels) * sizeof(T));
          backend.affine(channels, 0, 1, zeros, ones);
          backend.batch_norm_inference({1, channels}, variance, {zeros, variance}, at(variance, 3));
        });
    const T* const mean = mean_->value().data();
    if (this->options().invert)
      return {{x.rows(), channels, 0, at(derived, 3), mean}, {at(derived, 1), at(derived, 2)}};
    return {{x.rows(), channels}, {mean, derived}};
  }

  bool given() const { return !this->options().mean.empty() || !this->options().variance.empty(); }
  void require_moments(const ChannelMoments& moments, std::int64_t channels) const {
    const std::size_t mean = moments.mean.size(), variance = moments.variance.size();
    require<ConfigError>(mean == variance && (mean < 2 || static_cast<std::int64_t>(mean) == channels),
                         this->who(), "expected a mean and a variance of each of ", channels,
                         " channels, or one of each for all, found ", mean, " and ", variance);
  }
  /// No weight: it is in the options.
  ParameterPtr<T> constant(const std::string& name, const Shape& shape) const {
    return std::make_shared<BasicParameter<T>>(name, Tensor<T>(shape).to(this->build_options().device), false,
                                               Regularizer{});
  }
  void set_values() {
    const auto set = [](BasicParameter<T>& parameter, const std::vector<double>& values) {
      Tensor<T> to(parameter.shape());
      for (std::size_t i = 0; i < to.values().size(); ++i)
        to.values()[i] = static_cast<T>(values[values.size() == 1 ? 0 : i]);
      parameter.mutate() = to.to(parameter.value().device());
    };
    set(*mean_, moments_.mean);
    set(*variance_, moments_.variance);
  }

  ChannelMoments moments_;  // of the options or of data; none where the weights say
  ParameterPtr<T> mean_, variance_;
};

/// `normalization.adapt(x)` takes mean and variance from data.
template <class T>
class BasicNormalization : public LayerHandle<NormalizationImpl<T>> {
 public:
  using LayerHandle<NormalizationImpl<T>>::LayerHandle;

  /// Of the values of each channel of x [...,c], in host memory. Throws DataError where there are none and as
  /// the layer does.
  void adapt(const Tensor<T>& x) { adapt(std::span(&x, 1)); }
  /// Of all tensors of a range, or of all pictures that the batches of a Dataset give a network.
  template <class Range>
  void adapt(const Range& range) {
    ChannelMoments moments;
    double count = 0;
    for (const auto& item : range)
      if constexpr (requires { network_input(item); })
        add(network_input(item).to(nullptr), moments, count);
      else
        add(item, moments, count);
    require<DataError>(count > 0, this->impl()->who(), "expected data to adapt to, found none");
    for (double& variance : moments.variance) variance /= count;
    static_cast<NormalizationImpl<T>&>(*this->impl()).adapt(std::move(moments));
  }

 private:
  /// Welford, Technometrics 1962: until the end the variance is the sum of squares about the mean.
  template <class U>
  void add(const Tensor<U>& x, ChannelMoments& to, double& count) const {
    require<ShapeError>(x.rank() > 0 && (count == 0 || x.shape().back() == std::ssize(to.mean)),
                        this->impl()->who(), "expected data of ", to.mean.size(), " channels, found ",
                        x.shape());
    const auto channels = static_cast<std::size_t>(x.shape().back());
    to.mean.resize(channels);
    to.variance.resize(channels);
    for (std::size_t i = 0; i < x.values().size(); ++i) {
      const std::size_t c = i % channels;
      if (c == 0) ++count;
      const double value = static_cast<double>(x.values()[i]), difference = value - to.mean[c];
      to.mean[c] += difference / count;
      to.variance[c] += difference * (value - to.mean[c]);
    }
  }
};
using Normalization = BasicNormalization<float>;

}}  // namespace strata::STRATA_ABI
