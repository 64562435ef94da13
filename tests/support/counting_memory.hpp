#pragma once

#include <map>
#include <mutex>
#include <new>

#include <strata/tensor/device.hpp>

namespace strata_test {

/// Host memory that knows what lies in it. It ends after `left` calls: with null, or with a DeviceError.
class CountingMemory final : public strata::HostMemory {
 public:
  explicit CountingMemory(int left = 1 << 30, bool fails = false) : left_(left), fails_(fails) {}

  void* allocate(std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    if (--left_ < 0) {
      strata::require<strata::DeviceError>(!fails_, "the device is broken");
      return nullptr;
    }
    void* const memory = ::operator new(bytes, alignment);
    sizes_[memory] = bytes;
    return memory;
  }
  void deallocate(void* memory, std::size_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(memory);
    wrong_ = wrong_ || found == sizes_.end() || found->second != bytes;
    if (found == sizes_.end()) return;
    sizes_.erase(found);
    ::operator delete(memory, alignment);
  }

  bool holds(const void* memory) const {
    const std::lock_guard lock(mutex_);
    return sizes_.count(const_cast<void*>(memory)) != 0;
  }
  std::size_t blocks() const {
    const std::lock_guard lock(mutex_);
    return sizes_.size();
  }
  /// Something was given back that was not taken, or with another size.
  bool wrong() const { return wrong_; }

 private:
  static constexpr std::align_val_t alignment{64};
  mutable std::mutex mutex_;
  std::map<void*, std::size_t> sizes_;
  int left_;
  bool fails_, wrong_ = false;
};

}  // namespace strata_test
