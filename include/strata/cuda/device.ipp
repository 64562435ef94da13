#pragma once

#include <strata/cuda/device.hpp>

// clang-format off
#include <strata/cuda/backend.ipp>
// clang-format on
#include <strata/cuda/convolution_plan.ipp>
#include <strata/cuda/dense.ipp>
#include <strata/cuda/elementwise.ipp>
#include <strata/cuda/epilogue.ipp>
#include <strata/cuda/kernels.ipp>
#include <strata/cuda/normalization.ipp>
#include <strata/cuda/pixels.ipp>
#include <strata/cuda/pooling.ipp>
#include <strata/cuda/products.ipp>
#include <strata/cuda/sums.ipp>
#include <strata/cuda/training.ipp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(std::shared_ptr<Card> card) : card_(std::move(card)) {}

  std::string description() const override {
    return concat("cuda:", card_->options.index, " (", card_->name, card_->options.tf32 ? ", TF32)" : ")");
  }
  bool host_accessible() const override { return false; }

  void* allocate(std::size_t bytes) override {
    card_->use();
    void* memory = nullptr;
    if (cudaMalloc(&memory, std::max<std::size_t>(bytes, 1)) == cudaSuccess) return memory;
    (void)cudaGetLastError();
    std::size_t free = 0, total = 0;
    (void)cudaMemGetInfo(&free, &total);
    throw OutOfMemoryError(concat("[device] ", description(), ": expected ", bytes,
                                  " bytes of memory, found ", free, " of ", total,
                                  " free; smaller batches take less"));
  }
  void deallocate(void* memory, std::size_t) noexcept override {
    if (cudaSetDevice(card_->options.index) != cudaSuccess) return;
    (void)cudaDeviceSynchronize();  // contexts may still work on it
    (void)cudaFree(memory);
  }

  std::shared_ptr<HostMemory> host_memory() override { return card_->pinned; }

  void copy_from_host(void* device, const void* host, std::size_t bytes) override {
    transfer(device, host, bytes, cudaMemcpyHostToDevice);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override {
    transfer(host, device, bytes, cudaMemcpyDeviceToHost);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    transfer(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  void fill_zero(void* device, std::size_t bytes) override {
    synchronize();
    if (bytes) check(cudaMemset(device, 0, bytes), "filling with zeros");
    synchronize();
  }
  void synchronize() override {
    card_->use();
    check(cudaDeviceSynchronize(), "waiting for the device");
  }

 protected:
  std::unique_ptr<Backend<float>> make_backend_float() override {
    return std::make_unique<CudaBackend>(card_);
  }

 private:
  void transfer(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    synchronize();
    if (bytes) check(cudaMemcpy(to, from, bytes, kind), "a copy");
    if (kind != cudaMemcpyDeviceToHost) synchronize();  // only that kind waits for its end itself
  }

  std::shared_ptr<Card> card_;
};

STRATA_COLD STRATA_INLINE int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

STRATA_COLD STRATA_INLINE DevicePtr device(const DeviceOptions& options) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    throw DeviceError(
        concat("[cuda] no card can be used: ", cudaGetErrorString(status),
               "; install NVIDIA's driver (nvidia-smi shows what it finds), or compute on the CPU"));
  }
  require<DeviceError>(options.index >= 0 && options.index < count,
                       "[cuda] expected the index of a card from 0 to ", count - 1, ", found ", options.index,
                       "; CUDA_VISIBLE_DEVICES hides cards");
  require<DeviceError>(cudnnGetVersion() >= oldest_cudnn,
                       "[cuda] expected cuDNN 9.8 or later, found version ", cudnnGetVersion());

  const auto card = std::make_shared<Card>();
  card->options = options;
  card->use();
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, options.index), "a card's properties");
  card->name = properties.name;
  card->capability = 10 * properties.major + properties.minor;
  card->multiprocessors = properties.multiProcessorCount;
  if (card->options.workspace_bytes == 0) card->options.workspace_bytes = properties.totalGlobalMem / 16;
  require<DeviceError>(card->capability >= 75, "[cuda] ", card->name,
                       ": expected compute capability 7.5 or later, found ", properties.major, ".",
                       properties.minor);
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, options.index), "a memory pool");
  std::uint64_t keep = ~std::uint64_t{0};  // scratch memory of one call is the next one's
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "a memory pool");
  card->kernels = std::make_unique<Kernels>(card->capability);
  card->updates = std::make_unique<Updates>();
  card->pinned = std::make_shared<PinnedMemory>(options.index);
  return std::make_shared<CudaDevice>(card);
}

}}}  // namespace strata::STRATA_ABI::cuda
