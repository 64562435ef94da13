#pragma once

#include <string>
#include <vector>

#include <strata/model/model.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How far two tensors are apart.
struct TensorDifference {
  std::string name;        ///< "kernel"; "input", or "input 1" of several, for the gradient of an input
  double largest = 0;      ///< |a - b| over the largest |b| of the tensor; infinite where only one is finite
  std::int64_t index = 0;  ///< of the element where it is, counted through the whole tensor

  /// "1.2e-07 at 35"
  std::string text() const;
};

/// What one call of one layer does differently on two devices.
struct LayerDifference {
  std::string path;  ///< "vgg16/block1_conv1"
  std::string class_name;
  Shape shape;  ///< of the output, with the batch axis
  TensorDifference output;
  /// d(loss)/d(input) for every input, then d(loss)/d(weight), the latter at the layer's first call and over
  /// all of them.
  std::vector<TensorDifference> gradients;

  /// The largest of all.
  double largest() const;
};

struct DeviceComparison {
  std::string a, b;  ///< what the devices say of themselves
  /// In computing order, without those that compute nothing (Flatten) or whose work another one does (an
  /// activation behind a convolution): that one's row shows both.
  std::vector<LayerDifference> layers;

  /// Throws ConfigError where there is no layer of that path.
  const LayerDifference& at(const std::string& path) const;
  /// The layer that differs most.
  const LayerDifference& worst() const;
  /// A table for people.
  std::string text() const;
};

/// Runs a model of one output forward and backward on device `a` and on `b`, outside training, from a random
/// gradient of the output that is always the same. Every layer gets on `a` what it got on `b`, so each row
/// shows what that layer alone does: errors do not add up on the way. Frozen layers are compared as well. The
/// model stays as it is: its clones are run. One tensor [batch, ...] per input. Throws ConfigError for a
/// model that is not built or has several outputs, ShapeError for other inputs, DeviceError where a device
/// does not compute in T.
template <class T>
DeviceComparison compare_devices(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x,
                                 const DevicePtr& a, const DevicePtr& b);
template <class T>
DeviceComparison compare_devices(const BasicNetwork<T>& model, const Tensor<T>& x, const DevicePtr& a,
                                 const DevicePtr& b) {
  return compare_devices(model, std::vector<Tensor<T>>{x}, a, b);
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/compare_devices.ipp>
#endif
