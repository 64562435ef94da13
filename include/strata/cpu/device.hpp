#pragma once

#include <string_view>

#include <strata/cpu/planner.hpp>
#include <strata/tensor/device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

struct DeviceOptions {
  int threads = 0;                        ///< 0: every CPU the process may use
  std::string_view instruction_set = "";  ///< "": the best; "avx512", "avx2", "baseline" where available
  ConvolutionAccuracy accuracy = ConvolutionAccuracy::fast;
  Policy policy = Policy::float32;  ///< of models that set none
  std::int64_t memory_limit = 0;    ///< bytes of packed weight and scratch per thread; 0: any
  /// Small images of a batch may share Winograd tiles: a few per cent faster, but a NaN or very large numbers
  /// in one image then reach its neighbours.
  bool share_tiles = false;
  /// A file of measured choices, made where it does not exist: of each convolution, the ways that serve are
  /// timed when it is met for the first time on such a processor, and the fastest is kept. That takes some
  /// dozens of runs, and memory for its tensors once more; results then differ by rounding from those
  /// without, not between runs with one file. "": the planner's model decides.
  std::string_view autotune = "";
};

/// A CPU device with a thread pool of its own, which its kernels and loaders share. Throws ConfigError for a
/// negative thread count, DeviceError for an instruction set that is not available, DataError for an
/// `autotune` file that is none.
DevicePtr device(const DeviceOptions& options = {});

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/device.ipp>
#endif
