#pragma once

#include <strata/tensor/device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

struct DeviceOptions {
  int threads = 0;  ///< 0: every CPU the process may use
};

/// Host memory, computed on by Eigen in float and double, with a thread pool of its own. Throws ConfigError
/// for a negative thread count.
DevicePtr device(const DeviceOptions& options = {});

}}}  // namespace strata::STRATA_ABI::eigen

#if STRATA_HEADER_ONLY
#include <strata/eigen/device.ipp>
#endif
