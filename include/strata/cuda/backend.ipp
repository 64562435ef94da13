#pragma once

#include <algorithm>
#include <cstring>

#include <strata/cuda/backend.hpp>
#include <strata/cuda/convolution.ipp>
#include <strata/cuda/kernels.hpp>
#include <strata/cuda/products.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

STRATA_COLD STRATA_INLINE void* PinnedMemory::allocate(std::size_t bytes) {
  constexpr std::size_t page = 4096, most_free = std::size_t{256} << 20;
  check(cudaSetDevice(card_), "choosing the card");
  std::list<Block> block, surplus;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(free_.begin(), free_.end(), [&](const Block& free) {
      return free.memory.bytes() >= bytes && free.memory.bytes() <= 2 * bytes + page;
    });
    std::size_t total = 0;
    for (const Block& free : free_) total += free.memory.bytes();
    if (found != free_.end()) block.splice(block.end(), free_, found);
    for (; block.empty() && total > most_free; total -= surplus.back().memory.bytes())
      surplus.splice(surplus.end(), free_, free_.begin());
  }
  for (const Block& old : surplus) old.copied.wait();
  surplus.clear();
  if (!block.empty()) {
    block.front().copied.wait();
  } else {
    try {
      block.emplace_back(bytes);
    } catch (const DeviceError&) {
      return nullptr;
    }
  }
  const std::lock_guard lock(mutex_);
  taken_.splice(taken_.end(), block);
  return taken_.back().memory.data();
}

STRATA_COLD STRATA_INLINE void PinnedMemory::deallocate(void* memory, std::size_t) noexcept {
  const std::lock_guard lock(mutex_);
  free_.splice(free_.end(), taken_, std::find_if(taken_.begin(), taken_.end(), [&](const Block& block) {
                 return block.memory.data() == memory;
               }));
}

STRATA_INLINE bool PinnedMemory::upload(void* device, const void* host, std::size_t bytes,
                                        cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(taken_.begin(), taken_.end(), [&](const Block& block) {
    const auto* const begin = static_cast<const std::byte*>(block.memory.data());
    return host >= begin && host < begin + block.memory.bytes();
  });
  if (found == taken_.end()) return false;
  found->copied.precede(stream);  // then the event stands for copies of other contexts too
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream), "a copy to the device");
  found->copied.record(stream);
  return true;
}

STRATA_COLD STRATA_INLINE CudaBackend::CudaBackend(std::shared_ptr<const Card> card)
    : card_((card->use(), std::move(card))),
      convolutions_(std::make_unique<Convolutions>(card_->options, stream_)),
      products_(std::make_unique<Products>(card_->options.tf32, stream_)) {}

STRATA_COLD STRATA_INLINE CudaBackend::~CudaBackend() {
  (void)cudaSetDevice(card_->options.index);
  (void)cudaStreamSynchronize(stream_);  // uploads still read pinned memory
}

STRATA_INLINE void CudaBackend::upload(void* device, const void* host, std::size_t bytes) {
  constexpr std::size_t most = std::size_t{16} << 20;
  enter();
  if (bytes == 0 || card_->pinned->upload(device, host, bytes, stream_)) return;
  for (std::size_t done = 0; done < bytes;) {
    Staging& staging = staging_[next_staging_++ % staging_.size()];
    const std::size_t part = std::min(bytes - done, most);
    staging.copied.wait();
    if (staging.memory.bytes() < part)
      staging.memory = Pinned(std::min(most, std::max(2 * part, std::size_t{4096})));
    std::memcpy(staging.memory.data(), static_cast<const std::byte*>(host) + done, part);
    check(cudaMemcpyAsync(static_cast<std::byte*>(device) + done, staging.memory.data(), part,
                          cudaMemcpyHostToDevice, stream_),
          "a copy to the device");
    staging.copied.record(stream_);
    done += part;
  }
}

STRATA_INLINE void CudaBackend::download(void* host, const void* device, std::size_t bytes) {
  enter();
  if (bytes)
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "a copy from the device");
  synchronize();
}

STRATA_INLINE void CudaBackend::zero(void* device, std::size_t bytes) {
  enter();
  if (bytes) check(cudaMemsetAsync(device, 0, bytes, stream_), "filling with zeros");
}

STRATA_INLINE void CudaBackend::synchronize() {
  card_->use();
  check(cudaStreamSynchronize(stream_), "waiting for the device");
}

STRATA_INLINE void CudaBackend::copy(float* to, const float* from, std::int64_t count) {
  enter();
  if (count && to != from)
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(float), cudaMemcpyDeviceToDevice,
                          stream_),
          "a copy on the device");
}

STRATA_INLINE void CudaBackend::launch_raw(const char* kernel, dim3 grid, int threads,
                                           const void* parameters) {
  enter();
  void* arguments[] = {const_cast<void*>(parameters)};
  check(cudaLaunchKernel(reinterpret_cast<const void*>(card_->kernels->get(kernel)), grid,
                         dim3(static_cast<unsigned>(threads)), arguments, 0, stream_),
        kernel);
}

}}}  // namespace strata::STRATA_ABI::cuda
