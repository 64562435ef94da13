#include "support/reference/reference.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "support/reference/backend.hpp"
#include "support/reference/memory.hpp"

namespace strata_test {

using namespace strata;

void* ReferenceMemory::allocate(std::size_t bytes) {
  if (bytes == 0) bytes = 1;
  const std::lock_guard lock(mutex_);
  require<OutOfMemoryError>(counts.allocations_left != 0, "[reference] no memory for ", bytes, " bytes");
  if (counts.allocations_left > 0) --counts.allocations_left;
  ++counts.allocations;
  counts.peak = std::max(counts.peak, counts.bytes += bytes);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require<OutOfMemoryError>(memory != MAP_FAILED, "[reference] no memory for ", bytes, " bytes");
  std::memset(memory, 0xFF, bytes);
  blocks_[static_cast<std::byte*>(memory)] = {memory, bytes, 0};
  if (separate_) mprotect(memory, bytes, PROT_NONE);
  return memory;
}

void ReferenceMemory::deallocate(void* memory, std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(static_cast<std::byte*>(memory));
  if (block == blocks_.end() || block->second.bytes != (bytes ? bytes : 1)) std::abort();
  counts.bytes -= block->second.bytes;
  munmap(memory, block->second.bytes);
  blocks_.erase(block);
}

ReferenceMemory::Block* ReferenceMemory::find(const void* pointer) {
  const auto* address = static_cast<const std::byte*>(pointer);
  auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return nullptr;
  auto& [start, block] = *--after;
  return address <= start + block.bytes ? &block : nullptr;  // one past the end is where empty ranges lie
}

ReferenceMemory::Access::Access(ReferenceMemory& memory, std::initializer_list<const void*> pointers)
    : memory_(memory) {
  if (!memory_.separate_) return;
  const std::lock_guard lock(memory_.mutex_);
  for (const void* pointer : pointers) {
    if (!pointer) continue;
    Block* block = memory_.find(pointer);
    if (!block) close();
    require<DeviceError>(block, "[reference] expected device memory, found a host pointer");
    if (block->users++ == 0) mprotect(block->address, block->bytes, PROT_READ | PROT_WRITE);
    opened_.push_back(block);
  }
}

ReferenceMemory::Access::~Access() {
  const std::lock_guard lock(memory_.mutex_);
  close();
}

void ReferenceMemory::Access::close() noexcept {
  for (Block* block : opened_)
    if (--block->users == 0) mprotect(block->address, block->bytes, PROT_NONE);
  opened_.clear();
}

namespace {

class ReferenceDevice final : public Device {
 public:
  explicit ReferenceDevice(ReferenceOptions options) : memory_(!options.host_accessible) {}

  std::string description() const override { return "reference"; }
  bool host_accessible() const override { return !memory_.separate(); }
  void* allocate(std::size_t bytes) override { return memory_.allocate(bytes); }
  void deallocate(void* memory, std::size_t bytes) noexcept override { memory_.deallocate(memory, bytes); }
  void copy_from_host(void* device, const void* host, std::size_t bytes) override {
    const ReferenceMemory::Access access(memory_, {device});
    std::memcpy(device, host, bytes);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override {
    ++memory_.counts.downloads;
    const ReferenceMemory::Access access(memory_, {device});
    std::memcpy(host, device, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    const ReferenceMemory::Access access(memory_, {to, from});
    std::memcpy(to, from, bytes);
  }
  void fill_zero(void* device, std::size_t bytes) override {
    const ReferenceMemory::Access access(memory_, {device});
    std::memset(device, 0, bytes);
  }
  void synchronize() override {}

  ReferenceMemory& memory() { return memory_; }

 private:
  std::unique_ptr<Backend<float>> make_backend_float() override {
    return std::make_unique<ReferenceBackend<float>>(memory_);
  }
  std::unique_ptr<Backend<double>> make_backend_double() override {
    return std::make_unique<ReferenceBackend<double>>(memory_);
  }

  ReferenceMemory memory_;
};

}  // namespace

ReferenceMemory& memory_of(const DevicePtr& device) {
  return static_cast<ReferenceDevice&>(*device).memory();
}

DevicePtr reference_device(ReferenceOptions options) {
  return std::make_shared<ReferenceDevice>(options);
}

}  // namespace strata_test
