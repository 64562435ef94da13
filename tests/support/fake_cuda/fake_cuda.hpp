#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// CUDA's runtime, NVRTC, cuBLASLt and cuDNN (its graphs, for convolutions) as far as Strata uses them, on the
// host: linked instead of the real ones, and stricter than they are.
//
// Work given to a stream runs only when the host waits for it, so that a result used too early is missed.
// Host memory is read at that time too, unless it is pageable and the copy goes to the device. Device memory
// is filled with NaN first, cannot be touched by the host and is gone once freed: who does it nevertheless
// gets SIGSEGV.

namespace fake_cuda {

struct Counters {
  std::int64_t launches = 0;          ///< of kernels
  std::int64_t products = 0;          ///< by cuBLAS
  std::int64_t convolutions = 0;      ///< by cuDNN
  std::int64_t allocations = 0;       ///< cudaMalloc, cudaMallocAsync
  std::int64_t frees = 0;             ///< cudaFree, cudaFreeAsync
  std::int64_t synchronizations = 0;  ///< of the host: with a stream, an event or the device
  std::size_t bytes = 0;              ///< of device memory in use
  std::size_t pinned = 0;             ///< bytes of host memory in use
};
Counters counters();
/// How often the calling thread has waited.
std::int64_t own_synchronizations();

/// At the start there are two devices with 8 GiB, convolutions have an engine, and nothing fails.
void reset();
/// 0: as without a card.
void set_device_count(int count);
/// More bytes than these at a time are not to be had.
void set_memory(std::size_t bytes);
/// Whether cuDNN finds an engine for any convolution.
void offer_engines(bool some);
/// The call of `function` after `after` others of it does nothing but return `status`.
void fail(const std::string& function, int status, int after = 0);
/// What went wrong last in work that ran on a stream, in words; the next wait returns cudaErrorLaunchFailure.
std::string last_failure();

}  // namespace fake_cuda
