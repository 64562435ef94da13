#pragma once

#include <memory>
#include <string>

#include <strata/layers/initializers.hpp>
#include <strata/tensor/packed_weights.hpp>
#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Penalty on a weight, added to the loss: l1 * sum|w| + l2 * sum w^2.
struct Regularizer {
  double l1 = 0, l2 = 0;
  explicit operator bool() const { return l1 != 0 || l2 != 0; }
  friend constexpr bool operator==(const Regularizer&, const Regularizer&) = default;
};
constexpr Regularizer L1(double l1 = 0.01) {
  return {.l1 = l1};
}
constexpr Regularizer L2(double l2 = 0.01) {
  return {.l2 = l2};
}
constexpr Regularizer L1L2(double l1 = 0, double l2 = 0) {
  return {l1, l2};
}

/// A weight of a layer: its values, whether optimizers may change it, and what backends derived from it.
template <class T>
class BasicParameter {
 public:
  BasicParameter(std::string name, Tensor<T> value, bool trainable, Regularizer regularizer)
      : name_(std::move(name)), value_(std::move(value)), trainable_(trainable), regularizer_(regularizer) {}

  const std::string& name() const { return name_; }  ///< "kernel"
  bool trainable() const { return trainable_; }      ///< false for moving statistics
  const Regularizer& regularizer() const { return regularizer_; }
  const Shape& shape() const { return value_.shape(); }
  const Tensor<T>& value() const { return value_; }
  WeightView<T> view() const { return {value_.data(), version_, &packed_}; }

  /// The values, to be changed; whatever was derived from them is stale from now on.
  Tensor<T>& mutate() {
    ++version_;
    return value_;
  }
  /// Moves the values to another device.
  void move_to(const DevicePtr& device) {
    packed_.clear();
    mutate() = value_.to(device);
  }

 private:
  std::string name_;
  Tensor<T> value_;
  bool trainable_;
  Regularizer regularizer_;
  std::uint64_t version_ = 1;
  mutable PackedWeights packed_;
};

/// Elements that make whole cache lines: where gradients lie one behind the other, each begins with one.
template <class T>
constexpr std::int64_t whole_lines(std::int64_t size) {
  constexpr std::int64_t line = 64 / sizeof(T);
  return (size + line - 1) / line * line;
}

/// Of what a batch normalization derives for a call that does its work: rows of scale, bias, zeros and ones.
template <class T>
constexpr Shape folded_shape(std::int64_t channels) {
  return {4, whole_lines<T>(channels)};
}

template <class T>
using ParameterPtr = std::shared_ptr<BasicParameter<T>>;

}}  // namespace strata::STRATA_ABI
