#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <strata/core/shape.hpp>

namespace strata { inline namespace STRATA_ABI {

struct PlanOptions {
  std::int64_t batch_size = 32;
  bool training = false;  ///< forward and backward pass, given what is frozen now
};

/// What one layer of a run costs.
struct LayerPlan {
  std::string name;  ///< path in the model, "vgg16/block1_conv1"; "dense#1" is a second call
  std::string class_name;
  Shape output_shape;           ///< with the batch axis
  std::int64_t parameters = 0;  ///< in weights that no layer above has
  std::int64_t forward_flops =
      0;  ///< 2 x multiply-adds of convolutions and dense products; others count as 0
  std::int64_t backward_flops = 0;
  std::int64_t activation_bytes = 0;  ///< its result, and what it keeps besides for the backward pass
  std::int64_t gradient_bytes = 0;    ///< gradients of its weights
  std::int64_t packed_bytes = 0, workspace_bytes = 0;  ///< see ModelPlan
  std::string algorithm = {};   ///< of the forward pass, as the device says; empty where it does not
  std::string fused_into = {};  ///< path of the layer that does this one's work
};

/// What a run of a model will cost, known before anything is allocated. Not counted: the batch itself, a
/// hundred bytes of scalars, what losses and metrics written for the host take, and what the device packs and
/// scratches in the backward pass.
struct ModelPlan {
  std::string model, device;
  PlanOptions options;
  std::vector<LayerPlan> layers = {};  ///< in computing order, without inputs

  std::int64_t weight_bytes = 0;
  std::int64_t activation_bytes = 0;  ///< the results that exist at a time, the output among them
  /// Gradients with respect to results, and losses per row, where no result leaves them its memory.
  std::int64_t activation_gradient_bytes = 0;
  std::int64_t gradient_bytes = 0;   ///< of all weights that train
  std::int64_t slot_bytes = 0;       ///< of the optimizer, for a compiled model
  std::int64_t packed_bytes = 0;     ///< weights as the device wants them for the forward pass, beside them
  std::int64_t workspace_bytes = 0;  ///< scratch of the device in the forward pass: the most a layer needs

  std::int64_t forward_flops() const;
  std::int64_t backward_flops() const;
  /// Of all kinds of memory.
  std::int64_t total_bytes() const;
  /// Throws ConfigError where there is no layer of that path.
  const LayerPlan& at(const std::string& name) const;
  /// A table for people.
  std::string to_string() const;
};

template <class T>
class ModelImpl;

namespace detail {

/// What the trainer of a compiled model adds to a step.
struct TrainingPlan {
  std::uint64_t linear_output = 0;  ///< see RunMode
  std::uint64_t activated = 0;      ///< those of them that metrics want with their activation
  int slots = 0;                    ///< per weight
};
template <class T>
ModelPlan plan_model(const ModelImpl<T>& model, const PlanOptions& options,
                     const TrainingPlan& training = {});
/// For handlers of an OutOfMemoryError: throws it again with what the run takes by its plan.
template <class T>
[[noreturn]] void rethrow_with_plan(const ModelImpl<T>& model, const PlanOptions& options,
                                    const TrainingPlan& training = {});

}  // namespace detail
}}  // namespace strata::STRATA_ABI
