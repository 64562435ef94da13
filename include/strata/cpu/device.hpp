#pragma once

#include <strata/tensor/device.hpp>

namespace strata::inline STRATA_ABI {

namespace cpu {

struct DeviceOptions {
  int threads = 0;  ///< 0: every CPU the process may use
};

/// A CPU device with a thread pool of its own, which its kernels and loaders share. Throws ConfigError for a
/// negative thread count.
DevicePtr device(const DeviceOptions& options = {});

}  // namespace cpu

/// The device of models that name none: the CPU, made on first use.
const DevicePtr& default_device();

}  // namespace strata::inline STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/cpu/device.ipp>
#endif
