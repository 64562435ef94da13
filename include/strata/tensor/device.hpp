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

/// Memory of the host that a device copies from without the host's help. Safe from several threads.
class HostMemory {
 public:
  virtual ~HostMemory() = default;
  /// `bytes` of it aligned to at least 64 bytes, or null where there is none left. May wait for what contexts
  /// still copy from memory that was given back; throws DeviceError where that failed.
  virtual void* allocate(std::size_t bytes) = 0;
  /// Uploads from it that contexts were given may still be under way.
  virtual void deallocate(void* memory, std::size_t bytes) noexcept = 0;
};

/// A place where tensors live and layers compute: memory, and execution contexts for each scalar type it
/// computes in. A new device is one folder that implements this and Backend.
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
  // Copies of whole tensors: they wait for the work of all contexts, and are done when they return.
  virtual void copy_from_host(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill_zero(void* device, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// Where batches are best kept for `Backend::upload`, or null: anywhere.
  virtual std::shared_ptr<HostMemory> host_memory() { return nullptr; }

  /// A new execution context, which must not outlive the device. Throws DeviceError where the device does not
  /// compute in `T`.
  template <class T>
  std::unique_ptr<Backend<T>> make_backend();

  /// At one batch size a sample's result is the same bits in any place and company.
  virtual bool keeps_samples_apart() const { return false; }

  /// What it chose by measuring, where that decides the bits of results: a run that goes on elsewhere
  /// restores it. Empty: nothing. Throws DataError for a text of another kind of device.
  virtual std::string tuning() const { return {}; }
  inline virtual void restore_tuning(const std::string& text);

  /// Threads for host work that belongs to this device (kernels, loaders), or null.
  virtual ThreadPool* threads() { return nullptr; }

 protected:
  // Inline, so that no file need have this class's type information for all.
  inline virtual std::unique_ptr<Backend<float>> make_backend_float();
  inline virtual std::unique_ptr<Backend<double>> make_backend_double();
};

inline void Device::restore_tuning(const std::string& text) {
  require<DataError>(text.empty(),
                     "[device] the choices of another kind of device cannot be restored: ", description(),
                     " makes none");
}

using DevicePtr = std::shared_ptr<Device>;

/// The device of models that name none, made on first use: the CPU.
const DevicePtr& default_device();

}}  // namespace strata::STRATA_ABI
