#pragma once

#include <numbers>

#include <strata/layers/random_layer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Random warps: `parameters` are a PixelWarp, read by `sampling()`. There is no gradient through a warp,
/// except a flip: `backward` throws ConfigError.
template <class Derived, class T, class Options>
class RandomTransform : public RandomLayer<Derived, T, Options, PixelWarp> {
 public:
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    warp(x[0], y, context);
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (!dx[0]) return;
    require<ConfigError>(Derived::differentiable || this->passes_through(context.training()), this->who(),
                         "has no gradient; expected no layer that trains, and no input whose gradient is "
                         "wanted, in front of it");
    warp(dy, dx[0], context);
  }

 protected:
  using RandomLayer<Derived, T, Options, PixelWarp>::RandomLayer;
  static constexpr bool differentiable = false;

  PixelSampling sampling() const {
    const Options& o = this->options();
    return {o.fill_mode, static_cast<float>(o.fill_value), o.interpolation, EdgeRule::tensorflow};
  }

 private:
  void warp(TensorView<const T> x, TensorView<T> y, BasicContext<T>& context) const {
    this->run(x, y, context, [&](const PixelGeometry& g, const PixelWarp* warps) {
      context.backend().warp(g, this->derived().sampling(), warps, x.data(), y.data());
    });
  }
};

enum class FlipMode { horizontal, vertical, horizontal_and_vertical };
constexpr std::string_view names_of(FlipMode, std::size_t i) {
  constexpr std::string_view names[] = {"horizontal", "vertical", "horizontal_and_vertical"};
  return i < std::size(names) ? names[i] : std::string_view{};
}

struct RandomFlipOptions {
  FlipMode mode = FlipMode::horizontal_and_vertical;
  std::optional<std::int64_t> seed = {};  ///< of the draws; none: that of the model, each layer for itself
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("mode", mode);
    f("seed", seed);
  }
};

/// In training, mirrors half of the pictures; where `mode` names both axes, those along both, as Keras's
/// RandomFlip does.
template <class T>
class RandomFlipImpl final : public RandomTransform<RandomFlipImpl<T>, T, RandomFlipOptions> {
 public:
  using Base = RandomTransform<RandomFlipImpl<T>, T, RandomFlipOptions>;
  static constexpr const char* type = "RandomFlip";
  static constexpr bool differentiable = true;
  explicit RandomFlipImpl(RandomFlipOptions options) : Base(std::move(options)) {}

  bool is_identity() const { return false; }
  PixelSampling sampling() const { return {.interpolation = Interpolation::nearest}; }
  template <class Draw>
  PixelWarp parameters(Draw draw, std::int64_t, std::int64_t) const {
    const bool flip = draw(0, Range(0, 1)) <= 0.5;
    return {.flip_horizontal = flip && this->options().mode != FlipMode::vertical,
            .flip_vertical = flip && this->options().mode != FlipMode::horizontal};
  }
};

struct RandomRotationOptions {
  Range factor = 0;  ///< angles in turns, counter-clockwise
  FillMode fill_mode = FillMode::reflect;
  Interpolation interpolation = Interpolation::bilinear;
  double fill_value = 0;                  ///< of FillMode::constant
  std::optional<std::int64_t> seed = {};  ///< of the draws; none: that of the model, each layer for itself
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("factor", factor);
    f("fill_mode", fill_mode);
    f("interpolation", interpolation);
    f("fill_value", fill_value);
    f("seed", seed);
  }
};

namespace detail {
/// Turns pictures of height * width about their centre by `angle` radians.
PixelWarp rotation(double angle, std::int64_t height, std::int64_t width);
}  // namespace detail

/// In training, turns each picture about its centre. Source: Keras's RandomRotation.
template <class T>
class RandomRotationImpl final : public RandomTransform<RandomRotationImpl<T>, T, RandomRotationOptions> {
 public:
  using Base = RandomTransform<RandomRotationImpl<T>, T, RandomRotationOptions>;
  static constexpr const char* type = "RandomRotation";
  explicit RandomRotationImpl(RandomRotationOptions options) : Base(std::move(options)) {
    this->require_within("factor", this->options().factor, -1, 1);
  }

  bool is_identity() const { return this->options().factor == Range(0); }
  template <class Draw>
  PixelWarp parameters(Draw draw, std::int64_t height, std::int64_t width) const {
    const double angle = 2 * std::numbers::pi * draw(0, this->options().factor);
    return detail::rotation(angle, height, width);
  }
};

