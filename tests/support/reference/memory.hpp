#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <mutex>

namespace strata_test {

/// The memory of the reference device. A separate one is locked away (PROT_NONE) except while an `Access`
/// lives.
class ReferenceMemory {
 public:
  explicit ReferenceMemory(bool separate) : separate_(separate) {}

  /// Bytes 0xFF, which are NaN as float and as double.
  void* allocate(std::size_t bytes);
  void deallocate(void* memory, std::size_t bytes) noexcept;
  bool separate() const { return separate_; }

  /// Opens the memory for the device's own work. Throws DeviceError for a pointer that is not the device's;
  /// null passes.
  class Access {
   public:
    Access(ReferenceMemory& memory, std::initializer_list<const void*> pointers);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    ReferenceMemory& memory_;
  };

 private:
  void protect(int protection) noexcept;
  bool contains(const void* pointer) const;

  const bool separate_;
  std::mutex mutex_;
  std::map<const std::byte*, std::size_t> blocks_;  // address, bytes
  int users_ = 0;
};

}  // namespace strata_test
