#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
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

  /// What was asked of the device so far.
  struct Counts {
    std::int64_t allocations = 0;
    std::atomic<std::int64_t> downloads = 0;
    std::int64_t narrow_inputs = 0;      ///< convolutions whose input was kept in bfloat16
    std::size_t bytes = 0, peak = 0;     ///< in use now, and at most since `peak` was last set
    std::int64_t allocations_left = -1;  ///< the one after the last throws; negative: none does
  };
  Counts counts;

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
