#pragma once

#include <cstddef>

#include <strata/cuda/backend.hpp>
#include <strata/cuda/kernels/training.hpp>
#include <strata/cuda/sums.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

static_assert(int(LossKind::binary_crossentropy) == loss_kind::binary_crossentropy &&
              int(LossKind::categorical_crossentropy) == loss_kind::categorical_crossentropy &&
              int(LossKind::sparse_categorical_crossentropy) == loss_kind::sparse_categorical_crossentropy &&
              int(LossKind::mean_squared_error) == loss_kind::mean_squared_error &&
              int(LossKind::mean_absolute_error) == loss_kind::mean_absolute_error &&
              int(LossKind::huber) == loss_kind::huber);
static_assert(int(OptimizerKind::sgd) == optimizer_kind::sgd &&
              int(OptimizerKind::rmsprop) == optimizer_kind::rmsprop &&
              int(OptimizerKind::adam) == optimizer_kind::adam &&
              int(OptimizerKind::adagrad) == optimizer_kind::adagrad &&
              int(OptimizerKind::nadam) == optimizer_kind::nadam);
static_assert(sizeof(StepState) == sizeof(OptimizerState) &&
              offsetof(StepState, learning_rate) == offsetof(OptimizerState, learning_rate) &&
              offsetof(StepState, iteration) == offsetof(OptimizerState, iteration));

STRATA_INLINE void CudaBackend::loss(const LossSpec& spec, const Predictions<float>& of,
                                     double gradient_scale, float* losses, float* gradient) {
  Loss p{.kind = static_cast<int>(spec.kind),
         .from_logits = spec.from_logits,
         .lanes = 1,
         .delta = spec.delta,
         .gradient_scale = gradient_scale,
         .rows = of.rows,
         .classes = of.classes,
         .prediction = of.values,
         .target = of.target,
         .sample_weight = of.sample_weight,
         .losses = losses,
         .gradient = gradient};
  while (p.lanes < of.classes && p.lanes < 32) p.lanes *= 2;
  const bool binary = spec.kind == LossKind::binary_crossentropy;
  if (binary || spec.kind == LossKind::categorical_crossentropy) {
    p.target_scale = 1 - spec.label_smoothing;
    p.target_offset = spec.label_smoothing * (binary ? 0.5 : 1 / static_cast<double>(of.classes));
  }
  const std::int64_t rows_per_block = threads_per_block / p.lanes;
  launch("strata_loss", dim3(static_cast<unsigned>((of.rows + rows_per_block - 1) / rows_per_block)),
         threads_per_block, p);
}

STRATA_INLINE void CudaBackend::l1_l2_penalty(std::int64_t count, double l1, double l2, const float* w,
                                              float* gradient, double* to) {
  const std::int64_t blocks = blocks_of_sum(count);
  const SumParts parts(blocks, 1, 1, to, stream_);
  launch_sums(
      "strata_penalty", dim3(static_cast<unsigned>(blocks)), parts,
      Penalty{.count = count, .l1 = l1, .l2 = l2, .w = w, .gradient = gradient, .target = parts.target()});
}

STRATA_INLINE void CudaBackend::optimizer_step(const OptimizerSpec& spec, OptimizerState* state,
                                               std::span<const OptimizerUpdate<float>> updates) {
  const auto rates = scratch<StepRates>(1);
  OptimizerStep p{.kind = static_cast<int>(spec.kind),
                  .nesterov = spec.nesterov,
                  .centered = spec.centered,
                  .amsgrad = spec.amsgrad,
                  .beta_1 = spec.beta_1,
                  .beta_2 = spec.beta_2,
                  .weight_decay = spec.weight_decay,
                  .clip_norm = spec.clip_norm,
                  .momentum = static_cast<float>(spec.momentum),
                  .rho = static_cast<float>(spec.rho),
                  .one_minus_rho = static_cast<float>(1 - spec.rho),
                  .one_minus_beta_1 = static_cast<float>(1 - spec.beta_1),
                  .one_minus_beta_2 = static_cast<float>(1 - spec.beta_2),
                  .epsilon = static_cast<float>(spec.epsilon),
                  .clip_value = static_cast<float>(spec.clip_value),
                  .state = reinterpret_cast<StepState*>(state),
                  .rates = rates.data()};
  if (spec.kind == OptimizerKind::adagrad) p.rho = p.one_minus_rho = 1;  // RMSprop that forgets nothing
  launch("strata_begin_step", dim3(1), 1, p);
  int filled = 0;
  std::int64_t blocks = 0;
  const auto flush = [&] {
    launch("strata_optimizer_step", dim3(static_cast<unsigned>(blocks)), OptimizerStep::threads, p);
    filled = 0, blocks = 0;
  };
  for (const OptimizerUpdate<float>& u : updates) {
    if (u.size == 0) continue;
    blocks += (u.size + OptimizerStep::block_size - 1) / OptimizerStep::block_size;
    p.updates[filled++] = {u.size,    u.value, u.gradient, {u.slots[0], u.slots[1], u.slots[2]},
                           u.squares, blocks};
    if (filled == OptimizerStep::most_updates) flush();
  }
  flush();
  publish_weights();
}

}}}  // namespace strata::STRATA_ABI::cuda
