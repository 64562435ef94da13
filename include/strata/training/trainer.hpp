#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <strata/training/history.hpp>
#include <strata/training/losses.hpp>
#include <strata/training/metrics.hpp>
#include <strata/training/model.hpp>
#include <strata/training/optimizers.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
struct BasicCompileOptions {
  Optimizer optimizer = RMSprop();
  BasicLosses<T> loss = {};
  LossWeights loss_weights = {};          ///< of each output; none: 1
  BasicMetrics<T> metrics = {};           ///< over samples that all count alike, as in Keras
  BasicMetrics<T> weighted_metrics = {};  ///< over samples by their weights
};
using CompileOptions = BasicCompileOptions<float>;

/// One batch on the model's device, as a training step takes it.
template <class T>
struct DeviceBatch {
  Tensor<T> x, y, sample_weight;
  /// Whose context fills the tensors and gets the steps, so that all is done in order; null: they are filled.
  std::shared_ptr<Session<T>> session = nullptr;
  /// Path of a node of the model's graph; what the nodes up to it make of x, which is then not looked at.
  /// Empty: nothing is given.
  std::vector<int> given_path = {};
  Tensor<T> given_result = {};
  std::vector<Tensor<T>> other_x = {}, other_y = {};  ///< of the inputs and outputs after the first

  /// A copy of a tensor for each input and output, or references to them.
  template <class Tensors>
  static DeviceBatch on(const DevicePtr& device, const Tensors& x, const Tensors& y,
                        const Tensor<T>& sample_weight = {}) {
    DeviceBatch out;
    out.sample_weight = sample_weight.to(device);
    const auto copy = [&](const Tensors& from, Tensor<T>& first, std::vector<Tensor<T>>& others) {
      for (std::size_t i = 0; i < from.size(); ++i) {
        const Tensor<T>& tensor = from[i];
        (i ? others.emplace_back() : first) = tensor.to(device);
      }
    };
    copy(x, out.x, out.other_x);
    copy(y, out.y, out.other_y);
    return out;
  }

  std::int64_t size() const { return given_path.empty() ? x.shape()[0] : given_result.shape()[0]; }
  /// As a run takes them.
  std::vector<TensorView<const T>> inputs() const {
    std::vector<TensorView<const T>> out{given_path.empty() ? x.view()
                                                            : TensorView<const T>(nullptr, Shape{size()})};
    out.insert(out.end(), other_x.begin(), other_x.end());
    return out;
  }
  const Tensor<T>& target(std::size_t output) const { return output ? other_y[output - 1] : y; }
  GivenResult<T> given() const { return {given_path, given_result}; }
};

namespace detail {
/// A loss that computes on the host gets host memory, whatever the device.
template <class T>
void compute_loss(Session<T>& session, const BasicLossImpl<T>& loss, const BasicLossArguments<T>& arguments);
}  // namespace detail

template <class T>
class Trainer;

/// What a step left on the device.
template <class T>
class StepResult {
 public:
  /// The batch's loss, penalties included, from before the update; waits for the step. Throws ConfigError
  /// after the trainer's next step.
  double loss() const;

 private:
  friend class Trainer<T>;
  StepResult(const Trainer<T>& trainer, std::int64_t step) : trainer_(&trainer), step_(step) {}
  const Trainer<T>* trainer_;
  std::int64_t step_;
};

/// Trains one compiled model: gradients, optimizer state, loss and metrics. Made by `compile`. What a step
/// computes stays on the device; a step asks the host for nothing and, but for the first, for no memory.
template <class T>
class Trainer final : public GradientSink<T> {
 public:
  /// For a model with outputs of these names; none: of one. Throws ConfigError without a loss, and for more
  /// or fewer losses, weights or metrics than outputs, or names of other outputs.
  explicit Trainer(BasicCompileOptions<T> options, std::vector<std::string> outputs = {});

  /// Forward, loss, backward, update.
  StepResult<T> train_step(ModelImpl<T>& model, const DeviceBatch<T>& batch);
  /// Forward and loss.
  StepResult<T> test_step(ModelImpl<T>& model, const DeviceBatch<T>& batch);

  /// The loss as `test_step` computes it, penalties included, with its gradients in host memory: for the
  /// inputs, where `dx` has room for them, and for every weight that trains. Changes no weight and counts as
  /// no update.
  std::vector<std::pair<ParameterPtr<T>, Tensor<T>>> gradients(ModelImpl<T>& model,
                                                               const DeviceBatch<T>& batch,
                                                               std::vector<TensorView<T>> dx = {});

  /// What a step takes beside the run of the model.
  detail::TrainingPlan training_plan(const ModelImpl<T>& model) const;

  void reset_metrics();
  /// Mean loss per sample and metrics since the last reset; waits for the steps.
  Logs logs(const std::string& prefix = "") const;
  /// What it has gathered since then, for a run that resumes inside an epoch. Throws ConfigError for a metric
  /// that gathers on the host and keeps no state.
  Json gathered() const;
  void load_gathered(ModelImpl<T>& model, const Json& from);
  /// The loss, of several each one's "NAME_loss", and the metrics.
  std::vector<Figure> figures() const;

