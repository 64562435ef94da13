#pragma once

#include <strata/core/parallel.hpp>
#include <strata/cpu/dispatch.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/cpu/tuning.hpp>
#include <strata/cpu/workspace.hpp>
#include <strata/tensor/host_device.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Backend<float> on the CPU: splits the work into tasks of fixed size, which the pool's threads take, and
/// calls kernels for them. A context is a view of the device and costs nothing; what was called is done. What
/// belongs together is defined together: convolution.ipp, elementwise.ipp, grouped_convolution.ipp,
/// normalization.ipp, pixels.ipp, pooling.ipp, training.ipp; autotune.ipp chooses plans.
class CpuBackend final : public HostBackend<float> {
 public:
  CpuBackend(ThreadPool& pool, Workspace& workspace, const KernelTable& kernels, const PlanLimits& limits,
             ConvolutionChoices* choices = nullptr)
      : pool_(pool), workspace_(workspace), kernels_(kernels), limits_(limits), choices_(choices) {}

  bool set_policy(Policy policy) override;

  void conv2d(const Conv2DGeometry& g, const float* x, WeightView<float> kernel,
              const Epilogue<float>& epilogue, float* y) override;
  void conv2d_backward_input(const Conv2DGeometry& g, const float* dy, WeightView<float> kernel,
                             Gradient<float> dx) override;
  void conv2d_backward_kernel(const Conv2DGeometry& g, const float* x, const float* dy,
                              Gradient<float> dkernel) override;
  void conv2d_backward_weights(const Conv2DGeometry& g, const float* x, const float* dy,
                               Gradient<float> dkernel, Gradient<float> dbias,
                               const std::uint8_t* argmax) override;
  bool takes_pooled_gradient(const Conv2DGeometry& g) const override;

  bool repacks() const override { return true; }
  bool takes_narrow(const Conv2DGeometry& g, const Epilogue<float>& epilogue) const override;
  Algorithm describe_conv2d(const Conv2DGeometry& g, const Epilogue<float>& epilogue) const override;
  Algorithm describe_dense(const DenseGeometry& g) const override;

  void pool2d(const Pool2DGeometry& g, PoolKind kind, const float* x, float* y,
              std::uint8_t* argmax) override;
  void pool2d_backward(const Pool2DGeometry& g, PoolKind kind, const Activation& before, const float* x,
                       const float* y, const float* dy, float* dx, const std::uint8_t* argmax) override;
  bool remembers_maxima(const Pool2DGeometry& g) const override;

  void dense(const DenseGeometry& g, const float* x, WeightView<float> kernel,
             const Epilogue<float>& epilogue, float* y) override;
  void dense_backward_input(const DenseGeometry& g, const float* dy, WeightView<float> kernel,
                            Gradient<float> dx) override;
  void dense_backward_kernel(const DenseGeometry& g, const float* x, const float* dy,
                             Gradient<float> dkernel) override;

  void bias_gradient(std::int64_t rows, std::int64_t channels, const float* dy,
                     Gradient<float> dbias) override;
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
  void load_pixels(const PixelGeometry& g, const PixelScaling& scaling, const PixelSampling& sampling,
                   const PixelWarp* warps, const std::uint8_t* x, float* y) override;
  void warp(const PixelGeometry& g, const PixelSampling& sampling, const PixelWarp* warps, const float* x,
            float* y) override;
  void adjust_pixels(const PixelGeometry& g, const PixelAdjustment* adjustments, const float* x,
                     float* y) override;
  void adjust_pixels_backward(const PixelGeometry& g, const PixelAdjustment* adjustments, const float* x,
                              const float* dy, float* dx) override;
  void dropout(std::int64_t count, double rate, const RandomStream& random, const float* x,
               float* y) override;

  void batch_norm(const BatchNormSpec<float>& spec, double momentum, const float* x, Moments<float> batch,
                  Moments<float> moving, float* y) override;
  void batch_norm_inference(const BatchNormSpec<float>& spec, const float* x, Moments<const float> moments,
                            float* y) override;
  void batch_norm_backward(const BatchNormSpec<float>& spec, const float* x, Moments<const float> moments,
                           bool fixed, const float* dy, float* dx, Gradient<float> dgamma,
                           Gradient<float> dbeta) override;

