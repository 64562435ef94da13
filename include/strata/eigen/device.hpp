#pragma once

#include <cstring>
#include <new>

#include <strata/core/parallel.hpp>
#include <strata/eigen/backend.hpp>
#include <strata/tensor/device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

struct DeviceOptions {
  int threads = 0;  ///< 0: every CPU the process may use
};

/// Host memory, computed on by Eigen in float and double.
class EigenDevice final : public Device {
 public:
  explicit EigenDevice(const DeviceOptions& options) : pool_(options.threads) {}

  std::string description() const override {
    return concat("eigen ", EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION, " (",
                  pool_.threads(), pool_.threads() == 1 ? " thread)" : " threads)");
  }
  bool host_accessible() const override { return true; }
  void* allocate(std::size_t bytes) override {
    void* memory = ::operator new(bytes, alignment, std::nothrow);
    require<DeviceError>(memory, "[eigen] no ", bytes, " bytes of memory left");
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
  Backend<float>* backend_float() override { return &float_; }
  Backend<double>* backend_double() override { return &double_; }

 private:
  static constexpr std::align_val_t alignment{64};

  ThreadPool pool_;
  EigenBackend<float> float_{pool_};
  EigenBackend<double> double_{pool_};
};

/// A device that computes with Eigen, with a thread pool of its own. Throws ConfigError for a negative thread
/// count.
inline DevicePtr device(const DeviceOptions& options = {}) {
  return std::make_shared<EigenDevice>(options);
}

}}}  // namespace strata::STRATA_ABI::eigen
