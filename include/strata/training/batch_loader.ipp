#pragma once

#include <cmath>

#include <strata/core/profile.hpp>
#include <strata/training/batch_loader.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// A tensor of that shape, in the memory that is there where it suffices.
template <class T>
STRATA_COLD void resize(Tensor<T>& tensor, const Shape& shape, const DevicePtr& device) {
  if (tensor.capacity() >= shape.size() && !tensor.empty())
    tensor.reinterpret(shape);
  else
    tensor = Tensor<T>::uninitialized(shape, device);
}
}  // namespace detail

template <class T>
template <class U, class V>
STRATA_COLD void BatchLoader<T>::move(Tensor<U>&& from, Tensor<V>& to) {
  if constexpr (!std::is_same_v<U, V>) {
    move(from.template cast<V>(), to);
  } else if (device()->host_accessible() || from.empty()) {
    to = std::move(from);
  } else {
    detail::resize(to, from.shape(), device());
    backend().upload(to.data(), from.data(), from.bytes());
  }
}

template <class T>
STRATA_COLD void BatchLoader<T>::move(std::vector<Tensor<float>>& from, std::vector<Tensor<T>>& to) {
  to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) move(std::move(from[i]), to[i]);
}

/// Batches with pixels or warps: the one door of pixels to every network.
namespace detail {
/// Keras's standardize: each of `batch` pictures less its mean and, with `divide`, over its deviation + 1e-6.
template <class T>
STRATA_COLD void standardize(std::int64_t batch, std::span<T> pictures, bool divide) {
  const std::size_t size = pictures.size() / static_cast<std::size_t>(batch);
  for (std::size_t begin = 0; begin < pictures.size(); begin += size) {
    const std::span<T> picture = pictures.subspan(begin, size);
    double mean = 0, variance = 0;
    for (const T value : picture) mean += static_cast<double>(value);
    mean /= static_cast<double>(size);
    for (const T value : picture)
      variance += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean);
    const double deviation = divide ? std::sqrt(variance / static_cast<double>(size)) + 1e-6 : 1;
    for (T& value : picture) value = static_cast<T>((static_cast<double>(value) - mean) / deviation);
  }
}
}  // namespace detail

template <class T>
STRATA_COLD void BatchLoader<T>::load_pictures(Batch& batch) {
  const bool bytes = !batch.pixels.empty();
  const Shape shape = bytes ? batch.pixels.shape() : batch.x.shape();
  require<ShapeError>(shape.rank() == 4, "[batch] expected pictures [n,height,width,channels], found ",
                      shape);
  require<ShapeError>(!bytes || shape[3] <= 4, "[batch] expected pixels of at most 4 channels, found ",
                      shape);
  require<ShapeError>(batch.warps.empty() || static_cast<std::int64_t>(batch.warps.size()) == shape[0],
                      "[batch] expected a warp for each of the ", shape[0], " pictures, found ",
                      batch.warps.size());
  const PhaseTimer timer(batch.warps.empty() ? Phase::transfer : Phase::augment, *this);
  const PixelWarp* warps = batch.warps.empty() ? nullptr : batch.warps.data();
  if (warps && !device()->host_accessible()) {
    detail::resize(warps_, {static_cast<std::int64_t>(batch.warps.size() * sizeof(PixelWarp))}, device());
    backend().upload(warps_.data(), warps, warps_.bytes());
    warps = reinterpret_cast<const PixelWarp*>(warps_.data());
  }
  const PixelGeometry g{shape[0], shape[1], shape[2], shape[3]};
  if (bytes)
    move(std::move(batch.pixels), pixels_);
  else
    move(std::move(batch.x), pictures_);
  detail::resize(batch_.x, shape, device());
  if (bytes)
    backend().load_pixels(g, batch.scaling, batch.sampling, warps, pixels_.data(), batch_.x.data());
  else
    backend().warp(g, batch.sampling, warps, pictures_.data(), batch_.x.data());
  if (bytes && batch.standardization) {
    // On the host, as the option is rare; with the sums in double, where numpy sums in pairs.
    Tensor<T> loaded = batch_.session->download(batch_.x);
    detail::standardize(g.batch, loaded.values(), batch.standardization.divide);
    backend().upload(batch_.x.data(), loaded.data(), loaded.bytes());
  }
}

template <class T>
STRATA_COLD const DeviceBatch<T>& BatchLoader<T>::load(Batch batch) {
  if (batch.pixels.empty() && batch.warps.empty())
    move(std::move(batch.x), batch_.x);
  else
    load_pictures(batch);
  move(batch.other_x, batch_.other_x);
  move_targets(batch);
  batch_.given_path.clear();
  return batch_;
}

template <class T>
STRATA_COLD const DeviceBatch<T>& BatchLoader<T>::load(Batch batch, std::span<const int> path,
                                                       Tensor<T> result) {
  move_targets(batch);
  move(std::move(result), batch_.given_result);
  batch_.given_path.assign(path.begin(), path.end());
  return batch_;
}

template <class T>
STRATA_COLD void BatchLoader<T>::move_targets(Batch& batch) {
  move(std::move(batch.y), batch_.y);
  move(batch.other_y, batch_.other_y);
  move(std::move(batch.sample_weight), batch_.sample_weight);
}

STRATA_COLD STRATA_INLINE Tensor<float> network_input(const Batch& batch, const DevicePtr& device) {
  return BatchLoader<float>(std::make_shared<Session<float>>(device)).load(batch).x.to(nullptr);
}

#if !STRATA_HEADER_ONLY
template class BatchLoader<float>;
template class BatchLoader<double>;
#endif

}}  // namespace strata::STRATA_ABI
