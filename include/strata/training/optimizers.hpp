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
  Optimizer(std::string name, LearningRate learning_rate, OptimizerSpec spec, Clipping clipping)
      : name_(std::move(name)), rate_(std::move(learning_rate)), spec_(spec), clipping_(clipping) {
    require<ConfigError>(follows_schedule() || rate_.at(0) >= 0, "[", name_,
                         "] expected a learning_rate of 0 or more, found ", rate_.at(0));
    const auto fraction = [&](const char* option, double value) {
      require<ConfigError>(value >= 0 && value < 1, "[", name_, "] expected ", option, " in [0, 1), found ",
                           value);
    };
    fraction("momentum", spec.momentum);
    fraction("rho", spec.rho);
    fraction("beta_1", spec.beta_1);
    fraction("beta_2", spec.beta_2);
    require<ConfigError>((clipping.norm > 0) + (clipping.value > 0) + (clipping.global_norm > 0) <= 1, "[",
                         name_, "] only one of clipnorm, clipvalue and global_clipnorm can be set");
    spec_.clip_value = clipping.value;
    spec_.clip_norm = clipping.norm + clipping.global_norm;
  }

  const std::string& name() const { return name_; }
  const OptimizerSpec& spec() const { return spec_; }
  const Clipping& clipping() const { return clipping_; }
  /// Of the next update.
  double learning_rate() const { return rate_.at(iterations_); }
  /// Throws ConfigError where the learning rate follows a schedule, as Keras does.
  void set_learning_rate(double learning_rate) {
    require_settable_rate(name_);
    rate_ = learning_rate;
  }
  bool follows_schedule() const { return !rate_.is_constant(); }
  /// Throws ConfigError, which `who` opens, where the learning rate follows a schedule.
  void require_settable_rate(std::string_view who) const {
    require<ConfigError>(!follows_schedule(), "[", who, "] the learning rate of ", name_,
                         " follows a schedule and cannot be set: compile with a number as learning_rate");
  }
  /// Updates done so far.
  std::int64_t iterations() const { return iterations_; }
  void set_iterations(std::int64_t iterations) { iterations_ = iterations; }

  /// Which of a weight's three slots (see OptimizerUpdate) are in use.
  bool uses_slot(int slot) const {
    switch (spec_.kind) {
      case OptimizerKind::sgd:
        return slot == 0 && spec_.momentum != 0;
      case OptimizerKind::rmsprop:
        return slot == 0 || (slot == 1 && spec_.momentum != 0) || (slot == 2 && spec_.centered);
      case OptimizerKind::adam:
        return slot < 2 || spec_.amsgrad;
    }
    return false;
  }
  /// Everything that `from_config` needs.
  Json config() const {
    return Json::object({{"name", name_},
                         {"kind", static_cast<int>(spec_.kind)},
                         {"learning_rate", rate_.config()},
                         {"momentum", spec_.momentum},
                         {"nesterov", spec_.nesterov},
                         {"rho", spec_.rho},
                         {"centered", spec_.centered},
                         {"beta_1", spec_.beta_1},
                         {"beta_2", spec_.beta_2},
                         {"amsgrad", spec_.amsgrad},
                         {"epsilon", spec_.epsilon},
                         {"weight_decay", spec_.weight_decay},
                         {"clipnorm", clipping_.norm},
                         {"clipvalue", clipping_.value},
                         {"global_clipnorm", clipping_.global_norm}});
  }
  /// Throws DataError for a config that is none.
  static Optimizer from_config(const Json& json) try {
    const auto kind = json.get<int>("kind");
    require<DataError>(kind >= 0 && kind <= static_cast<int>(OptimizerKind::adam),
                       "[optimizer] unknown kind ", kind);
    return {
        json.get<std::string>("name"),
        LearningRate::from_config(json.at("learning_rate")),
        {.kind = static_cast<OptimizerKind>(kind),
         .momentum = json.get<double>("momentum"),
         .nesterov = json.get<bool>("nesterov"),
         .rho = json.get<double>("rho"),
         .centered = json.get<bool>("centered"),
         .beta_1 = json.get<double>("beta_1"),
         .beta_2 = json.get<double>("beta_2"),
         .amsgrad = json.get<bool>("amsgrad"),
         .epsilon = json.get<double>("epsilon"),
         .weight_decay = json.get<double>("weight_decay")},
        {json.get<double>("clipnorm"), json.get<double>("clipvalue"), json.get<double>("global_clipnorm")}};
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }

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
inline Optimizer SGD(const SGDOptions& o = {}) {
  return {"sgd",
          o.learning_rate,
          {.kind = OptimizerKind::sgd,
           .momentum = o.momentum,
           .nesterov = o.nesterov,
           .weight_decay = o.weight_decay},
          {o.clipnorm, o.clipvalue, o.global_clipnorm}};
}

struct RMSpropOptions {
  LearningRate learning_rate = 0.001;
  double rho = 0.9, momentum = 0, epsilon = 1e-7;
  bool centered = false;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Divides the gradient by a running average of its size. Source: Tieleman and Hinton, 2012; Keras's RMSprop
/// (epsilon inside the square root).
inline Optimizer RMSprop(const RMSpropOptions& o = {}) {
  return {"rmsprop",
          o.learning_rate,
          {.kind = OptimizerKind::rmsprop,
           .momentum = o.momentum,
           .rho = o.rho,
           .centered = o.centered,
           .epsilon = o.epsilon,
           .weight_decay = o.weight_decay},
          {o.clipnorm, o.clipvalue, o.global_clipnorm}};
}

struct AdamOptions {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false;
  double weight_decay = 0, clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Source: Kingma and Ba, ICLR 2015; Keras's Adam.
inline Optimizer Adam(const AdamOptions& o = {}) {
  return {"adam",
          o.learning_rate,
          {.kind = OptimizerKind::adam,
           .beta_1 = o.beta_1,
           .beta_2 = o.beta_2,
           .amsgrad = o.amsgrad,
           .epsilon = o.epsilon,
           .weight_decay = o.weight_decay},
          {o.clipnorm, o.clipvalue, o.global_clipnorm}};
}

struct AdamWOptions {
  LearningRate learning_rate = 0.001;
  double weight_decay = 0.004, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false;
  double clipnorm = 0, clipvalue = 0, global_clipnorm = 0;
};
/// Adam with decoupled weight decay. Source: Loshchilov and Hutter, ICLR 2019; Keras's AdamW.
inline Optimizer AdamW(const AdamWOptions& o = {}) {
  const Optimizer adam = Adam({.beta_1 = o.beta_1,
                               .beta_2 = o.beta_2,
                               .epsilon = o.epsilon,
                               .amsgrad = o.amsgrad,
                               .weight_decay = o.weight_decay,
                               .clipnorm = o.clipnorm,
                               .clipvalue = o.clipvalue,
                               .global_clipnorm = o.global_clipnorm});
  return {"adamw", o.learning_rate, adam.spec(), adam.clipping()};
}

inline Optimizer::Optimizer(const char* name) {
  std::string wanted = name;
  for (char& c : wanted)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  for (const Optimizer& optimizer : {SGD(), RMSprop(), Adam(), AdamW()})
    if (optimizer.name() == wanted) *this = optimizer;
  require<ConfigError>(name_ == wanted, "[optimizer] '", name,
                       "' is not an optimizer; there are sgd, rmsprop, adam, adamw");
}

}}  // namespace strata::STRATA_ABI
