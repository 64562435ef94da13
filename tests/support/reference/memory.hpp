#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <mutex>
#include <vector>

namespace strata_test {

/// The memory of the reference device. Each block of a separate one is locked away (PROT_NONE) except while
/// an `Access` to it lives.
class ReferenceMemory {
  struct Block {
    void* address;
    std::size_t bytes;
    int users;
  };

 public:
  explicit ReferenceMemory(bool separate) : separate_(separate) {}

  /// Bytes 0xFF, which are NaN as float and as double.
  void* allocate(std::size_t bytes);
  void deallocate(void* memory, std::size_t bytes) noexcept;
  bool separate() const { return separate_; }

  /// Opens the blocks that the pointers lie in for the device's own work. Throws DeviceError for a pointer
  /// that is not the device's; null passes.
  class Access {
   public:
    Access(ReferenceMemory& memory, std::initializer_list<const void*> pointers);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    void close() noexcept;
    ReferenceMemory& memory_;
    std::vector<Block*> opened_;
  };

 private:
  Block* find(const void* pointer);

  const bool separate_;
  std::mutex mutex_;
  std::map<const std::byte*, Block> blocks_;  // by address
};

}  // namespace strata_test
