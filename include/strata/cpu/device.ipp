#pragma once

#include <strata/core/parallel.hpp>
#include <strata/cpu/backend.hpp>
#include <strata/cpu/device.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace cpu {

class CpuDevice final : public HostDevice {
 public:
  explicit CpuDevice(const DeviceOptions& options)
      : pool_(options.threads),
        kernels_(kernels(options.instruction_set)),
        limits_{options.accuracy, options.memory_limit, options.share_tiles},
        policy_(options.policy),
        choices_(std::string(options.autotune), machine_name(kernels_)) {}

  std::string description() const override {
    return concat("cpu (", pool_.threads(), pool_.threads() == 1 ? " thread, " : " threads, ", kernels_.name,
                  policy_ == Policy::float32 ? "" : ", mixed_bfloat16",
                  policy_ == Policy::float32 || bfloat16_product(kernels_) ? "" : " unavailable: float32",
                  ")");
  }
  bool keeps_samples_apart() const override { return !limits_.share_tiles; }
  ThreadPool* threads() override { return &pool_; }
  std::string tuning() const override { return choices_.dump(); }
  void restore_tuning(const std::string& text) override { choices_.restore(text); }

 protected:
  std::unique_ptr<Backend<float>> make_backend_float() override {
    auto backend = std::make_unique<CpuBackend>(pool_, workspace_, kernels_, limits_, &choices_);
    backend->set_policy(policy_);
    return backend;
  }

 private:
  ThreadPool pool_;
  Workspace workspace_;
  const KernelTable& kernels_;
  PlanLimits limits_;
  Policy policy_;
  ConvolutionChoices choices_;
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
