#pragma once

#include "common.cuh"

#include <strata/cuda/kernels/sums.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Every thread of the block hands in its part of sum s.
__device__ inline void hand_in(const SumTarget& target, Int s, double part) {
  const double sum = block_sum(part);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1)
    target.to[s] += target.scale * sum;
  else
    target.parts[s * gridDim.x + blockIdx.x] = sum;
}

}}}  // namespace strata::STRATA_ABI::cuda
