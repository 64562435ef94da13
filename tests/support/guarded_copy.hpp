#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include <strata/core/error.hpp>

namespace strata_test {

/// A copy behind which a page lies that nothing may touch.
class GuardedCopy {
 public:
  GuardedCopy(const void* from, std::size_t bytes)
      : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), size_((bytes + page_ - 1) / page_ * page_) {
    void* const pages =
        mmap(nullptr, size_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pages_ = static_cast<std::byte*>(pages);
    strata::require<strata::OutOfMemoryError>(
        pages != MAP_FAILED && mprotect(pages_ + size_, page_, PROT_NONE) == 0, "no memory for ", bytes,
        " guarded bytes");
    data_ = pages_ + size_ - bytes;
    if (bytes) std::memcpy(data_, from, bytes);
  }
  GuardedCopy(const GuardedCopy&) = delete;
  ~GuardedCopy() { munmap(pages_, size_ + page_); }
  void* data() const { return data_; }

 private:
  std::size_t page_, size_;
  std::byte *pages_ = nullptr, *data_ = nullptr;
};

}  // namespace strata_test
