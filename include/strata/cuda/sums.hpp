#pragma once

#include <strata/cuda/kernels/sums.hpp>
#include <strata/cuda/runtime.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// The second step of `sums` sums by `blocks` blocks each, and the memory between the two steps. One block
/// needs neither.
class SumParts {
 public:
  SumParts(std::int64_t blocks, std::int64_t sums, double scale, double* to, cudaStream_t stream)
      : blocks_(blocks),
        sums_(blocks > 1 ? sums : 0),
        parts_(blocks * sums_, stream),
        target_{.scale = scale, .to = to, .parts = parts_.data()} {}

  const SumTarget& target() const { return target_; }
  dim3 second_grid() const { return dim3(static_cast<unsigned>(sums_)); }
  AddPartsParameters second() const { return {.blocks = blocks_, .target = target_}; }

 private:
  std::int64_t blocks_, sums_;
  Scratch<double> parts_;
  SumTarget target_;
};

}}}  // namespace strata::STRATA_ABI::cuda
