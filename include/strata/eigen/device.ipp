#pragma once

#include <strata/core/parallel.hpp>
#include <strata/eigen/backend.hpp>
#include <strata/eigen/device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace eigen {

class EigenDevice final : public HostDevice {
 public:
  explicit EigenDevice(const DeviceOptions& options) : pool_(options.threads) {}

  std::string description() const override {
    return concat("eigen ", EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION, " (",
                  pool_.threads(), pool_.threads() == 1 ? " thread)" : " threads)");
  }
  ThreadPool* threads() override { return &pool_; }

 protected:
  std::unique_ptr<Backend<float>> make_backend_float() override {
    return std::make_unique<EigenBackend<float>>(pool_);
  }
  std::unique_ptr<Backend<double>> make_backend_double() override {
    return std::make_unique<EigenBackend<double>>(pool_);
  }

 private:
  ThreadPool pool_;
};

STRATA_INLINE DevicePtr device(const DeviceOptions& options) {
  return std::make_shared<EigenDevice>(options);
}

}}}  // namespace strata::STRATA_ABI::eigen
