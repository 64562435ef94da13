#pragma once

#include <strata/cuda/options.hpp>
#include <strata/tensor/device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// A CUDA card that computes in float. Throws DeviceError where there is no driver, no such card, or cuDNN is
/// missing or too old, and says what to do.
DevicePtr device(const DeviceOptions& options);
inline DevicePtr device(int index = 0) {
  return device(DeviceOptions{.index = index});
}

/// Cards that can be used; 0 without a driver.
int device_count() noexcept;

}}}  // namespace strata::STRATA_ABI::cuda

#if STRATA_HEADER_ONLY
#include <strata/cuda/device.ipp>
#endif
