#pragma once

#include <optional>
#include <vector>

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

enum class MergeKind { add, subtract, multiply, average, maximum, minimum };
inline constexpr const char* merge_types[] = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"};

struct MergeOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

/// What the merging layers compute, for each kind. Where an input has extent 1, or lacks leading axes, it is
/// repeated, as in Keras: [h,w,c] + [1,1,c] + [c] is [h,w,c].
template <class T>
class Merging {
 public:
  static Shape output_shape(MergeKind kind, const std::string& who, Shapes inputs) {
    require<ShapeError>(kind != MergeKind::subtract || inputs.size() == 2, who, "expected two inputs, found ",
                        inputs.size());
    require<ShapeError>(inputs.size() >= 2, who, "expected two or more inputs, found ", inputs.size());
    Shape out = inputs[0];
    for (const Shape& shape : inputs.subspan(1)) {
      const bool longer = shape.rank() > out.rank();
      const Shape& other = longer ? out : shape;
      Shape sum = longer ? shape : out;
      for (int axis = -1; axis >= -other.rank(); --axis) {
        require<ShapeError>(sum[axis] == other[axis] || sum[axis] == 1 || other[axis] == 1, who,
                            "expected inputs of one shape, or extents of 1 where they differ, found ", out,
                            " and ", shape);
        if (sum[axis] == 1) sum[axis] = other[axis];
      }
      out = sum;
    }
    return out;
  }
  static void forward(MergeKind kind, Inputs<T> x, TensorView<T> y, BasicContext<T>& context) {
    Backend<T>& backend = context.backend();
    if (y.size() == 0) return;
    const auto memory = room_for(kind, x, y.shape(), 0, context);
    T* const room = memory ? memory->data() : nullptr;
    if (kind == MergeKind::multiply) {
      const T* const first = widen(x[0], y.shape(), room, backend);
      multiply(first, x, 0, y, room + widening(x[0].shape(), y.shape()), backend);
    } else if (is_extremum(kind)) {
      stack(kind, x, y.shape(), room, backend);
      backend.pool2d(across(x.size(), y.shape()), PoolKind::max, room, y.data());
      if (kind == MergeKind::minimum) backend.affine(y.size(), -1, 0, y.data(), y.data());
    } else {
      for (std::size_t i = 0; i < x.size(); ++i) {
        const T* const part = widen(x[i], y.shape(), room, backend);
        if (i == 0)
          backend.affine(y.size(), factor(kind, i, x.size()), 0, part, y.data());
        else
          backend.axpy(y.size(), factor(kind, i, x.size()), part, y.data());
      }
    }
  }
  static void backward(MergeKind kind, Inputs<T> x, TensorView<const T> y, TensorView<const T> dy,
                       InputGradients<T> dx, BasicContext<T>& context) {
    Backend<T>& backend = context.backend();
    const std::size_t bytes = static_cast<std::size_t>(y.size()) * sizeof(T);
    if (bytes == 0) {
      for (const auto& gradient : dx)
        if (gradient) backend.zero(gradient.data(), static_cast<std::size_t>(gradient.size()) * sizeof(T));
    } else if (is_extremum(kind)) {
      const Pool2DGeometry g = across(x.size(), y.shape());
      const std::int64_t stacked = y.size() * g.in_h;
      const auto memory = room_for(kind, x, y.shape(), stacked + y.size(), context);
      T *const gradients = memory->data(), *const extremum = gradients + stacked;
      T* const inputs = extremum + y.size();
      stack(kind, x, y.shape(), inputs, backend);
      backend.affine(y.size(), kind == MergeKind::minimum ? -1 : 1, 0, y.data(), extremum);
      backend.pool2d_backward(g, PoolKind::max, Activation::linear, inputs, extremum, dy.data(), gradients);
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (!dx[i]) continue;
        backend.copy_block(g.batch, g.channels, gradients + static_cast<std::int64_t>(i) * g.channels,
                           g.in_h * g.channels, extremum, g.channels);
        narrow(1, extremum, y.shape(), dx[i], context);
      }
    } else if (kind == MergeKind::multiply) {
      const auto memory = room_for(kind, x, y.shape(), y.size(), context);
      const TensorView<T> gradient(memory->data(), y.shape());
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (!dx[i]) continue;
        multiply(dy.data(), x, i, gradient, memory->data() + y.size(), backend);
        narrow(1, gradient.data(), y.shape(), dx[i], context);
      }
    } else {
      for (std::size_t i = 0; i < x.size(); ++i)
        if (dx[i]) narrow(factor(kind, i, x.size()), dy.data(), y.shape(), dx[i], context);
    }
  }
  /// Of `forward`, with the batch axis.
  static std::int64_t scratch(MergeKind kind, Shapes x, const Shape& y) {
    std::int64_t largest = 0;
    for (const Shape& part : x)
      if (const std::int64_t size = widening(part, y); size > largest) largest = size;
    if (is_extremum(kind)) return static_cast<std::int64_t>(x.size()) * y.size() + largest;
    if (kind == MergeKind::multiply) return largest + widening(x[0], y) + (x.size() > 2 ? y.size() : 0);
    return largest;
  }

 private:
  /// [outer,1,inner] is repeated to [outer,times,inner].
  struct Repeat {
    std::int64_t outer = 1, times = 1, inner = 1;
    std::int64_t narrow() const { return outer * inner; }
    std::int64_t wide() const { return outer * times * inner; }
  };
  /// What makes x of the shape of y, the first axes last; axes behind it are those of y, axes in front of x.
  static std::vector<Repeat> repeats_of(const Shape& x, const Shape& y) {
    std::vector<Repeat> out;
    const int lacking = y.rank() - x.rank();
    const auto extent = [&](int axis) { return axis == 0 ? x[0] : axis <= lacking ? 1 : x[axis - lacking]; };
    Repeat repeat;
    for (int axis = y.rank() - 1; axis >= 0; --axis) {
      const bool repeated = extent(axis) != y[axis];
      if (repeated) repeat.times *= y[axis];
      if (repeat.times == 1 && !repeated) repeat.inner *= y[axis];
      if (repeated && (axis == 0 || extent(axis - 1) == y[axis - 1])) {
        for (int front = 0; front < axis; ++front) repeat.outer *= extent(front);
        out.push_back(repeat);
        repeat = {1, 1, repeat.times * repeat.inner};
      }
    }
    return out;
  }
  static void repeat(const T* x, const Repeat& r, T* y, Backend<T>& backend) {
    if (r.outer < r.times)
      for (std::int64_t o = 0; o < r.outer; ++o)
        backend.copy_block(r.times, r.inner, x + o * r.inner, 0, y + o * r.times * r.inner, r.inner);
    else
      for (std::int64_t t = 0; t < r.times; ++t)
        backend.copy_block(r.outer, r.inner, x, r.inner, y + t * r.inner, r.times * r.inner);
  }
  /// The sums that belong to `repeat`.
  static void sum(const T* dy, std::span<const Repeat> repeats, T* dx, BasicContext<T>& context) {
    const Repeat& r = repeats.back();
    if (repeats.size() > 1) {
      const auto narrow = context.scratch({r.narrow()});
      sum(dy, {&r, 1}, narrow.data(), context);
      return sum(narrow.data(), repeats.first(repeats.size() - 1), dx, context);
    }
    Backend<T>& backend = context.backend();
    if (r.outer < r.times) {
      for (std::int64_t o = 0; o < r.outer; ++o)
        backend.bias_gradient(r.times, r.inner, dy + o * r.times * r.inner, {dx + o * r.inner});
      return;
    }
    backend.zero(dx, static_cast<std::size_t>(r.narrow()) * sizeof(T));
    const auto part = context.scratch({r.narrow()});
    for (std::int64_t t = 0; t < r.times; ++t) {
      backend.copy_block(r.outer, r.inner, dy + t * r.inner, r.times * r.inner, part.data(), r.inner);
      backend.axpy(r.narrow(), 1, part.data(), dx);
    }
  }
  /// An input in the shape of the result: itself, or repeated in `room` of `widening(x, y)` elements.
  static const T* widen(TensorView<const T> x, const Shape& y, T* room, Backend<T>& backend) {
    const T* from = x.data();
    for (const Repeat& r : repeats_of(x.shape(), y)) {
      repeat(from, r, room, backend);
      from = room;
      room += r.wide();
    }
    return from;
  }
  static std::int64_t widening(const Shape& x, const Shape& y) {
    std::int64_t size = 0;
    for (const Repeat& r : repeats_of(x, y)) size += r.wide();
    return size;
  }
  /// dx = scale * dy, where x was repeated summed.
  static void narrow(T scale, const T* dy, const Shape& y, TensorView<T> dx, BasicContext<T>& context) {
    Backend<T>& backend = context.backend();
    const auto repeats = repeats_of(dx.shape(), y);
    if (repeats.empty()) return backend.affine(dx.size(), scale, 0, dy, dx.data());
    sum(dy, repeats, dx.data(), context);
    if (scale != 1) backend.affine(dx.size(), scale, 0, dx.data(), dx.data());
  }

  static bool is_extremum(MergeKind kind) { return kind == MergeKind::maximum || kind == MergeKind::minimum; }
  /// Of input i in a sum.
  static T factor(MergeKind kind, std::size_t i, std::size_t inputs) {
    if (kind == MergeKind::average) return T(1) / static_cast<T>(inputs);
    return kind == MergeKind::subtract && i == 1 ? -1 : 1;
  }
  /// What `forward` needs, in one piece, and `more`; nothing where that is nothing.
  static std::optional<Scratch<T>> room_for(MergeKind kind, Inputs<T> x, const Shape& y, std::int64_t more,
                                            BasicContext<T>& context) {
    std::vector<Shape> shapes;
    for (const auto& part : x) shapes.push_back(part.shape());
    const std::int64_t size = scratch(kind, shapes, y) + more;
    return size > 0 ? std::optional(context.scratch({size})) : std::nullopt;
  }
  /// y = first * the product of all inputs but one. To a backend, a product of elements is a depthwise
  /// convolution of one pixel.
  static void multiply(const T* first, Inputs<T> x, std::size_t left_out, TensorView<T> y, T* room,
                       Backend<T>& backend) {
    T* const other = room;  // for every second product: none may overlap what it is made of
    if (x.size() > 2) room += y.size();
    const std::int64_t count = y.size();
    const Conv2DGeometry pixel{.batch = 1,
                               .in_h = 1,
                               .in_w = 1,
                               .in_c = count,
                               .out_h = 1,
                               .out_w = 1,
                               .out_c = count,
                               .kernel_h = 1,
                               .kernel_w = 1,
                               .groups = count};
    std::size_t left = x.size() - 1;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (i == left_out) continue;
      const T* const part = widen(x[i], y.shape(), room, backend);
      T* const to = --left % 2 ? other : y.data();
      backend.conv2d(pixel, first, {part}, {}, to);
      first = to;
    }
  }
  /// To a backend, a maximum of inputs is that of a window over them: stacked as [batch,inputs,1,elements],
  /// for a minimum with their signs changed. A gradient goes to the first of equals, as in Keras.
  static Pool2DGeometry across(std::size_t inputs, const Shape& y) {
    const auto n = static_cast<std::int64_t>(inputs);
    return {.batch = y[0],
            .in_h = n,
            .in_w = 1,
            .channels = y.size() / y[0],
            .out_h = 1,
            .out_w = 1,
            .pool_h = n,
            .pool_w = 1};
  }
  static void stack(MergeKind kind, Inputs<T> x, const Shape& y, T* to, Backend<T>& backend) {
    const Pool2DGeometry g = across(x.size(), y);
    const std::int64_t pitch = g.in_h * g.channels, size = g.batch * pitch;
    for (std::size_t i = 0; i < x.size(); ++i)
      backend.copy_block(g.batch, g.channels, widen(x[i], y, to + size, backend), g.channels,
                         to + static_cast<std::int64_t>(i) * g.channels, pitch);
    if (kind == MergeKind::minimum) backend.affine(size, -1, 0, to, to);
  }
};

