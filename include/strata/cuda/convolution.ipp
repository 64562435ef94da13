#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/columns.hpp>
#include <strata/cuda/convolution_plan.hpp>
#include <strata/cuda/kernels/convolution.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// cuDNN on one stream: its handle, and a plan for every problem met so far.
class Convolutions {
 public:
  Convolutions(const DeviceOptions& options, cudaStream_t stream) : options_(options) {
    check(cudnnCreate(&handle_), "a handle");
    check(cudnnSetStream(handle_, stream), "its stream");
  }
  Convolutions(const Convolutions&) = delete;
  Convolutions& operator=(const Convolutions&) = delete;
  ~Convolutions() { (void)cudnnDestroy(handle_); }

  cudnnHandle_t handle() const { return handle_; }

  /// Null where cuDNN has none.
  const ConvolutionPlan* plan(ConvolutionPass pass, const Conv2DGeometry& g) {
    const Key key{static_cast<std::int64_t>(pass),
                  g.batch,
                  g.in_h,
                  g.in_w,
                  g.in_c,
                  g.out_h,
                  g.out_w,
                  g.out_c,
                  g.kernel_h,
                  g.kernel_w,
                  g.stride_h,
                  g.stride_w,
                  g.dilation_h,
                  g.dilation_w,
                  g.pad_top,
                  g.pad_left,
                  g.groups};
    auto found = plans_.find(key);
    if (found == plans_.end()) {
      const ConvolutionProblem problem{pass, g, options_.tf32,
                                       static_cast<std::int64_t>(options_.workspace_bytes)};
      found = plans_.emplace(key, ConvolutionPlan::find(problem, {.handle = handle_})).first;
    }
    return found->second ? &*found->second : nullptr;
  }

 private:
  using Key = std::array<std::int64_t, 17>;

  DeviceOptions options_;
  cudnnHandle_t handle_ = nullptr;
  std::map<Key, std::optional<ConvolutionPlan>> plans_;
};

namespace detail {

inline std::int64_t input_size(const Conv2DGeometry& g) {
  return g.batch * g.in_h * g.in_w * g.in_c;
}
inline std::int64_t output_size(const Conv2DGeometry& g) {
  return g.batch * g.out_h * g.out_w * g.out_c;
}
inline std::int64_t taps(const Conv2DGeometry& g) {
  return g.kernel_h * g.kernel_w * g.group_in();
}

/// A dense product of pixels in disguise.
inline bool pointwise(const Conv2DGeometry& g) {
  return g.kernel_h == 1 && g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 &&
         g.pad_left == 0 && g.groups == 1 && g.out_h == g.in_h && g.out_w == g.in_w;
}

/// Where a product of the windows beats cuDNN's engines in the gradient by the kernel
/// (docs/performance-gpu.md). The kernel counts in ints, and a grid has 65535 blocks beside its first axis.
inline bool few_channels(const Conv2DGeometry& g) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  const std::int64_t pixels = g.batch * g.out_h * g.out_w;
  return g.in_c <= 4 && g.groups == 1 && pixels > 0 && pixels <= most && g.in_h * g.in_w * g.in_c <= most &&
         g.kernel_h * g.dilation_h + g.out_h * g.stride_h <= most &&
         g.kernel_w * g.dilation_w + g.out_w * g.stride_w <= most &&
         taps(g) <= 65535 * WindowGradient::taps && g.out_c <= 65535 * 64;
}

/// Rows of padding behind an input of one axis, so that the last output has what it reads.
inline std::int64_t padding_behind(std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t step,
                                   std::int64_t dilation, std::int64_t before) {
  return std::max<std::int64_t>(0, (out - 1) * step + (size - 1) * dilation + 1 - in - before);
}

