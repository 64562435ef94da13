#pragma once

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>

#include <strata/cuda/options.hpp>
#include <strata/cuda/runtime.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

class Kernels;
class Convolutions;
class ConvolutionPlan;
class Products;
class SumParts;
struct Product;

/// Orders the contexts of a card: what one starts after weights have changed on another's stream waits for
/// that.
class Updates {
 public:
  /// The work of `stream` so far changes weights.
  void publish(cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    changed_.record(stream);
    ++count_;
  }
  /// Work that `stream` gets from now on comes after all that was published. `seen` is what it knows of
  /// already.
  void follow(cudaStream_t stream, std::uint64_t& seen) {
    if (count_ == seen) return;
    const std::lock_guard lock(mutex_);
    changed_.precede(stream);
    seen = count_;
  }

 private:
  std::mutex mutex_;
  Event changed_;
  std::atomic<std::uint64_t> count_ = 0;
};

/// Pinned memory for batches. Blocks are kept, as pinning takes long.
class PinnedMemory final : public HostMemory {
 public:
  explicit PinnedMemory(int card) : card_(card) {}
  void* allocate(std::size_t bytes) override;
  void deallocate(void* memory, std::size_t bytes) noexcept override;
  /// Gives `stream` a copy from memory that lies here; false where it does not.
  bool upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream);

 private:
  struct Block {
    explicit Block(std::size_t bytes) : memory(bytes) {}
    Pinned memory;
    Event copied;  // to the device
  };

  const int card_;
  std::mutex mutex_;
  std::list<Block> taken_, free_;  // first the one that is free the longest
};

/// What the contexts of one card share.
struct Card {
  DeviceOptions options;
  std::string name;
  int capability = 0;  ///< 90 for compute capability 9.0
  int multiprocessors = 1;
  std::unique_ptr<Kernels> kernels;
  std::unique_ptr<Updates> updates;
  std::shared_ptr<PinnedMemory> pinned;

  /// The calls that follow, of this thread, mean this card.
  void use() const { check(cudaSetDevice(options.index), "choosing the card"); }
};

/// One stream of a card with its cuDNN and cuBLAS handles. Everything is asynchronous; only `download` and
/// `synchronize` wait. Every sum has a fixed order, so results are the same bits each time.
class CudaBackend final : public Backend<float> {
 public:
  explicit CudaBackend(std::shared_ptr<const Card> card);
  ~CudaBackend() override;

  void upload(void* device, const void* host, std::size_t bytes) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  void zero(void* device, std::size_t bytes) override;
  void synchronize() override;

  // convolution.ipp
  void conv2d(const Conv2DGeometry& g, const float* x, WeightView<float> kernel,
              const Epilogue<float>& epilogue, float* y) override;
  void conv2d_backward_input(const Conv2DGeometry& g, const float* dy, WeightView<float> kernel,
                             Gradient<float> dx) override;
  void conv2d_backward_kernel(const Conv2DGeometry& g, const float* x, const float* dy,
                              Gradient<float> dkernel) override;
  Algorithm describe_conv2d(const Conv2DGeometry& g, const Epilogue<float>& epilogue) const override;

  // pooling.ipp
  void pool2d(const Pool2DGeometry& g, PoolKind kind, const float* x, float* y,
              std::uint8_t* argmax) override;
  void pool2d_backward(const Pool2DGeometry& g, PoolKind kind, const Activation& before, const float* x,
                       const float* y, const float* dy, float* dx, const std::uint8_t* argmax) override;

  // dense.ipp
  void dense(const DenseGeometry& g, const float* x, WeightView<float> kernel,
             const Epilogue<float>& epilogue, float* y) override;
  void dense_backward_input(const DenseGeometry& g, const float* dy, WeightView<float> kernel,
                            Gradient<float> dx) override;
  void dense_backward_kernel(const DenseGeometry& g, const float* x, const float* dy,
                             Gradient<float> dkernel) override;