/// Two or more inputs merged element by element; of a Subtract exactly two. Source: Keras's Add, Subtract,
/// Multiply, Average, Maximum and Minimum.
template <class T, MergeKind kind>
class MergeImpl final : public LayerBase<MergeImpl<T, kind>, T, MergeOptions> {
 public:
  using Base = LayerBase<MergeImpl<T, kind>, T, MergeOptions>;
  static constexpr const char* type = merge_types[static_cast<int>(kind)];
  explicit MergeImpl(MergeOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    return Merging<T>::output_shape(kind, this->who(), inputs);
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    Merging<T>::forward(kind, x, y, context);
  }
  void backward(Inputs<T> x, TensorView<const T> y, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    Merging<T>::backward(kind, x, y, dy, dx, context);
  }
  bool append_to(const Shape&, Epilogue<T>& epilogue, bool) const override {
    return kind == MergeKind::add && epilogue.residual && epilogue.activation == Activation::linear &&
           !epilogue.max_pool_2x2;
  }
  LayerCost cost(Shapes x, const BasicContext<T>&) const override {
    std::vector<Shape> parts;
    for (const Shape& shape : x) parts.push_back(shape.without_batch());
    return {.scratch = Merging<T>::scratch(kind, x, output_shape(parts).with_batch(x[0][0]))};
  }
};

