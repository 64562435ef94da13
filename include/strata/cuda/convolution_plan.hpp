#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <strata/cuda/cudnn.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

enum class ConvolutionPass {
  forward,
  forward_bias,       ///< + bias
  forward_bias_relu,  ///< relu(... + bias)
  backward_input,
  backward_kernel
};

/// What a plan depends on. Tensors are float and lie as Strata has them, [n,h,w,c]; kernels as cuDNN wants
/// them, [out_c,kernel_h,kernel_w,in_c/groups]. Padding is the same on both sides (see `symmetric`).
struct ConvolutionProblem {
  ConvolutionPass pass = ConvolutionPass::forward;
  Conv2DGeometry geometry;
  bool tf32 = true;
  std::int64_t workspace_bytes = 0;  ///< the most it may take
};

/// Where a plan is for: a card at hand, or one that is only described.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

/// An engine of cuDNN that computes one problem, the same bits each time. Engines that compile code at run
/// time or whose sums have no fixed order are left out.
class ConvolutionPlan {
 public:
  /// The first engine of cuDNN's own ranking that fits; nothing where none does.
  static std::optional<ConvolutionPlan> find(const ConvolutionProblem& problem, PlanTarget target);

  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  /// cuDNN's number for it: "engine 44"
  const std::string& name() const { return name_; }

  /// x, kernel and y are what `pass` reads and writes: of backward passes dx, dkernel and dy. 16-byte
  /// aligned.
  void execute(cudnnHandle_t handle, const float* x, const float* kernel, const float* bias, const float* y,
               void* workspace) const;

 private:
  ConvolutionPlan(Descriptor plan, bool bias, std::vector<Descriptor> parts)
      : plan_(std::move(plan)), bias_(bias), parts_(std::move(parts)) {}

  Descriptor plan_;
  bool bias_;
  std::vector<Descriptor> parts_;  // what the plan refers to
  std::int64_t workspace_bytes_ = 0;
  std::string name_;
};

}}}  // namespace strata::STRATA_ABI::cuda