  // elementwise.ipp
  void activation(const Activation& f, std::int64_t rows, std::int64_t channels, const float* x,
                  float* y) override;
  void activation_backward(const Activation& f, std::int64_t rows, std::int64_t channels, const float* x,
                           const float* y, const float* dy, float* dx) override;
  void affine(std::int64_t count, float scale, float offset, const float* x, float* y) override;
  void axpy(std::int64_t count, float alpha, const float* x, float* y) override;
  void copy_block(std::int64_t rows, std::int64_t columns, const float* x, std::int64_t x_stride, float* y,
                  std::int64_t y_stride) override;
  void pad2d(const Pad2DGeometry& g, const float* x, float* y) override;
  void pad2d_backward(const Pad2DGeometry& g, const float* dy, float* dx) override;
  void dropout(std::int64_t count, double rate, const RandomStream& random, const float* x,
               float* y) override;

  // pixels.ipp
  void load_pixels(const PixelGeometry& g, const PixelScaling& scaling, const PixelSampling& sampling,
                   const PixelWarp* warps, const std::uint8_t* x, float* y) override;
  void warp(const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp* warps, const float* x,
            float* y) override;
  void adjust_pixels(const PixelGeometry& g, const PixelAdjustment* adjustments, const float* x,
                     float* y) override;
  void adjust_pixels_backward(const PixelGeometry& g, const PixelAdjustment* adjustments, const float* x,
                              const float* dy, float* dx) override;

  // normalization.ipp
  void bias_gradient(std::int64_t rows, std::int64_t channels, const float* dy,
                     Gradient<float> dbias) override;
  void batch_norm(const BatchNormSpec<float>& spec, double momentum, const float* x, Moments<float> batch,
                  Moments<float> moving, float* y) override;
  void batch_norm_inference(const BatchNormSpec<float>& spec, const float* x, Moments<const float> moments,
                            float* y) override;
  void batch_norm_backward(const BatchNormSpec<float>& spec, const float* x, Moments<const float> moments,
                           bool fixed, const float* dy, float* dx, Gradient<float> dgamma,
                           Gradient<float> dbeta) override;

  // sums.ipp
  void add_sum(std::int64_t count, double scale, const float* x, double* to) override;
  void add_sum_of_squares(std::int64_t count, const float* x, double* to) override;
  void add_scalar(double alpha, const double* x, double* to) override;
  void add_row_metric(const RowMetricSpec& spec, const Predictions<float>& of, double* sums) override;
  void add_confusion(const ConfusionSpec& spec, const Predictions<float>& of, double* sums) override;

