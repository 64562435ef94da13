#pragma once

#include <cstring>

#include <strata/core/host_memory.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What devices share that compute in host memory: a new one adds a description and its backends.
class HostDevice : public Device {
 public:
  bool host_accessible() const final { return true; }
  void* allocate(std::size_t bytes) final {
    void* memory = allocate_host(bytes);
    require<OutOfMemoryError>(memory, "[device] ", description(), ": no ", bytes, " bytes of memory left");
    return memory;
  }
  void deallocate(void* memory, std::size_t) noexcept final { free_host(memory); }
  void copy_from_host(void* device, const void* host, std::size_t bytes) final { copy(device, host, bytes); }
  void copy_to_host(void* host, const void* device, std::size_t bytes) final { copy(host, device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) final {
    if (bytes) std::memcpy(to, from, bytes);
  }
  void fill_zero(void* device, std::size_t bytes) final {
    if (bytes) std::memset(device, 0, bytes);
  }
  void synchronize() final {}
};

/// Base of backends of such devices whose calls return when the work is done.
template <class T>
class HostBackend : public Backend<T> {
 public:
  void upload(void* device, const void* host, std::size_t bytes) final {
    if (bytes) std::memcpy(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes) final {
    if (bytes) std::memcpy(host, device, bytes);
  }
  void zero(void* device, std::size_t bytes) final {
    if (bytes) std::memset(device, 0, bytes);
  }
  void synchronize() final {}

  void add_scalar(double alpha, const double* x, double* to) final { *to += alpha * *x; }
  void add_row_metric(const RowMetricSpec& spec, const Predictions<T>& of, double* sums) final {
    strata::add_row_metric(spec, of, sums);
  }
  void add_confusion(const ConfusionSpec& spec, const Predictions<T>& of, double* sums) final {
    strata::add_confusion(spec, of, sums);
  }
};

}}  // namespace strata::STRATA_ABI