/// How an input gets the same padding on both sides, as cuDNN's engines want it: by zeros in memory where the
/// sides differ.
struct SymmetricPadding {
  Conv2DGeometry geometry;
  Pad2DGeometry zeros;
  bool needed = false;
};
inline SymmetricPadding symmetric(const Conv2DGeometry& g) {
  SymmetricPadding out{g, {g.batch, g.in_h, g.in_w, g.in_c}};
  const std::int64_t bottom =
      padding_behind(g.in_h, g.out_h, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top);
  const std::int64_t right =
      padding_behind(g.in_w, g.out_w, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left);
  const auto outputs = [](std::int64_t in, std::int64_t pad, std::int64_t size, std::int64_t step,
                          std::int64_t dilation) {
    return (in + 2 * pad - (size - 1) * dilation - 1) / step + 1;
  };
  out.needed = bottom > g.pad_top || right > g.pad_left ||
               outputs(g.in_h, g.pad_top, g.kernel_h, g.stride_h, g.dilation_h) != g.out_h ||
               outputs(g.in_w, g.pad_left, g.kernel_w, g.stride_w, g.dilation_w) != g.out_w;
  if (!out.needed) return out;
  out.zeros.top = g.pad_top, out.zeros.bottom = bottom, out.zeros.left = g.pad_left, out.zeros.right = right;
  out.geometry.in_h += g.pad_top + bottom, out.geometry.in_w += g.pad_left + right;
  out.geometry.pad_top = out.geometry.pad_left = 0;
  return out;
}

}  // namespace detail

/// An operand where cuDNN can read it: on 16 bytes, with zeros around it where that is asked for.
class CudaBackend::Input {
 public:
  Input(CudaBackend& backend, const float* x, std::int64_t count, const Pad2DGeometry* zeros = nullptr)
      : data_(x) {
    if (!zeros && aligned(x)) return;
    copy_ = backend.scratch<float>(count);
    data_ = copy_.data();
    if (zeros)
      backend.pad2d(*zeros, x, copy_.data());
    else
      backend.copy(copy_.data(), x, count);
  }
  const float* data() const { return data_; }

 private:
  const float* data_;
  Scratch<float> copy_;
};

/// Where cuDNN can write a result: in its place, or in scratch memory from which `finish` takes it there.
class CudaBackend::Output {
 public:
  Output(CudaBackend& backend, Gradient<float> to, std::int64_t count) : to_(to), count_(count) {
    if (!aligned(to.data) || to.accumulate) memory_ = backend.scratch<float>(count);
  }
  float* data() const { return memory_.data() ? memory_.data() : to_.data; }
  void finish(CudaBackend& backend) {
    if (!memory_.data()) return;
    if (to_.accumulate)
      backend.axpy(count_, 1, memory_.data(), to_.data);
    else
      backend.copy(to_.data, memory_.data(), count_);
  }

 private:
  Gradient<float> to_;
  std::int64_t count_;
  Scratch<float> memory_;
};

/// A kernel in cuDNN's order, out_c first, kept beside the weight, and when that stands on the device.
struct CudaBackend::PackedKernel {
  PackedKernel(std::shared_ptr<const Card> owner, std::int64_t count) : card(std::move(owner)) {
    card->use();
    void* memory = nullptr;
    check(cudaMalloc(&memory, static_cast<std::size_t>(count) * sizeof(float)), "memory for a packed kernel");
    data = static_cast<float*>(memory);
  }
  PackedKernel(const PackedKernel&) = delete;
  PackedKernel& operator=(const PackedKernel&) = delete;
  ~PackedKernel() {
    (void)cudaSetDevice(card->options.index);
    (void)cudaDeviceSynchronize();  // contexts may still read it
    (void)cudaFree(data);
  }

  std::shared_ptr<const Card> card;
  float* data = nullptr;
  mutable Event ready;  // recorded anew for every version
};

