#pragma once

#include <cstring>
#include <new>

#include <strata/core/parallel.hpp>
#include <strata/cpu/backend.hpp>
#include <strata/cpu/device.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace cpu {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const DeviceOptions& options)
      : pool_(options.threads),
        backend_(pool_, kernels(options.instruction_set),
                 {options.accuracy, options.memory_limit, options.share_tiles}) {}

  std::string description() const override {
    return concat("cpu (", pool_.threads(), pool_.threads() == 1 ? " thread, " : " threads, ",
                  backend_.kernels().name, ")");
  }
  bool host_accessible() const override { return true; }
  void* allocate(std::size_t bytes) override {
    void* memory = ::operator new(bytes, alignment, std::nothrow);
    require<DeviceError>(memory, "[cpu] no ", bytes, " bytes of memory left");
    return memory;
  }
  void deallocate(void* memory, std::size_t) noexcept override { ::operator delete(memory, alignment); }
  void copy_from_host(void* device, const void* host, std::size_t bytes) override {
    copy(device, host, bytes);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override { copy(host, device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes) std::memcpy(to, from, bytes);
  }
  void fill_zero(void* device, std::size_t bytes) override {
    if (bytes) std::memset(device, 0, bytes);
  }
  void synchronize() override {}
  ThreadPool* threads() override { return &pool_; }

 protected:
  Backend<float>* backend_float() override { return &backend_; }

 private:
  static constexpr std::align_val_t alignment{64};

  ThreadPool pool_;
  CpuBackend backend_;
};

STRATA_INLINE DevicePtr device(const DeviceOptions& options) {
  return std::make_shared<CpuDevice>(options);
}

}  // namespace cpu

STRATA_INLINE const DevicePtr& default_device() {
  static const DevicePtr device = cpu::device();
  return device;
}

}}  // namespace strata::STRATA_ABI