  Optimizer& optimizer() { return optimizer_; }
  /// Of each output; null where it has none.
  const std::vector<BasicLoss<T>>& losses() const { return losses_; }
  const std::vector<double>& loss_weights() const { return loss_weights_; }
  /// The outputs whose losses take logits, as RunMode has them.
  std::uint64_t linear_outputs(const ModelImpl<T>& model) const;
  /// Updates done so far.
  std::int64_t iterations() const { return optimizer_.iterations(); }
  void set_iterations(std::int64_t iterations) { optimizer_.set_iterations(iterations); }
  /// State of the optimizer for a weight (see OptimizerUpdate); made, as zeros, where there is none.
  Tensor<T>& slot(const ParameterPtr<T>& parameter, int number);
  /// A slot as it is before the first step.
  Tensor<T> fresh_slot(const BasicParameter<T>& parameter) const;
  /// The same, or null for a weight that was never trained.
  const Tensor<T>* find_slot(const ParameterPtr<T>& parameter, int number) const;

  /// Where the first loss that was not finite showed: "layer 'dense'" or "the loss". Empty while all were
  /// finite, as far as is known: where the host does not see the device's memory, `find_non_finite` must be
  /// called.
  const std::string& first_non_finite() const { return first_non_finite_; }
  void find_non_finite(const ModelImpl<T>& model, const DeviceBatch<T>& batch);

  Gradient<T> gradient(const BasicParameter<T>& parameter) override;

 private:
  struct Trained {
    ParameterPtr<T> parameter;
    std::int64_t offset;  // of its gradient
    bool written;
  };
  struct TrackedMetric {
    BasicMetric<T> metric;
    std::size_t output;
    std::string name;
    bool weighted;
  };
  struct Slots {
    std::weak_ptr<BasicParameter<T>> owner;
    Tensor<T> values[3];
  };
  friend class StepResult<T>;

  void plan(ModelImpl<T>& model, bool training);
  /// Forward, loss and backward: the loss, its penalties, and the gradients of `trained_`.
  StepResult<T> differentiate(Session<T>& session, const ModelImpl<T>& model, const DeviceBatch<T>& batch,
                              bool training, std::vector<TensorView<T>> dx);
  std::vector<Scratch<T>> predictions(Session<T>& session, const ModelImpl<T>& model,
                                      const DeviceBatch<T>& batch) const;
  /// Leaves the losses in `step_losses` and adds to the metrics. `gradients`: of the predictions, or empty.
  void evaluate_loss(Session<T>& session, const ModelImpl<T>& model, const DeviceBatch<T>& batch,
                     const std::vector<Scratch<T>>& predictions, const std::vector<Scratch<T>>& gradients);
  void update_metrics(Session<T>& session, const DeviceBatch<T>& batch,
                      std::span<const TensorView<const T>> outputs);
  void count_step(Backend<T>& backend, std::int64_t samples);
  void add_penalties(Backend<T>& backend, const ModelImpl<T>& model, bool with_gradient);
  void update(Backend<T>& backend);
  void check(const ModelImpl<T>& model, const DeviceBatch<T>& batch) const;

  /// The outputs whose losses have a name of their own in the logs: of several, those that have one.
  bool names_loss(std::size_t k) const;

  // The scalars of steps, in device memory: the step's losses, their sums since the last reset, the sums of
  // metrics, the optimizer's state, the squared norms of gradients. Losses are the whole and, of several
  // outputs, those of each.
  std::int64_t loss_count() const { return losses_.size() > 1 ? 1 + std::ssize(losses_) : 1; }
  std::int64_t sums_end() const { return 2 * loss_count() + metric_count_; }
  double* step_losses() { return scalars_.data(); }
  double* total_losses() { return scalars_.data() + loss_count(); }
  double* metric_sums() { return scalars_.data() + 2 * loss_count(); }
  OptimizerState* optimizer_state() {
    return reinterpret_cast<OptimizerState*>(scalars_.data() + sums_end());
  }
  double* squares() { return scalars_.data() + sums_end() + 2; }
  void read_scalars(std::int64_t count, double* to) const;

  Optimizer optimizer_;
  std::vector<std::string> outputs_;    // their names, where there are several
  std::vector<BasicLoss<T>> losses_;    // by output
  std::vector<double> loss_weights_;    // by output
  std::vector<TrackedMetric> metrics_;  // the weighted ones last
  std::int64_t steps_ = 0;              // of either kind
  std::int64_t samples_ = 0;            // since the last reset
  std::string first_non_finite_;
  DevicePtr device_;
  std::int64_t metric_count_ = 0;  // of sums on the device
  Tensor<double> scalars_;
  OptimizerState known_state_{-1, -1};  // what the device has
  std::vector<Trained> trained_;        // sorted as the model lists its weights
  Tensor<T> gradients_;                 // all of them, one after the other
  std::vector<Slots> slots_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/trainer.ipp>
#endif