  void add_sum(std::int64_t count, double scale, const float* x, double* to) override;
  void add_sum_of_squares(std::int64_t count, const float* x, double* to) override;

  void loss(const LossSpec& spec, const Predictions<float>& of, double gradient_scale, float* losses,
            float* gradient) override;
  void l1_l2_penalty(std::int64_t count, double l1, double l2, const float* w, float* gradient,
                     double* to) override;
  void optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                      std::span<const OptimizerUpdate<float>> updates) override;

 private:
  /// Sums over the rows of [rows,channels] in double, by blocks of a fixed number of rows:
  /// block(first row, rows, sums).
  std::vector<double> reduce_rows(std::int64_t rows, std::int64_t channels,
                                  FunctionRef<void(std::int64_t, std::int64_t, double*)> block);

  /// y from x by Winograd's algorithm; `flip` takes the kernel for the gradient of the input.
  void winograd(const ConvolutionPlan& plan, const Conv2DGeometry& g, const float* x,
                const WeightView<float>& kernel, bool flip, const OutputEpilogue& epilogue, float* y);

  // The three passes of one group as a plan has them.
  void conv2d_by(const ConvolutionPlan& plan, const Conv2DGeometry& g, const float* x,
                 const WeightView<float>& kernel, const Epilogue<float>& epilogue, float* y);
  void backward_input_by(const ConvolutionPlan& plan, const Conv2DGeometry& g, const float* dy,
                         const WeightView<float>& kernel, Gradient<float> dx);
  void backward_kernel_by(const ConvolutionPlan& plan, const Conv2DGeometry& g, const float* x,
                          const float* dy, Gradient<float> dkernel);

  /// The plan to take: the device's choice, measured now where it measures and has none, or the model's.
  ConvolutionPlan chosen_plan(const ConvolutionTask& task);
  /// The same, without measuring.
  ConvolutionPlan known_plan(const ConvolutionTask& task) const;
  ConvolutionPlan fastest_plan(const ConvolutionTask& task);
  /// That for the gradient of a kernel from this dy.
  ConvolutionPlan kernel_gradient_plan(const Conv2DGeometry& g, const float* dy);

  // grouped_convolution.ipp: what the three passes do for more than one group.
  void grouped_conv2d(const Conv2DGeometry& g, const float* x, const float* kernel,
                      const Epilogue<float>& epilogue, float* y);
  void grouped_backward_input(const Conv2DGeometry& g, const float* dy, const float* kernel,
                              Gradient<float> dx);
  void grouped_backward_kernel(const Conv2DGeometry& g, const float* x, const float* dy,
                               Gradient<float> dkernel);

  /// pixels.ipp: the rows of all pictures by their warps, then unless null scaled.
  template <class X>
  void warp_pictures(const PixelGeometry& g, const PixelScaling* scaling, const PixelSampling& sampling,
                     const PixelWarp* warps, const X* x, float* y);

  /// By channel, what is added to contrast * x: (1 - contrast) * mean + brightness.
  std::vector<float> adjustment_offsets(const PixelGeometry& g, double contrast, double brightness,
                                        const float* x);

  /// Sum of part(begin, count) over parts of a fixed size, each computed by one thread.
  double sum_parts(std::int64_t count, FunctionRef<double(std::int64_t, std::int64_t)> part);

  ThreadPool& pool_;
  Workspace& workspace_;
  const KernelTable& kernels_;
  PlanLimits limits_;
  ConvolutionChoices* choices_;
  std::vector<std::pair<ConvolutionTask, ConvolutionPlan>> chosen_plans_;  // what was asked of them so far
  std::uint64_t choices_version_ = 0;
};

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/autotune.ipp>
#include <strata/cpu/convolution.ipp>
#include <strata/cpu/dense.ipp>
#include <strata/cpu/elementwise.ipp>
#include <strata/cpu/grouped_convolution.ipp>
#include <strata/cpu/normalization.ipp>
#include <strata/cpu/pixels.ipp>
#include <strata/cpu/pooling.ipp>
#include <strata/cpu/training.ipp>
#endif
