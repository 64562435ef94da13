#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include <strata/core/error.hpp>

// The CUDA runtime with errors as exceptions and owners for what it hands out. Inside strata/cuda/ only.

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Throws DeviceError, or OutOfMemoryError, with the runtime's own words. `what` says what was tried.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // an error that is not sticky must not come back from the next call
  const std::string message =
      concat("[cuda] ", what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
  if (status == cudaErrorMemoryAllocation) throw OutOfMemoryError(message);
  throw DeviceError(message);
}

/// The largest power of two, at most 16, that divides an address.
inline std::uint32_t alignment(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer) | 16;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

/// What cuDNN's engines and cuBLAS's biases ask for.
inline bool aligned(const void* pointer) {
  return alignment(pointer) == 16;
}

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { (void)cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "an event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { (void)cudaEventDestroy(event_); }
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  /// What `stream` gets from now on waits for what was recorded.
  void precede(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event");
  }
  void wait() const { check(cudaEventSynchronize(event_), "waiting for the device"); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Device memory in the order of one stream: it comes from the runtime's pool and goes back to it.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  Scratch(std::int64_t count, cudaStream_t stream) : stream_(stream) {
    if (count <= 0) return;
    void* memory = nullptr;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    const cudaError_t status = cudaMallocAsync(&memory, bytes, stream);
    if (status != cudaSuccess) check(status, concat(bytes, " bytes of scratch memory").c_str());
    data_ = static_cast<T*>(memory);
  }
  Scratch(Scratch&& other) noexcept : data_(std::exchange(other.data_, nullptr)), stream_(other.stream_) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Scratch() {
    if (data_) (void)cudaFreeAsync(data_, stream_);
  }
  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

/// Memory of the host that the device copies from and to without the host's help.
class Pinned {
 public:
  Pinned() = default;
  explicit Pinned(std::size_t bytes) : bytes_(bytes) {
    check(cudaMallocHost(&data_, bytes), "pinned host memory");
  }
  Pinned(Pinned&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pinned& operator=(Pinned&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pinned() {
    if (data_) (void)cudaFreeHost(data_);
  }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}}}  // namespace strata::STRATA_ABI::cuda
