#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct AddOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

/// Sum of two or more inputs. Where an input has extent 1, or lacks leading axes, it is repeated, as in
/// Keras: [h,w,c] + [1,1,c] + [c] is [h,w,c]. Source: Keras's Add.
template <class T>
class AddImpl final : public LayerBase<AddImpl<T>, T, AddOptions> {
 public:
  using Base = LayerBase<AddImpl<T>, T, AddOptions>;
  static constexpr const char* type = "Add";
  explicit AddImpl(AddOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    require<ShapeError>(inputs.size() >= 2, this->who(), "expected two or more inputs, found ",
                        inputs.size());
    Shape out = inputs[0];
    for (const Shape& shape : inputs.subspan(1)) {
      const bool longer = shape.rank() > out.rank();
      const Shape& other = longer ? out : shape;
      Shape sum = longer ? shape : out;
      for (int axis = -1; axis >= -other.rank(); --axis) {
        require<ShapeError>(sum[axis] == other[axis] || sum[axis] == 1 || other[axis] == 1, this->who(),
                            "expected inputs of one shape, or extents of 1 where they differ, found ", out,
                            " and ", shape);
        if (sum[axis] == 1) sum[axis] = other[axis];
      }
      out = sum;
    }
    return out;
  }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    Backend<T>& backend = context.backend();
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto add = [&](const T* part) {
        if (i == 0)
          backend.affine(y.size(), 1, 0, part, y.data());
        else
          backend.axpy(y.size(), 1, part, y.data());
      };
      const auto repeats = repeats_of(x[i].shape(), y.shape());
      if (repeats.empty()) {
        add(x[i].data());
      } else {
        const auto wide = context.scratch(y.shape());
        repeat(x[i].data(), repeats, wide.data(), context);
        add(wide.data());
      }
    }
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!dx[i]) continue;
      const auto repeats = repeats_of(x[i].shape(), dy.shape());
      if (repeats.empty())
        context.backend().affine(dy.size(), 1, 0, dy.data(), dx[i].data());
      else
        sum(dy.data(), repeats, dx[i].data(), context);
    }
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
  static void repeat(const T* x, std::span<const Repeat> repeats, T* y, BasicContext<T>& context) {
    const Repeat& r = repeats[0];
    if (repeats.size() > 1) {
      const auto wide = context.scratch({r.wide()});
      repeat(x, {&r, 1}, wide.data(), context);
      return repeat(wide.data(), repeats.subspan(1), y, context);
    }
    Backend<T>& backend = context.backend();
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
};

template <class T>
using BasicAdd = LayerHandle<AddImpl<T>>;
using Add = BasicAdd<float>;

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
