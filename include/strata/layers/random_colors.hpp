#pragma once

#include <strata/layers/random_layer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Random contrast and brightness: `parameters` are a PixelAdjustment.
template <class Derived, class T, class Options>
class RandomAdjustment : public RandomLayer<Derived, T, Options, PixelAdjustment> {
 public:
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    this->run(x[0], y, context, [&](const PixelGeometry& g, const PixelAdjustment* adjustments) {
      context.backend().adjust_pixels(g, adjustments, x[0].data(), y.data());
    });
  }
  // The parameters are a function of the step, so the backward pass draws them again.
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (!dx[0]) return;
    this->run(dy, dx[0], context, [&](const PixelGeometry& g, const PixelAdjustment* adjustments) {
      context.backend().adjust_pixels_backward(g, adjustments, x[0].data(), dy.data(), dx[0].data());
    });
  }
  bool is_identity() const { return false; }  // values are clipped

 protected:
  using RandomLayer<Derived, T, Options, PixelAdjustment>::RandomLayer;
};

/// {lower, upper}: contrasts from 1 - lower to 1 + upper. A number v is {0, v}, as in Keras.
struct ContrastRange : Range {
  using Range::Range;
  constexpr ContrastRange(double v) : Range(0, v) {}
};

struct RandomContrastOptions {
  ContrastRange factor = 0;
  Range value_range = {0, 255};           ///< to which results are clipped
  std::optional<std::int64_t> seed = {};  ///< of the draws; none: that of the model, each layer for itself
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("factor", factor);
    f("value_range", value_range);
    f("seed", seed);
  }
};

/// In training, y = contrast * (x - mean) + mean with the mean of the picture's channel. Source: Keras's
/// RandomContrast.
template <class T>
class RandomContrastImpl final : public RandomAdjustment<RandomContrastImpl<T>, T, RandomContrastOptions> {
 public:
  using Base = RandomAdjustment<RandomContrastImpl<T>, T, RandomContrastOptions>;
  static constexpr const char* type = "RandomContrast";
  explicit RandomContrastImpl(RandomContrastOptions options) : Base(std::move(options)) {
    this->require_within("factor", this->options().factor, -1, 1);
  }

  template <class Draw>
  PixelAdjustment parameters(Draw draw, std::int64_t, std::int64_t) const {
    const auto& o = this->options();
    return {.contrast = draw(0, Range(1 - o.factor.lower, 1 + o.factor.upper)),
            .least = o.value_range.lower,
            .greatest = o.value_range.upper};
  }
};

struct RandomBrightnessOptions {
  Range factor = 0;                       ///< of the width of value_range
  Range value_range = {0, 255};           ///< to which results are clipped
  std::optional<std::int64_t> seed = {};  ///< of the draws; none: that of the model, each layer for itself
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("factor", factor);
    f("value_range", value_range);
    f("seed", seed);
  }
};

/// In training, adds to the values of each picture. Source: Keras's RandomBrightness.
template <class T>
class RandomBrightnessImpl final
    : public RandomAdjustment<RandomBrightnessImpl<T>, T, RandomBrightnessOptions> {
 public:
  using Base = RandomAdjustment<RandomBrightnessImpl<T>, T, RandomBrightnessOptions>;
  static constexpr const char* type = "RandomBrightness";
  explicit RandomBrightnessImpl(RandomBrightnessOptions options) : Base(std::move(options)) {
    this->require_within("factor", this->options().factor, -1, 1);
  }

  template <class Draw>
  PixelAdjustment parameters(Draw draw, std::int64_t, std::int64_t) const {
    const auto& [lower, upper] = this->options().value_range;
    return {
        .brightness = draw(0, this->options().factor) * (upper - lower), .least = lower, .greatest = upper};
  }
};

template <class T>
using BasicRandomContrast = LayerHandle<RandomContrastImpl<T>>;
using RandomContrast = BasicRandomContrast<float>;
template <class T>
using BasicRandomBrightness = LayerHandle<RandomBrightnessImpl<T>>;
using RandomBrightness = BasicRandomBrightness<float>;

}}  // namespace strata::STRATA_ABI
