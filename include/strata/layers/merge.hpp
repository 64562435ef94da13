#pragma once

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct AddOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

/// Sum of two or more inputs of one shape. Source: Keras's Add.
template <class T>
class AddImpl final : public LayerBase<AddImpl<T>, T, AddOptions> {
 public:
  using Base = LayerBase<AddImpl<T>, T, AddOptions>;
  static constexpr const char* type = "Add";
  explicit AddImpl(AddOptions options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    require<ShapeError>(inputs.size() >= 2, this->who(), "expected two or more inputs, found ",
                        inputs.size());
    for (const Shape& shape : inputs)
      require<ShapeError>(shape == inputs[0], this->who(), "expected inputs of one shape, found ", inputs[0],
                          " and ", shape);
    return inputs[0];
  }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().affine(y.size(), 1, 0, x[0].data(), y.data());
    for (const auto& more : x.subspan(1)) context.backend().axpy(y.size(), 1, more.data(), y.data());
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    for (const auto& gradient : dx)
      if (gradient) context.backend().affine(dy.size(), 1, 0, dy.data(), gradient.data());
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