/// A weight as cuDNN reads it, for the duration of a call.
class CudaBackend::Kernel {
 public:
  Kernel(CudaBackend& backend, const Conv2DGeometry& g, WeightView<float> kernel) {
    const std::int64_t rows = detail::taps(g), count = rows * g.out_c;
    if (!kernel.packed) {
      memory_ = backend.scratch<float>(count);
      data_ = memory_.data();
      backend.transpose(rows, g.out_c, kernel.data, {memory_.data()});
      return;
    }
    const auto make = [&](std::shared_ptr<const void> before) {
      auto packed = std::static_pointer_cast<const PackedKernel>(std::move(before));
      // In the memory of the version before, which was of the same size: a step that trains allocates
      // nothing.
      if (!packed || packed.use_count() > 1) packed = std::make_shared<PackedKernel>(backend.card_, count);
      backend.transpose(rows, g.out_c, kernel.data, {packed->data});
      packed->ready.record(backend.stream_);
      return packed;
    };
    // Cards have memories of their own, so the key names the card too.
    const auto key = static_cast<std::uint64_t>(backend.card_->options.index) + 1;
    packed_ = std::static_pointer_cast<const PackedKernel>(kernel.packed->get(key, kernel.version, make));
    packed_->ready.precede(backend.stream_);
    data_ = packed_->data;
  }
  const float* data() const { return data_; }

 private:
  const float* data_ = nullptr;
  Scratch<float> memory_;
  std::shared_ptr<const PackedKernel> packed_;
};

STRATA_INLINE void CudaBackend::run(const ConvolutionPlan& plan, const float* x, const float* kernel,
                                    const float* bias, const float* y) {
  const Scratch<std::byte> workspace(plan.workspace_bytes(), stream_);
  plan.execute(convolutions_->handle(), x, kernel, bias, y, workspace.data());
}

STRATA_INLINE void CudaBackend::conv2d(const Conv2DGeometry& g, const float* x, WeightView<float> kernel,
                                       const Epilogue<float>& epilogue, float* y) {
  const std::int64_t count = detail::output_size(g), pixels = count ? count / g.out_c : 0;
  if (count == 0) return;
  enter();
  if (detail::pointwise(g) && !epilogue.max_pool_2x2)
    return dense({pixels, g.in_c, g.out_c}, x, kernel, epilogue, y);

  const detail::SymmetricPadding padding = detail::symmetric(g);
  Epilogue<float> rest = epilogue;
  const ConvolutionPlan* plan = nullptr;
  // In float, cuDNN ranks other and slower engines first where it is to add a bias (docs/performance-gpu.md).
  if (card_->options.tf32 && epilogue.bias && !epilogue.scale && aligned(epilogue.bias)) {
    const bool relu = epilogue.activation == Activation::relu && !epilogue.residual;
    plan = convolutions_->plan(relu ? ConvolutionPass::forward_bias_relu : ConvolutionPass::forward_bias,
                               padding.geometry);
    if (plan) rest.bias = nullptr;
    if (plan && relu) rest.activation = Activation::linear;
  }
  if (!plan) plan = convolutions_->plan(ConvolutionPass::forward, padding.geometry);

  Scratch<float> memory;
  float* to = y;
  if (epilogue.max_pool_2x2 || !aligned(y)) {
    memory = scratch<float>(count);
    to = memory.data();
  }
  if (plan) {
    const Input input(*this, x, detail::input_size(padding.geometry),
                      padding.needed ? &padding.zeros : nullptr);
    const Kernel weights(*this, g, kernel);
    run(*plan, input.data(), weights.data(), epilogue.bias, to);
  } else {
    launch_over("strata_convolution", count, DirectConvolution{g, x, kernel.data, nullptr, to, false});
  }
  if (epilogue.max_pool_2x2)
    apply_pooled(rest, g.batch, g.out_h, g.out_w, g.out_c, to, y);
  else
    apply(rest, pixels, g.out_c, to, y);
}

STRATA_INLINE void CudaBackend::conv2d_backward_input(const Conv2DGeometry& g, const float* dy,
                                                      WeightView<float> kernel, Gradient<float> dx) {
  const std::int64_t count = detail::input_size(g);
  if (count == 0) return;
  enter();
  if (detail::pointwise(g)) return dense_backward_input({count / g.in_c, g.in_c, g.out_c}, dy, kernel, dx);

  const detail::SymmetricPadding padding = detail::symmetric(g);
  const ConvolutionPlan* plan = detail::output_size(g)
                                    ? convolutions_->plan(ConvolutionPass::backward_input, padding.geometry)
                                    : nullptr;
  if (!plan)
    return launch_over("strata_convolution_backward_input", count,
                       DirectConvolution{g, nullptr, kernel.data, dy, dx.data, dx.accumulate});
  const Input gradient(*this, dy, detail::output_size(g));
  const Kernel weights(*this, g, kernel);
  Output result(*this, dx, count);
  if (!padding.needed) {
    run(*plan, result.data(), weights.data(), nullptr, gradient.data());
  } else {
    const Scratch<float> padded = scratch<float>(detail::input_size(padding.geometry));
    run(*plan, padded.data(), weights.data(), nullptr, gradient.data());
    pad2d_backward(padding.zeros, padded.data(), result.data());
  }
  result.finish(*this);
}