struct RandomZoomOptions {
  Range height_factor = 0;          ///< by how much more, or less, of the picture is seen
  OptionalRange width_factor = {};  ///< none: that drawn for the height
  FillMode fill_mode = FillMode::reflect;
  Interpolation interpolation = Interpolation::bilinear;
  double fill_value = 0;                  ///< of FillMode::constant
  std::optional<std::int64_t> seed = {};  ///< of the draws; none: that of the model, each layer for itself
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("height_factor", height_factor);
    f("width_factor", width_factor);
    f("fill_mode", fill_mode);
    f("interpolation", interpolation);
    f("fill_value", fill_value);
    f("seed", seed);
  }
};

/// In training, zooms each picture about its centre: at 0.2 it shrinks by 1 / 1.2, at -0.2 it grows by 1 /
/// 0.8. Source: Keras's RandomZoom.
template <class T>
class RandomZoomImpl final : public RandomTransform<RandomZoomImpl<T>, T, RandomZoomOptions> {
 public:
  using Base = RandomTransform<RandomZoomImpl<T>, T, RandomZoomOptions>;
  static constexpr const char* type = "RandomZoom";
  explicit RandomZoomImpl(RandomZoomOptions options) : Base(std::move(options)) {
    for (const auto& [option, range] : {std::pair{"height_factor", this->options().height_factor},
                                        std::pair{"width_factor", width_factor()}})
      require<ConfigError>(range.lower > -1 && range.upper <= 1, this->who(), "expected a ", option,
                           " in (-1, 1], found [", range.lower, ", ", range.upper, "]");
  }

  bool is_identity() const { return this->options().height_factor == Range(0) && width_factor() == Range(0); }
  template <class Draw>
  PixelWarp parameters(Draw draw, std::int64_t height, std::int64_t width) const {
    const double down = 1 + draw(0, this->options().height_factor);
    const double across = this->options().width_factor ? 1 + draw(1, width_factor()) : down;
    return {.matrix = {down, 0, 0.5 * static_cast<double>(height - 1) * (1 - down),  //
                       0, across, 0.5 * static_cast<double>(width - 1) * (1 - across)}};
  }

 private:
  Range width_factor() const { return this->options().width_factor.value_or(this->options().height_factor); }
};

struct RandomTranslationOptions {
  Range height_factor = 0, width_factor = 0;  ///< of the picture's size; down and to the right
  FillMode fill_mode = FillMode::reflect;
  Interpolation interpolation = Interpolation::bilinear;
  double fill_value = 0;                  ///< of FillMode::constant
  std::optional<std::int64_t> seed = {};  ///< of the draws; none: that of the model, each layer for itself
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("height_factor", height_factor);
    f("width_factor", width_factor);
    f("fill_mode", fill_mode);
    f("interpolation", interpolation);
    f("fill_value", fill_value);
    f("seed", seed);
  }
};

/// In training, moves each picture. Source: Keras's RandomTranslation.
template <class T>
class RandomTranslationImpl final
    : public RandomTransform<RandomTranslationImpl<T>, T, RandomTranslationOptions> {
 public:
  using Base = RandomTransform<RandomTranslationImpl<T>, T, RandomTranslationOptions>;
  static constexpr const char* type = "RandomTranslation";
  explicit RandomTranslationImpl(RandomTranslationOptions options) : Base(std::move(options)) {
    this->require_within("height_factor", this->options().height_factor, -1, 1);
    this->require_within("width_factor", this->options().width_factor, -1, 1);
  }

  bool is_identity() const {
    return this->options().height_factor == Range(0) && this->options().width_factor == Range(0);
  }
  template <class Draw>
  PixelWarp parameters(Draw draw, std::int64_t height, std::int64_t width) const {
    return {.matrix = {1, 0, -draw(0, this->options().height_factor) * static_cast<double>(height),  //
                       0, 1, -draw(1, this->options().width_factor) * static_cast<double>(width)}};
  }
};

template <class T>
using BasicRandomFlip = LayerHandle<RandomFlipImpl<T>>;
using RandomFlip = BasicRandomFlip<float>;
template <class T>
using BasicRandomRotation = LayerHandle<RandomRotationImpl<T>>;
using RandomRotation = BasicRandomRotation<float>;
template <class T>
using BasicRandomZoom = LayerHandle<RandomZoomImpl<T>>;
using RandomZoom = BasicRandomZoom<float>;
template <class T>
using BasicRandomTranslation = LayerHandle<RandomTranslationImpl<T>>;
using RandomTranslation = BasicRandomTranslation<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/layers/random_transforms.ipp>
#endif
