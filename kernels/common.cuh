#pragma once

// What every kernel file shares. Kernels are compiled by NVRTC for the card at hand
// (strata/cuda/kernels.ipp), by nvcc for tuning, and by any C++ compiler under the tests' emulator, which
// defines STRATA_KERNEL and CUDA's words first.

#include <strata/core/config.hpp>

#include <cstdint>

#ifdef __CUDACC_RTC__  // it has no <cmath>
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

/// In front of a loop: four rounds at once, so that their loads overlap.
#ifdef __CUDACC__
#define STRATA_UNROLL _Pragma("unroll 4")
#else
#define STRATA_UNROLL
#endif

#ifndef STRATA_KERNEL
/// A kernel takes one plain struct, which the host knows too (include/strata/cuda/kernels/).
#define STRATA_KERNEL(name, Parameters) extern "C" __global__ void name(const Parameters p)
#endif

namespace strata { inline namespace STRATA_ABI { namespace cuda {

using Int = std::int64_t;

/// This thread's place in the grid, and the number of threads in it: for (Int i = first(); i < n; i +=
/// stride()).
__device__ inline Int first() {
  return Int(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline Int stride() {
  return Int(gridDim.x) * blockDim.x;
}

/// The greater; NaN wins, as it must not be lost on its way to the loss.
__device__ inline float maximum(float a, float b) {
  return a != a || a > b ? a : b;
}

/// Sum over `lanes` neighbouring threads, a power of two; every one gets it. Whole warps must call it.
template <class T>
__device__ inline T lane_sum(T value, int lanes = 32) {
  for (int offset = lanes / 2; offset; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

/// Sum over the threads of a block (a multiple of 32, at most 1024), in a fixed order; every thread gets it.
__device__ inline double block_sum(double value) {
  __shared__ double warps[32];
  value = lane_sum(value);
  __syncthreads();  // `warps` may still be read by an earlier call
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) sum += warps[i];
  return sum;
}

}}}  // namespace strata::STRATA_ABI::cuda
