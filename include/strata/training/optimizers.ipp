#pragma once

#include <strata/training/optimizers.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Optimizer::Optimizer(std::string name, LearningRate learning_rate,
                                               OptimizerSpec spec, Clipping clipping)
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
  require<ConfigError>(spec.initial_accumulator_value >= 0, "[", name_,
                       "] expected an initial_accumulator_value of 0 or more, found ",
                       spec.initial_accumulator_value);
  require<ConfigError>((clipping.norm > 0) + (clipping.value > 0) + (clipping.global_norm > 0) <= 1, "[",
                       name_, "] only one of clipnorm, clipvalue and global_clipnorm can be set");
  spec_.clip_value = clipping.value;
  spec_.clip_norm = clipping.norm + clipping.global_norm;
}

STRATA_COLD STRATA_INLINE void Optimizer::set_learning_rate(double learning_rate) {
  require_settable_rate(name_);
  rate_ = learning_rate;
}
STRATA_COLD STRATA_INLINE void Optimizer::require_settable_rate(std::string_view who) const {
  require<ConfigError>(!follows_schedule(), "[", who, "] the learning rate of ", name_,
                       " follows a schedule and cannot be set: compile with a number as learning_rate");
}

STRATA_INLINE bool Optimizer::uses_slot(int slot) const {
  switch (spec_.kind) {
    case OptimizerKind::sgd:
      return slot == 0 && spec_.momentum != 0;
    case OptimizerKind::rmsprop:
      return slot == 0 || (slot == 1 && spec_.momentum != 0) || (slot == 2 && spec_.centered);
    case OptimizerKind::adam:
      return slot < 2 || spec_.amsgrad;
    case OptimizerKind::adagrad:
      return slot == 0;
    case OptimizerKind::nadam:
      return slot < 2;
  }
  return false;
}

STRATA_COLD STRATA_INLINE Json Optimizer::config() const {
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
                       {"initial_accumulator_value", spec_.initial_accumulator_value},
                       {"weight_decay", spec_.weight_decay},
                       {"clipnorm", clipping_.norm},
                       {"clipvalue", clipping_.value},
                       {"global_clipnorm", clipping_.global_norm}});
}

STRATA_COLD STRATA_INLINE Optimizer Optimizer::from_config(const Json& json) try {
  const auto kind = json.get<int>("kind");
  require<DataError>(kind >= 0 && kind <= static_cast<int>(OptimizerKind::nadam), "[optimizer] unknown kind ",
                     kind);
  return {json.get<std::string>("name"),
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
           .initial_accumulator_value = json.get("initial_accumulator_value", 0.0),  // older files have none
           .weight_decay = json.get<double>("weight_decay")},
          {json.get<double>("clipnorm"), json.get<double>("clipvalue"), json.get<double>("global_clipnorm")}};
} catch (const ConfigError& error) {
  throw DataError(error.what());
}

STRATA_COLD STRATA_INLINE Optimizer SGD(const SGDOptions& o) {
  return {"sgd",
          o.learning_rate,
          {.kind = OptimizerKind::sgd,
           .momentum = o.momentum,
           .nesterov = o.nesterov,
           .weight_decay = o.weight_decay},
          {o.clipnorm, o.clipvalue, o.global_clipnorm}};
}

STRATA_COLD STRATA_INLINE Optimizer RMSprop(const RMSpropOptions& o) {
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

STRATA_COLD STRATA_INLINE Optimizer Adam(const AdamOptions& o) {
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

STRATA_COLD STRATA_INLINE Optimizer AdamW(const AdamWOptions& o) {
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

STRATA_COLD STRATA_INLINE Optimizer Adagrad(const AdagradOptions& o) {
  return {"adagrad",
          o.learning_rate,
          {.kind = OptimizerKind::adagrad,
           .epsilon = o.epsilon,
           .initial_accumulator_value = o.initial_accumulator_value,
           .weight_decay = o.weight_decay},
          {o.clipnorm, o.clipvalue, o.global_clipnorm}};
}

STRATA_COLD STRATA_INLINE Optimizer Nadam(const NadamOptions& o) {
  return {"nadam",
          o.learning_rate,
          {.kind = OptimizerKind::nadam,
           .beta_1 = o.beta_1,
           .beta_2 = o.beta_2,
           .epsilon = o.epsilon,
           .weight_decay = o.weight_decay},
          {o.clipnorm, o.clipvalue, o.global_clipnorm}};
}

STRATA_COLD STRATA_INLINE Optimizer::Optimizer(const char* name) {
  std::string wanted = name;
  for (char& c : wanted)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  for (const Optimizer& optimizer : {SGD(), RMSprop(), Adam(), AdamW(), Adagrad(), Nadam()})
    if (optimizer.name() == wanted) *this = optimizer;
  require<ConfigError>(name_ == wanted, "[optimizer] '", name,
                       "' is not an optimizer; there are sgd, rmsprop, adam, adamw, adagrad, nadam");
}

}}  // namespace strata::STRATA_ABI
