#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <strata/data/dataset.hpp>
#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// The way of batches to a device: pixels are warped and scaled there, and memory is reused from batch to
/// batch.
template <class T>
class BatchLoader {
 public:
  /// All work is done in the session's context, in order with the steps that follow there.
  explicit BatchLoader(std::shared_ptr<Session<T>> session) { batch_.session = std::move(session); }
  /// The batch on the device, until the next call. Throws ShapeError for pixels of more than 4 channels and
  /// for more or fewer warps than pictures.
  const DeviceBatch<T>& load(Batch batch);
  /// The same without x, in whose place the result [n,...] of the node that `path` leads to is given.
  const DeviceBatch<T>& load(Batch batch, std::span<const int> path, Tensor<T> result);
  /// Waits for what the session was given.
  void synchronize() { backend().synchronize(); }

 private:
  void move_targets(Batch& batch);
  template <class U, class V>
  void move(Tensor<U>&& from, Tensor<V>& to);
  void move(std::vector<Tensor<float>>& from, std::vector<Tensor<T>>& to);
  void load_pictures(Batch& batch);

  const DevicePtr& device() const { return batch_.session->device(); }
  Backend<T>& backend() const { return batch_.session->backend(); }

  Tensor<std::uint8_t> pixels_, warps_;
  Tensor<T> pictures_;
  DeviceBatch<T> batch_;
};

/// The batch's input as `fit` and `predict` on `device` see it, on the host.
Tensor<float> network_input(const Batch& batch, const DevicePtr& device = default_device());

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/batch_loader.ipp>
#endif
