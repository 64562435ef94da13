#pragma once

#include <string>

#include <strata/io/json.hpp>
#include <strata/tensor/backend.hpp>
#include <strata/training/schedules.hpp>

namespace strata { inline namespace STRATA_ABI {

/// How weights follow gradients: hyper-parameters, and the count of updates that a schedule goes by. The
/// state (moments) belongs to the model that was compiled with it.
class Optimizer {
 public:
  /// Limits on gradients, off at 0. At most one may be set.
  struct Clipping {
    double norm = 0;         ///< of each weight's gradient
    double value = 0;        ///< of each number
    double global_norm = 0;  ///< of all gradients together
  };

  Optimizer() = default;
  /// By Keras's name in any case, with its defaults: "adam". Throws ConfigError for a name there is not.
  Optimizer(const char* name);
  /// Throws ConfigError for values out of range.
  Optimizer(std::string name, LearningRate learning_rate, OptimizerSpec spec, Clipping clipping);

  const std::string& name() const { return name_; }
  const OptimizerSpec& spec() const { return spec_; }
  const Clipping& clipping() const { return clipping_; }
  /// Of the next update.
  double learning_rate() const { return rate_.at(iterations_); }
  /// Throws ConfigError where the learning rate follows a schedule, as Keras does.
  void set_learning_rate(double learning_rate);
  bool follows_schedule() const { return !rate_.is_constant(); }
  /// Throws ConfigError, which `who` opens, where the learning rate follows a schedule.
  void require_settable_rate(std::string_view who) const;
  /// Updates done so far.
  std::int64_t iterations() const { return iterations_; }
  void set_iterations(std::int64_t iterations) { iterations_ = iterations; }

  /// Which of a weight's three slots (see OptimizerUpdate) are in use.
  bool uses_slot(int slot) const;
  /// What all numbers of a weight's slot are before the first step.
  double initial_slot_value() const { return spec_.initial_accumulator_value; }
  /// Everything that `from_config` needs.
  Json config() const;
  /// Throws DataError for a config that is none.
  static Optimizer from_config(const Json& json);

 private:
  std::string name_ = "sgd";
  LearningRate rate_ = 0;
  std::int64_t iterations_ = 0;
  OptimizerSpec spec_;
  Clipping clipping_;
};

struct SGDOptions {
  LearningRate learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Gradient descent, with momentum where asked. Source: Sutskever et al., ICML 2013; Keras's SGD.
Optimizer SGD(const SGDOptions& options = {});

struct RMSpropOptions {
  LearningRate learning_rate = 0.001;
  double rho = 0.9, momentum = 0, epsilon = 1e-7;
  bool centered = false;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Divides the gradient by a running average of its size. Source: Tieleman and Hinton, 2012; Keras's RMSprop
/// (epsilon inside the square root).
Optimizer RMSprop(const RMSpropOptions& options = {});

struct AdamOptions {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Source: Kingma and Ba, ICLR 2015; Keras's Adam.
Optimizer Adam(const AdamOptions& options = {});

struct AdamWOptions {
  LearningRate learning_rate = 0.001;
  double weight_decay = 0.004, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false;
  double clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Adam with decoupled weight decay. Source: Loshchilov and Hutter, ICLR 2019; Keras's AdamW.
Optimizer AdamW(const AdamWOptions& options = {});

struct AdagradOptions {
  LearningRate learning_rate = 0.001;
  double initial_accumulator_value = 0.1, epsilon = 1e-7;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Divides the gradient by the root of the sum of its squares. Source: Duchi et al., JMLR 12, 2011; Keras's
/// Adagrad (epsilon inside the square root).
Optimizer Adagrad(const AdagradOptions& options = {});

struct NadamOptions {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Adam with Nesterov momentum. Source: Dozat, ICLR workshop 2016; Keras's Nadam.
Optimizer Nadam(const NadamOptions& options = {});

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/optimizers.ipp>
#endif
