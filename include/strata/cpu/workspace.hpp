#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <strata/core/function_ref.hpp>
#include <strata/core/host_memory.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Floats in memory of `allocate_host`.
class Buffer {
 public:
  Buffer() = default;
  /// Throws DeviceError when there is not enough memory.
  explicit Buffer(std::int64_t count);

  float* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* memory) const { free_host(memory); }
  };
  std::unique_ptr<float[], Free> data_;
  std::int64_t size_ = 0;
};

/// Where something goes that is made: called with the number of its floats.
using Room = FunctionRef<float*(std::int64_t)>;

/// Scratch memory of a backend, kept between calls: fresh pages cost as much as a layer. Several threads may
/// compute at once, so a call leases a buffer and gives it back.
class Workspace {
 public:
  class Lease {
   public:
    Lease(Workspace& owner, Buffer buffer) : owner_(&owner), buffer_(std::move(buffer)) {}
    Lease(Lease&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), buffer_(std::move(other.buffer_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (owner_) owner_->give_back(std::move(buffer_));
    }
    float* data() const { return buffer_.data(); }

   private:
    Workspace* owner_;
    Buffer buffer_;
  };

  Lease lease(std::int64_t count);
  /// Bytes kept for later calls.
  std::size_t bytes() const;

 private:
  void give_back(Buffer buffer) noexcept;

  mutable std::mutex mutex_;
  std::vector<Buffer> free_;
};

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/workspace.ipp>
#endif
