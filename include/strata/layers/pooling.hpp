#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct Pooling2DOptions {
  Size2D pool_size = 2;
  Size2D strides = {};  ///< {}: pool_size
  Padding padding = Padding::valid;
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("pool_size", pool_size);
    f("strides", strides);
    f("padding", padding);
  }
};

/// Maximum or average over windows; padding takes no part in either. Shapes: [batch,h,w,c] ->
/// [batch,h',w',c]. Source: Keras's MaxPooling2D and AveragePooling2D.
template <class T, PoolKind kind>
class Pooling2DImpl final : public LayerBase<Pooling2DImpl<T, kind>, T, Pooling2DOptions> {
 public:
  using Base = LayerBase<Pooling2DImpl<T, kind>, T, Pooling2DOptions>;
  static constexpr const char* type = kind == PoolKind::max ? "MaxPooling2D" : "AveragePooling2D";
  explicit Pooling2DImpl(Pooling2DOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    const Pool2DGeometry g = geometry(this->single(inputs), 1);
    return {g.out_h, g.out_w, g.channels};
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    const Pool2DGeometry g = geometry(x[0].shape());
    context.backend().pool2d(g, kind, x[0].data(), y.data(), argmax(g, context));
  }
  void backward(Inputs<T> x, TensorView<const T> y, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (!dx[0]) return;
    const Pool2DGeometry g = geometry(x[0].shape());
    context.backend().pool2d_backward(g, kind, context.activation_in_front(), x[0].data(), y.data(),
                                      dy.data(), dx[0].data(), argmax(g, context));
  }
  LayerCost cost(Shapes x, const BasicContext<T>& context) const override {
    const Pool2DGeometry g = geometry(x[0]);
    return {.saved = remembers(g, context) ? detail::argmax_elements<T>(g) : 0};
  }
  bool goes_through_activation() const override { return true; }
  bool append_to(const Shape& x, Epilogue<T>& epilogue, bool) const override {
    const auto& o = this->options();
    const bool whole = o.padding == Padding::valid || (x[0] % 2 == 0 && x[1] % 2 == 0);
    if (kind != PoolKind::max || o.pool_size != Size2D(2) || strides() != Size2D(2) || !whole ||
        epilogue.max_pool_2x2)
      return false;
    epilogue.max_pool_2x2 = true;
    return true;
  }

 private:
  Size2D strides() const {
    return this->options().strides == Size2D{} ? this->options().pool_size : this->options().strides;
  }
  Pool2DGeometry geometry(const Shape& input, std::int64_t batch) const {
    return ops::pool2d_geometry(this->who(), input,
                                {this->options().pool_size, strides(), 1, this->options().padding}, batch);
  }
  Pool2DGeometry geometry(const Shape& x) const { return geometry(x.without_batch(), x[0]); }
  /// The backward pass goes by the places of the maxima.
  static bool remembers(const Pool2DGeometry& g, const BasicContext<T>& context) {
    return kind == PoolKind::max && context.recording() && context.backend().remembers_maxima(g);
  }
  static std::uint8_t* argmax(const Pool2DGeometry& g, BasicContext<T>& context) {
    return remembers(g, context) ? detail::saved_argmax(g, context) : nullptr;
  }
};

template <class T>
using BasicMaxPooling2D = LayerHandle<Pooling2DImpl<T, PoolKind::max>>;
using MaxPooling2D = BasicMaxPooling2D<float>;
template <class T>
using BasicAveragePooling2D = LayerHandle<Pooling2DImpl<T, PoolKind::average>>;
using AveragePooling2D = BasicAveragePooling2D<float>;

struct GlobalPooling2DOptions {
  bool keepdims = false;  ///< [batch,1,1,c] in place of [batch,c]
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("keepdims", keepdims);
  }
};

/// Maximum or average over all pixels of each channel. Shapes: [batch,h,w,c] -> [batch,c]. Source: Keras's
/// GlobalMaxPooling2D and GlobalAveragePooling2D.
template <class T, PoolKind kind>
class GlobalPooling2DImpl final : public LayerBase<GlobalPooling2DImpl<T, kind>, T, GlobalPooling2DOptions> {
 public:
  using Base = LayerBase<GlobalPooling2DImpl<T, kind>, T, GlobalPooling2DOptions>;
  static constexpr const char* type = kind == PoolKind::max ? "GlobalMaxPooling2D" : "GlobalAveragePooling2D";
  explicit GlobalPooling2DImpl(GlobalPooling2DOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    const std::int64_t channels = geometry(this->single(inputs).with_batch(1)).channels;
    return this->options().keepdims ? Shape{1, 1, channels} : Shape{channels};
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().pool2d(geometry(x[0].shape()), kind, x[0].data(), y.data());
  }
  void backward(Inputs<T> x, TensorView<const T> y, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0])
      context.backend().pool2d_backward(geometry(x[0].shape()), kind, context.activation_in_front(),
                                        x[0].data(), y.data(), dy.data(), dx[0].data());
  }
  bool goes_through_activation() const override { return true; }

 private:
  // One window as large as the picture.
  Pool2DGeometry geometry(const Shape& x) const {
    require<ShapeError>(x.rank() == 4 && x[1] > 0 && x[2] > 0, this->who(),
                        "expected images of shape [height,width,channels], found ", x.without_batch());
    return ops::pool2d_geometry(this->who(), x.without_batch(), {{x[1], x[2]}, 1, 1, Padding::valid}, x[0]);
  }
};

template <class T>
using BasicGlobalMaxPooling2D = LayerHandle<GlobalPooling2DImpl<T, PoolKind::max>>;
using GlobalMaxPooling2D = BasicGlobalMaxPooling2D<float>;
template <class T>
using BasicGlobalAveragePooling2D = LayerHandle<GlobalPooling2DImpl<T, PoolKind::average>>;
using GlobalAveragePooling2D = BasicGlobalAveragePooling2D<float>;

}}  // namespace strata::STRATA_ABI
