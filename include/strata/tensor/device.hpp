#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
class Backend;
class ThreadPool;

/// A place where tensors live and layers compute: memory, copies and one `Backend<T>` per scalar type it
/// computes in. Work is ordered as issued; `synchronize` waits for it. A new device is one folder that
/// implements this and Backend.
class Device {
 public:
  virtual ~Device() = default;

  /// "cpu (2 threads, avx512)"
  virtual std::string description() const = 0;

  /// True where the host may read and write the device's memory through its pointers.
  virtual bool host_accessible() const = 0;

  /// `bytes` of memory aligned to at least 64 bytes. Throws DeviceError when there is none left.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* memory, std::size_t bytes) noexcept = 0;
  virtual void copy_from_host(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill_zero(void* device, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// The backend for `T`. Throws DeviceError where the device does not compute in it.
  template <class T>
  Backend<T>& backend();

  /// Threads for host work that belongs to this device (kernels, loaders), or null.
  virtual ThreadPool* threads() { return nullptr; }

 protected:
  virtual Backend<float>* backend_float() { return nullptr; }
  virtual Backend<double>* backend_double() { return nullptr; }
};

using DevicePtr = std::shared_ptr<Device>;

template <>
inline Backend<float>& Device::backend<float>() {
  Backend<float>* found = backend_float();
  require<DeviceError>(found, "[device] ", description(), " does not compute in float");
  return *found;
}
template <>
inline Backend<double>& Device::backend<double>() {
  Backend<double>* found = backend_double();
  require<DeviceError>(found, "[device] ", description(), " does not compute in double");
  return *found;
}

}}  // namespace strata::STRATA_ABI
