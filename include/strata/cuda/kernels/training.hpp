#pragma once

#include <cstdint>

#include <strata/core/config.hpp>
#include <strata/cuda/kernels/sums.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// LossKind and OptimizerKind for kernels; training.ipp checks that they agree.
namespace loss_kind {
inline constexpr int binary_crossentropy = 0, categorical_crossentropy = 1,
                     sparse_categorical_crossentropy = 2, mean_squared_error = 3, mean_absolute_error = 4,
                     huber = 5;
}
namespace optimizer_kind {
inline constexpr int sgd = 0, rmsprop = 1, adam = 2, adagrad = 3, nadam = 4;
}

struct Loss {
  int kind = 0;  ///< see loss_kind
  bool from_logits = false;
  int lanes = 32;                              ///< threads per row, a power of two
  double target_scale = 1, target_offset = 0;  ///< label smoothing
  double delta = 1;                            ///< of huber
  double gradient_scale = 1;
  std::int64_t rows = 0, classes = 0;
  const float *prediction = nullptr, *target = nullptr;
  const float* sample_weight = nullptr;  ///< or null
  float* losses = nullptr;
  float* gradient = nullptr;  ///< or null
};

struct Penalty {
  std::int64_t count = 0;
  double l1 = 0, l2 = 0;
  const float* w = nullptr;
  float* gradient = nullptr;  ///< or null
  SumTarget target = {};
};

/// OptimizerState.
struct StepState {
  double learning_rate, iteration;
};
/// OptimizerUpdate, and the first of the blocks that follow its own.
struct WeightUpdate {
  std::int64_t size;
  float* value;
  const float* gradient;
  float* slots[3];
  const double* squares;
  std::int64_t end_block;
};
/// What a step has for all weights alike, found on the device from the state.
struct StepRates {
  float rate;                    ///< for adam and nadam corrected for the bias of the moments
  float gradient_rate, epsilon;  ///< nadam's of the gradient itself; epsilon as corrected
  float keep;                    ///< what decay leaves of a weight
};

/// One launch's part of an optimizer step.
struct OptimizerStep {
  static constexpr int most_updates = 48, threads = 256;
  static constexpr std::int64_t block_size = 4096;  ///< elements

  int kind = 0;  ///< see optimizer_kind
  bool nesterov = false, centered = false, amsgrad = false;
  double beta_1 = 0, beta_2 = 0, weight_decay = 0, clip_norm = 0;
  float momentum = 0, rho = 0, one_minus_rho = 0, one_minus_beta_1 = 0, one_minus_beta_2 = 0, epsilon = 0;
  float clip_value = 0;
  StepState* state = nullptr;
  StepRates* rates = nullptr;
  WeightUpdate updates[most_updates] = {};
};

}}}  // namespace strata::STRATA_ABI::cuda
