#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <strata/model/model.hpp>
#include <strata/training/history.hpp>
#include <strata/training/losses.hpp>
#include <strata/training/metrics.hpp>
#include <strata/training/optimizers.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
struct BasicCompileOptions {
  Optimizer optimizer = RMSprop();
  BasicLoss<T> loss = {};
  std::vector<BasicMetric<T>> metrics = {};
};
using CompileOptions = BasicCompileOptions<float>;

/// One batch on the model's device, as a training step takes it.
template <class T>
struct DeviceBatch {
  Tensor<T> x, y, sample_weight;
  std::int64_t size() const { return x.shape()[0]; }
};

/// Trains one compiled model: gradients, optimizer state, loss and metrics. Made by `compile`.
template <class T>
class Trainer final : public GradientSink<T> {
 public:
  /// Throws ConfigError without a loss.
  explicit Trainer(BasicCompileOptions<T> options);

  /// Forward, loss, backward, update. Returns the batch's loss, penalties included, from before the update.
  double train_step(ModelImpl<T>& model, const DeviceBatch<T>& batch);
  /// Forward and loss.
  double test_step(ModelImpl<T>& model, const DeviceBatch<T>& batch);

  void reset_metrics();
  /// Metrics gathered since the last reset.
  void add_metrics_to(Logs& logs, const std::string& prefix = "") const;
  /// The loss and the metrics.
  std::vector<Figure> figures() const;

  Optimizer& optimizer() { return options_.optimizer; }
  const BasicLoss<T>& loss() const { return options_.loss; }
  /// Updates done so far.
  std::int64_t iterations() const { return iterations_; }
  void set_iterations(std::int64_t iterations) { iterations_ = iterations; }
  /// State of the optimizer for a weight (see OptimizerUpdate); made, as zeros, where there is none.
  Tensor<T>& slot(const ParameterPtr<T>& parameter, int number);
  /// The same, or null for a weight that was never trained.
  const Tensor<T>* find_slot(const ParameterPtr<T>& parameter, int number) const;

  /// Where the first loss that was not finite showed: "layer 'dense'" or "the loss". Empty while all were
  /// finite.
  const std::string& first_non_finite() const { return first_non_finite_; }

  Gradient<T> gradient(const BasicParameter<T>& parameter) override;

 private:
  struct Trained {
    ParameterPtr<T> parameter;
    std::int64_t offset;  // of its gradient
    bool written;
  };
  struct Slots {
    std::weak_ptr<BasicParameter<T>> owner;
    Tensor<T> values[3];
  };
  void plan(ModelImpl<T>& model);
  double evaluate_loss(ModelImpl<T>& model, const DeviceBatch<T>& batch, const Tensor<T>& prediction,
                       bool logits, Tensor<T>* gradient);
  double penalties(ModelImpl<T>& model, bool with_gradient);
  void update(Backend<T>& backend);
  void check(const ModelImpl<T>& model, const DeviceBatch<T>& batch) const;
  std::string find_non_finite(const ModelImpl<T>& model, const DeviceBatch<T>& batch) const;

  BasicCompileOptions<T> options_;
  std::int64_t iterations_ = 0;
  std::string first_non_finite_;
  DevicePtr device_;
  std::vector<Trained> trained_;  // sorted as the model lists its weights
  Tensor<T> gradients_;           // all of them, one after the other
  std::vector<Slots> slots_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/trainer.ipp>
#endif