STRATA_INLINE void CudaBackend::conv2d_backward_kernel(const Conv2DGeometry& g, const float* x,
                                                       const float* dy, Gradient<float> dkernel) {
  const std::int64_t count = detail::taps(g) * g.out_c;
  if (count == 0) return;
  enter();
  if (detail::pointwise(g))
    return dense_backward_kernel({g.batch * g.out_h * g.out_w, g.in_c, g.out_c}, x, dy, dkernel);
  if (detail::few_channels(g)) return window_gradient(g, x, dy, dkernel);

  const detail::SymmetricPadding padding = detail::symmetric(g);
  const ConvolutionPlan* plan = detail::output_size(g)
                                    ? convolutions_->plan(ConvolutionPass::backward_kernel, padding.geometry)
                                    : nullptr;
  if (!plan)
    return launch("strata_convolution_backward_kernel",
                  dim3(static_cast<unsigned>(std::min<std::int64_t>(count, 65535))), threads_per_block,
                  DirectConvolution{g, x, nullptr, dy, dkernel.data, dkernel.accumulate});
  const Input input(*this, x, detail::input_size(padding.geometry),
                    padding.needed ? &padding.zeros : nullptr);
  const Input gradient(*this, dy, detail::output_size(g));
  const Scratch<float> result = scratch<float>(count);
  run(*plan, input.data(), result.data(), nullptr, gradient.data());
  transpose(g.out_c, detail::taps(g), result.data(), dkernel);
}

STRATA_INLINE void CudaBackend::window_gradient(const Conv2DGeometry& g, const float* x, const float* dy,
                                                Gradient<float> dkernel) {
  constexpr std::int64_t blocks = 1536;  // fill any card, and the same on all, so that the sums are too
  const bool few = g.out_c <= 32;
  const int outputs = few ? 32 : 64;
  const std::int64_t down = shares(detail::taps(g), WindowGradient::taps), across = shares(g.out_c, outputs);
  const std::int64_t steps = shares(g.batch * g.out_h * g.out_w, WindowGradient::pixels);
  const std::int64_t slice = shares(steps, shares(blocks, down * across));  // in steps of a block
  const std::int64_t slices = shares(steps, slice), count = detail::taps(g) * g.out_c;
  const Scratch<float> parts = scratch<float>(slices * count);
  launch(few ? "strata_window_gradient_32" : "strata_window_gradient_64",
         dim3(static_cast<unsigned>(slices), static_cast<unsigned>(down), static_cast<unsigned>(across)),
         WindowGradient::threads(outputs),
         WindowGradient{g, slice * WindowGradient::pixels, x, dy, parts.data()});
  bias_gradient(slices, count, parts.data(), dkernel);
}

STRATA_COLD STRATA_INLINE Algorithm CudaBackend::describe_conv2d(const Conv2DGeometry& g,
                                                                 const Epilogue<float>& epilogue) const {
  if (detail::output_size(g) == 0) return {};
  if (detail::pointwise(g) && !epilogue.max_pool_2x2) return {.name = "cuBLAS"};
  card_->use();
  const ConvolutionPlan* plan = convolutions_->plan(ConvolutionPass::forward, detail::symmetric(g).geometry);
  if (!plan) return {.name = "direct"};
  return {.name = concat("cuDNN ", plan->name()),
          .packed_bytes = detail::taps(g) * g.out_c * static_cast<std::int64_t>(sizeof(float)),
          .workspace_bytes = plan->workspace_bytes()};
}

}}}  // namespace strata::STRATA_ABI::cuda
