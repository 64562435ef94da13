#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <mutex>

#include "support/fake_cuda/fake_cuda.hpp"

// What the stand-ins share: streams, device memory, and what tests have set.

namespace fake_cuda {

/// Held by every entry point.
std::recursive_mutex& mutex();
Counters& counts();
bool engines_offered();
/// The status that a test wants `function` to return, or 0.
int injected(const char* function);

/// `work` runs on `stream` when its turn comes; what it throws is the stream's failure.
void enqueue(cudaStream_t stream, std::function<void()> work);
bool valid_stream(cudaStream_t stream);

bool on_device(const void* pointer);
/// Whether all of it is allocated device memory.
bool within_allocation(const void* pointer, std::size_t bytes);
/// Throws std::runtime_error unless it is. `what` names it.
void require_device(const void* pointer, std::size_t bytes, const char* what);

/// body() as an entry point of a library whose status codes are Status, 0 being success.
template <class Status, class Body>
Status entry(const char* function, Body body) {
  const std::lock_guard lock(mutex());
  if (const int status = injected(function)) return static_cast<Status>(status);
  return body();
}

}  // namespace fake_cuda
