#pragma once

#include <concepts>
#include <string>
#include <vector>

#include <strata/model/compare_devices.hpp>
#include <strata/training/fit.hpp>

namespace strata { inline namespace STRATA_ABI {

struct GradientCheckOptions {
  double step = 1e-5;          ///< of the central differences
  std::int64_t elements = 40;  ///< checked at most of each tensor, evenly spread
};

/// How far the backward pass and central differences are apart, one entry per tensor.
struct GradientCheck {
  /// Named by path, "dense/kernel", and "x" for the input, of several inputs by their layers. `largest` is
  /// relative to the largest gradient of the tensor, or to 1e-5 where that is less: below are rounding errors
  /// of the differences.
  std::vector<TensorDifference> gradients;

  /// The largest of all.
  double largest() const;
  /// A table for people.
  std::string text() const;
};

/// Compares the gradients of the loss, penalties included and outside training, with
/// (loss(w + step) - loss(w - step)) / (2 step) for x and for every weight that trains. A right backward pass
/// in double stays below 1e-6, but for elements within a step of a kink (relu at 0). x is [batch, ...] and y
/// what the loss takes. The model stays as it is: a clone is run. Throws ConfigError for a model that was not
/// compiled or no element to check, DeviceError where the model's device does not compute in double.
template <std::same_as<double> T>
GradientCheck check_gradients(const BasicModel<T>& model, const Tensor<T>& x, const Tensor<T>& y,
                              const GradientCheckOptions& options = {});
/// The same for a tensor for each input and output.
template <std::same_as<double> T>
GradientCheck check_gradients(const BasicModel<T>& model, const std::vector<Tensor<T>>& x,
                              const std::vector<Tensor<T>>& y, const GradientCheckOptions& options = {});

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/check_gradients.ipp>
#endif