template <class T>
using BasicAdd = LayerHandle<MergeImpl<T, MergeKind::add>>;
using Add = BasicAdd<float>;
template <class T>
using BasicSubtract = LayerHandle<MergeImpl<T, MergeKind::subtract>>;
using Subtract = BasicSubtract<float>;
template <class T>
using BasicMultiply = LayerHandle<MergeImpl<T, MergeKind::multiply>>;
using Multiply = BasicMultiply<float>;
template <class T>
using BasicAverage = LayerHandle<MergeImpl<T, MergeKind::average>>;
using Average = BasicAverage<float>;
template <class T>
using BasicMaximum = LayerHandle<MergeImpl<T, MergeKind::maximum>>;
using Maximum = BasicMaximum<float>;
template <class T>
using BasicMinimum = LayerHandle<MergeImpl<T, MergeKind::minimum>>;
using Minimum = BasicMinimum<float>;

struct ConcatenateOptions {
  int axis = -1;  ///< as in Keras, 0 is the batch axis
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("axis", axis);
  }
};

/// Joins inputs along an axis other than the batch axis. Source: Keras's Concatenate.
template <class T>
class ConcatenateImpl final : public LayerBase<ConcatenateImpl<T>, T, ConcatenateOptions> {
 public:
  using Base = LayerBase<ConcatenateImpl<T>, T, ConcatenateOptions>;
  static constexpr const char* type = "Concatenate";
  explicit ConcatenateImpl(ConcatenateOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    require<ShapeError>(inputs.size() >= 2, this->who(), "expected two or more inputs, found ",
                        inputs.size());
    const int axis = this->axis(inputs[0].rank() + 1) - 1;
    Shape out = inputs[0];
    for (std::size_t i = 1; i < inputs.size(); ++i) {
      Shape rest = inputs[i];
      require<ShapeError>(rest.rank() == out.rank(), this->who(), "expected inputs of one rank, found ", out,
                          " and ", rest);
      const std::int64_t extent = rest[axis];
      rest[axis] = out[axis];
      require<ShapeError>(rest == out, this->who(), "inputs may differ in axis ", axis + 1, " only, found ",
                          inputs[0], " and ", inputs[i]);
      out[axis] = checked_add(this->who(), out[axis], extent);
    }
    return out;
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    std::int64_t offset = 0;
    const std::int64_t rows = this->rows(y.shape()), width = rows ? y.size() / rows : 0;
    for (const auto& part : x) {
      const std::int64_t columns = rows ? part.size() / rows : 0;
      context.backend().copy_block(rows, columns, part.data(), columns, y.data() + offset, width);
      offset += columns;
    }
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    std::int64_t offset = 0;
    const std::int64_t rows = this->rows(dy.shape()), width = rows ? dy.size() / rows : 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::int64_t columns = rows ? x[i].size() / rows : 0;
      if (dx[i])
        context.backend().copy_block(rows, columns, dy.data() + offset, width, dx[i].data(), columns);
      offset += columns;
    }
  }

 private:
  // Counted from the batch axis.
  int axis(int rank) const {
    const int axis = this->options().axis < 0 ? rank + this->options().axis : this->options().axis;
    require<ConfigError>(axis > 0 && axis < rank, this->who(), "expected an axis behind the batch axis of ",
                         rank, " axes, found ", this->options().axis);
    return axis;
  }
  // Everything in front of the axis; what follows it is contiguous.
  std::int64_t rows(const Shape& y) const { return Shape(y.begin(), y.begin() + axis(y.rank())).size(); }
};

template <class T>
using BasicConcatenate = LayerHandle<ConcatenateImpl<T>>;
using Concatenate = BasicConcatenate<float>;

}}  // namespace strata::STRATA_ABI