  // training.ipp
  void loss(const LossSpec& spec, const Predictions<float>& of, double gradient_scale, float* losses,
            float* gradient) override;
  void l1_l2_penalty(std::int64_t count, double l1, double l2, const float* w, float* gradient,
                     double* to) override;
  void optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                      std::span<const OptimizerUpdate<float>> updates) override;

 private:
  class Input;
  class Output;
  class Kernel;
  struct PackedKernel;

  static constexpr int threads_per_block = 256;
  static constexpr std::int64_t most_in_row = std::int64_t{1} << 30;  // kernels count these in an int

  /// Every call that gives the stream work begins with it.
  void enter() {
    card_->use();
    card_->updates->follow(stream_, updates_seen_);
  }
  /// After work that changed weights.
  void publish_weights() { card_->updates->publish(stream_); }

  /// Starts kernels/*.cu's `kernel` on `grid` blocks; no block, no launch.
  template <class Parameters>
  void launch(const char* kernel, dim3 grid, int threads, const Parameters& parameters);
  /// The same for kernels that go over `count` elements in a grid-stride loop.
  template <class Parameters>
  void launch_over(const char* kernel, std::int64_t count, const Parameters& parameters);
  /// The same for kernels that go over [images,rows,width] with for_images.
  template <class Parameters>
  void launch_images(const char* kernel, std::int64_t images, std::int64_t rows, std::int64_t width,
                     const Parameters& parameters);
  /// Both steps of sums: `kernel` hands in the parts of its blocks.
  template <class Parameters>
  void launch_sums(const char* kernel, dim3 grid, const SumParts& parts, const Parameters& parameters);
  template <class T>
  Scratch<T> scratch(std::int64_t count) {
    return Scratch<T>(count, stream_);
  }
  void launch_raw(const char* kernel, dim3 grid, int threads, const void* parameters);

  /// y = activation(scale x + bias + residual) of x [rows,channels], as an epilogue without pooling says; y
  /// may be x.
  void apply(const Epilogue<float>& epilogue, std::int64_t rows, std::int64_t channels, const float* x,
             float* y);
  /// The same for images [batch,h,w,channels], pooled 2x2 on the way.
  void apply_pooled(const Epilogue<float>& epilogue, std::int64_t batch, std::int64_t h, std::int64_t w,
                    std::int64_t channels, const float* x, float* y);
  void copy(float* to, const float* from, std::int64_t count);
  /// conv2d_backward_kernel of few_channels(g).
  void window_gradient(const Conv2DGeometry& g, const float* x, const float* dy, Gradient<float> dkernel);
  /// *to += scale * the sum of x or of its squares.
  void sum(std::int64_t count, double scale, bool squares, const float* x, double* to);
  void add_parts(const SumParts& parts);
  void multiply(const Product& product);
  void run(const ConvolutionPlan& plan, const float* x, const float* kernel, const float* bias,
           const float* y);
  /// to [columns,rows] = the transpose of from [rows,columns], or is added to it.
  void transpose(std::int64_t rows, std::int64_t columns, const float* from, Gradient<float> to);

  /// Pinned memory through which uploads go, so that the host need not wait for its turn in the stream.
  struct Staging {
    Pinned memory;
    Event copied;
  };

  std::shared_ptr<const Card> card_;
  std::uint64_t updates_seen_ = 0;
  Stream stream_;
  std::array<Staging, 4> staging_;
  std::size_t next_staging_ = 0;
  std::unique_ptr<Convolutions> convolutions_;
  std::unique_ptr<Products> products_;
};

template <class Parameters>
void CudaBackend::launch(const char* kernel, dim3 grid, int threads, const Parameters& parameters) {
  static_assert(std::is_trivially_copyable_v<Parameters> && sizeof(Parameters) <= 4096);
  if (grid.x && grid.y && grid.z) launch_raw(kernel, grid, threads, &parameters);
}

template <class Parameters>
void CudaBackend::launch_over(const char* kernel, std::int64_t count, const Parameters& parameters) {
  const std::int64_t blocks = (count + threads_per_block - 1) / threads_per_block;
  const std::int64_t most = std::int64_t{32} * card_->multiprocessors;
  launch(kernel, dim3(static_cast<unsigned>(blocks < most ? blocks : most)), threads_per_block, parameters);
}

template <class Parameters>
void CudaBackend::launch_sums(const char* kernel, dim3 grid, const SumParts& parts,
                              const Parameters& parameters) {
  launch(kernel, grid, threads_per_block, parameters);
  add_parts(parts);
}

template <class Parameters>
void CudaBackend::launch_images(const char* kernel, std::int64_t images, std::int64_t rows,
                                std::int64_t width, const Parameters& parameters) {
  require<DeviceError>(rows <= most_in_row && width <= most_in_row, "[cuda] ", kernel, ": expected at most ",
                       most_in_row, " numbers in a row of pixels, found ", width);
  const std::int64_t threads = width < threads_per_block ? (width + 31) / 32 * 32 : threads_per_block;
  const auto extent = [](std::int64_t count) { return static_cast<unsigned>(count < 65535 ? count : 65535); };
  const std::int64_t blocks = threads ? (width + threads - 1) / threads : 0;
  launch(kernel, dim3(extent(blocks), extent(rows), extent(images)), static_cast<int>(threads), parameters);
}

}}}  // namespace strata::STRATA_ABI::cuda
