#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Rows and columns of zeros on each side. Converts from one number and from {height, width}, as in Keras.
struct Pad2D {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
  constexpr Pad2D() = default;
  constexpr Pad2D(std::int64_t all) : top(all), bottom(all), left(all), right(all) {}
  constexpr Pad2D(std::int64_t height, std::int64_t width)
      : top(height), bottom(height), left(width), right(width) {}
  constexpr Pad2D(std::int64_t t, std::int64_t b, std::int64_t l, std::int64_t r)
      : top(t), bottom(b), left(l), right(r) {}
};

struct ZeroPadding2DOptions {
  Pad2D padding = 1;
  std::string name = {};

  /// As Keras writes it: [[top,bottom],[left,right]]; a number and [height,width] are read too.
  template <class Fields>
  void fields(Fields& f) {
    Json json =
        Json::array({Json::array({padding.top, padding.bottom}), Json::array({padding.left, padding.right})});
    f("padding", json);
    const auto pair = [](const Json& side) {
      return side.is_int() ? std::pair{side.as_int(), side.as_int()}
                           : std::pair{side.at(std::size_t{0}).as_int(), side.at(std::size_t{1}).as_int()};
    };
    const auto [top, bottom] = pair(json.is_int() ? json : json.at(std::size_t{0}));
    const auto [left, right] = pair(json.is_int() ? json : json.at(std::size_t{1}));
    padding = {top, bottom, left, right};
  }
};

/// Zeros around pictures. Shapes: [batch,h,w,c] -> [batch,h+top+bottom,w+left+right,c]. Source: Keras's
/// ZeroPadding2D.
template <class T>
class ZeroPadding2DImpl final : public LayerBase<ZeroPadding2DImpl<T>, T, ZeroPadding2DOptions> {
 public:
  using Base = LayerBase<ZeroPadding2DImpl<T>, T, ZeroPadding2DOptions>;
  static constexpr const char* type = "ZeroPadding2D";
  explicit ZeroPadding2DImpl(ZeroPadding2DOptions options) : Base(std::move(options)) {
    const Pad2D& p = this->options().padding;
    require<ConfigError>(p.top >= 0 && p.bottom >= 0 && p.left >= 0 && p.right >= 0, this->who(),
                         "expected paddings of 0 or more");
  }

  Shape output_shape(Shapes inputs) const override {
    ops::detail::require_images(this->who(), this->single(inputs));
    const Pad2D& p = this->options().padding;
    const std::string who = this->who();
    const Shape out{checked_add(who, checked_add(who, inputs[0][0], p.top), p.bottom),
                    checked_add(who, checked_add(who, inputs[0][1], p.left), p.right), inputs[0][2]};
    ops::detail::require_countable(who, out[0], out[1], out[2]);
    return out;
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().pad2d(geometry(x[0].shape()), x[0].data(), y.data());
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0]) context.backend().pad2d_backward(geometry(x[0].shape()), dy.data(), dx[0].data());
  }

 private:
  Pad2DGeometry geometry(const Shape& x) const {
    const Pad2D& p = this->options().padding;
    return {x[0], x[1], x[2], x[3], p.top, p.bottom, p.left, p.right};
  }
};

template <class T>
using BasicZeroPadding2D = LayerHandle<ZeroPadding2DImpl<T>>;
using ZeroPadding2D = BasicZeroPadding2D<float>;

}}  // namespace strata::STRATA_ABI
