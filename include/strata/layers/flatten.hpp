#pragma once

#include <vector>

#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

struct FlattenOptions {
  std::string name = {};

  template <class Fields>
  void fields(Fields&) {}
};

struct ReshapeOptions {
  std::vector<std::int64_t> target_shape = {};  ///< without the batch axis; one may be -1: what is left
  std::string name = {};

  template <class Fields>
  void fields(Fields& f) {
    f("target_shape", target_shape);
  }
};

namespace detail {
template <class Options>
inline constexpr const char* reshaping_type = "Flatten";
template <>
inline constexpr const char* reshaping_type<ReshapeOptions> = "Reshape";

inline Shape reshaped(const std::string&, const FlattenOptions&, const Shape& input) {
  return {input.size()};
}
STRATA_COLD inline Shape reshaped(const std::string& who, const ReshapeOptions& options, const Shape& input) {
  std::int64_t known = 1;
  int unknown = -1;
  Shape out;
  for (const std::int64_t extent : options.target_shape) {
    require<ConfigError>(extent >= 0 || (extent == -1 && unknown < 0), who,
                         "expected a target_shape of extents of 0 or more and at most one -1, found ", extent,
                         extent == -1 ? " twice" : "");
    if (extent == -1) unknown = out.rank();
    known = checked_multiply(who, known, extent == -1 ? 1 : extent);
    out.append(extent == -1 ? 1 : extent);
  }
  if (unknown >= 0 && known > 0 && input.size() % known == 0) out[unknown] = input.size() / known;
  require<ShapeError>(out.size() == input.size() && (unknown < 0 || known > 0), who,
                      "expected a target_shape of ", input.size(), " elements, as many as the input ", input,
                      " has, found ", Json::array(options.target_shape).dump());
  return out;
}
}  // namespace detail

/// The same elements under another shape, in Keras's (NHWC) order: Flatten makes all axes but the batch one,
/// Reshape takes any shape. Copies nothing.
template <class T, class Options>
class ReshapingImpl final : public LayerBase<ReshapingImpl<T, Options>, T, Options> {
 public:
  using Base = LayerBase<ReshapingImpl<T, Options>, T, Options>;
  static constexpr const char* type = detail::reshaping_type<Options>;
  explicit ReshapingImpl(Options options) : Base(std::move(options)) {}

  Shape output_shape(Shapes inputs) const override {
    return detail::reshaped(this->who(), this->options(), this->single(inputs));
  }
  bool passes_through(bool) const override { return true; }
  bool repeats(bool) const override { return true; }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().affine(y.size(), 1, 0, x[0].data(), y.data());
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    if (dx[0]) context.backend().affine(dy.size(), 1, 0, dy.data(), dx[0].data());
  }
};

template <class T>
using BasicFlatten = LayerHandle<ReshapingImpl<T, FlattenOptions>>;
using Flatten = BasicFlatten<float>;
template <class T>
using BasicReshape = LayerHandle<ReshapingImpl<T, ReshapeOptions>>;
using Reshape = BasicReshape<float>;

}}  // namespace strata::STRATA_ABI
