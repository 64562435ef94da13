#pragma once

#include <cstddef>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

struct DeviceOptions {
  int index = 0;  ///< which card, as the CUDA runtime numbers them (CUDA_VISIBLE_DEVICES counts)
  /// Convolutions and products may round their inputs to TF32 (10 bits of mantissa) where tensor cores take
  /// it: relative errors of some 1e-3 in place of 1e-6, and several times the speed. What PyTorch calls
  /// allow_tf32.
  bool tf32 = true;
  /// The most that one convolution may take beside its tensors; 0: a sixteenth of the card's memory. Fast
  /// engines for large batches want gigabytes.
  std::size_t workspace_bytes = 0;
};

}}}  // namespace strata::STRATA_ABI::cuda
