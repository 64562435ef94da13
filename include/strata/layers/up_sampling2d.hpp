#pragma once

#include <cstdlib>
#include <utility>

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct UpSampling2DOptions {
  Size2D size = 2;
  Interpolation interpolation = Interpolation::nearest;
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("size", size);
    f("interpolation", interpolation);
  }
};

/// Pictures `size` times as large: every pixel repeated, or bilinear between pixels' centres. Shapes:
/// [batch,h,w,c] -> [batch,h*height,w*width,c]. Source: Keras's UpSampling2D.
template <class T>
class UpSampling2DImpl final : public LayerBase<UpSampling2DImpl<T>, T, UpSampling2DOptions> {
 public:
  using Base = LayerBase<UpSampling2DImpl<T>, T, UpSampling2DOptions>;
  static constexpr const char* type = "UpSampling2D";
  explicit UpSampling2DImpl(UpSampling2DOptions options) : Base(std::move(options)) {
    const Size2D& size = this->options().size;
    require<ConfigError>(size.height > 0 && size.width > 0, this->who(),
                         "expected a size of at least 1, found ", size.to_string());
  }

  Shape output_shape(Shapes inputs) const override {
    ops::detail::require_images(this->who(), this->single(inputs));
    const std::string who = this->who();
    const Shape out{checked_multiply(who, inputs[0][0], this->options().size.height),
                    checked_multiply(who, inputs[0][1], this->options().size.width), inputs[0][2]};
    ops::detail::require_countable(who, out[0], out[1], out[2]);
    return out;
  }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    if (y.size() == 0) return;
    const auto [columns, rows] = axes(x[0].shape());
    const auto memory = context.scratch({scratch(x[0].shape())});
    T* const wide = memory.data();
    enlarge(columns, x[0].data(), wide, wide + rows.size(), context.backend());
    enlarge(rows, wide, y.data(), wide + rows.size(), context.backend());
  }
  void backward(Inputs<T> x, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (!dx[0] || dx[0].size() == 0) return;
    const auto [columns, rows] = axes(x[0].shape());
    const auto memory = context.scratch({3 * rows.size()});
    T* const wide = memory.data();
    gather(rows, dy.data(), wide, wide + rows.size(), context.backend());
    gather(columns, wide, dx[0].data(), wide + rows.size(), context.backend());
  }
  LayerCost cost(Shapes x, const BasicContext<T>&) const override { return {.scratch = scratch(x[0])}; }

 private:
  /// [outer,count,inner] becomes [outer,count*times,inner].
  struct Axis {
    std::int64_t outer, count, inner, times;
    std::int64_t size() const { return outer * count * inner; }
  };
  struct Axes {
    Axis columns, rows;  // in the order of their enlargement
  };
  Axes axes(const Shape& x) const {
    const Size2D& size = this->options().size;
    return {{x[0] * x[1], x[2], x[3], size.width}, {x[0], x[1], x[2] * size.width * x[3], size.height}};
  }
  bool bilinear() const { return this->options().interpolation == Interpolation::bilinear; }
  std::int64_t scratch(const Shape& x) const { return (bilinear() ? 3 : 1) * axes(x).rows.size(); }

  /// Output number i * times + phase lies this far from input number i.
  T distance(const Axis& axis, std::int64_t phase) const {
    return bilinear()
               ? static_cast<T>((static_cast<double>(phase) + 0.5) / static_cast<double>(axis.times) - 0.5)
               : T(0);
  }
  /// Two calls of `copy(rows, columns, from, to)`, in elements of one of `outer`: every input takes the place
  /// of the one before it (direction -1) or behind it (1); that at the edge keeps its own, too.
  template <class Copy>
  static void neighbours(const Axis& axis, int direction, Copy copy) {
    const std::int64_t rest = (axis.count - 1) * axis.inner;
    copy(rest, direction > 0 ? axis.inner : 0, direction > 0 ? 0 : axis.inner);
    copy(axis.inner, direction > 0 ? rest : 0, direction > 0 ? rest : 0);
  }

  /// `room` has the size of two inputs where there is something between pixels.
  void enlarge(const Axis& axis, const T* x, T* y, T* room, Backend<T>& backend) const {
    const std::int64_t size = axis.size(), pitch = axis.count * axis.inner;
    T *const neighbour = room, *const between = room + size;
    int direction = 0;
    for (std::int64_t phase = 0; phase < axis.times; ++phase) {
      const T far = distance(axis, phase);
      const T* from = x;
      if (far != 0) {
        if (const int to = far > 0 ? 1 : -1; to != std::exchange(direction, to))
          neighbours(axis, to, [&](std::int64_t columns, std::int64_t source, std::int64_t target) {
            backend.copy_block(axis.outer, columns, x + source, pitch, neighbour + target, pitch);
          });
        backend.affine(size, 1 - std::abs(far), 0, x, between);
        backend.axpy(size, std::abs(far), neighbour, between);
        from = between;
      }
      backend.copy_block(axis.outer * axis.count, axis.inner, from, axis.inner, y + phase * axis.inner,
                         axis.times * axis.inner);
    }
  }
  /// The gradient: what `enlarge` spread is summed.
  void gather(const Axis& axis, const T* dy, T* dx, T* room, Backend<T>& backend) const {
    const std::int64_t size = axis.size(), pitch = axis.count * axis.inner;
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    T *const part = room, *const moved = room + size;
    backend.zero(dx, bytes);
    for (std::int64_t phase = 0; phase < axis.times; ++phase) {
      const T far = distance(axis, phase);
      backend.copy_block(axis.outer * axis.count, axis.inner, dy + phase * axis.inner,
                         axis.times * axis.inner, part, axis.inner);
      backend.axpy(size, 1 - std::abs(far), part, dx);
      if (far == 0) continue;
      neighbours(axis, far > 0 ? 1 : -1, [&](std::int64_t columns, std::int64_t source, std::int64_t target) {
        backend.zero(moved, bytes);
        backend.copy_block(axis.outer, columns, part + target, pitch, moved + source, pitch);
        backend.axpy(size, std::abs(far), moved, dx);
      });
    }
  }
};

template <class T>
using BasicUpSampling2D = LayerHandle<UpSampling2DImpl<T>>;
using UpSampling2D = BasicUpSampling2D<float>;

}}  // namespace strata::STRATA_ABI
