#pragma once

#include <strata/training/losses.hpp>
#include <strata/training/optimizers.hpp>

#include "support/golden.hpp"

namespace strata_test {

/// The loss that `{"class_name": "BinaryCrossentropy", "config": {...}}` describes.
template <class T>
strata::BasicLoss<T> loss_from(const strata::Json& json) {
  using namespace strata;
  const auto& class_name = json.at("class_name").as_string();
  const Json& config = json.at("config");
  const bool from_logits = config.get("from_logits", false);
  const CrossentropyOptions options{from_logits, config.get("label_smoothing", 0.0)};
  if (class_name == "BinaryCrossentropy") return BasicBinaryCrossentropy<T>(options);
  if (class_name == "CategoricalCrossentropy") return BasicCategoricalCrossentropy<T>(options);
  if (class_name == "SparseCategoricalCrossentropy")
    return BasicSparseCategoricalCrossentropy<T>({.from_logits = from_logits});
  if (class_name == "MeanAbsoluteError") return BasicMeanAbsoluteError<T>();
  if (class_name == "Huber") return BasicHuber<T>({.delta = config.get("delta", HuberOptions().delta)});
  REQUIRE(class_name == "MeanSquaredError");
  return BasicMeanSquaredError<T>();
}

/// The optimizer that such a description means; what the config leaves out has Strata's default, which is to
/// be Keras's.
inline strata::Optimizer optimizer_from(const strata::Json& json) {
  using namespace strata;
  const auto& class_name = json.at("class_name").as_string();
  const Json& config = json.at("config");
  std::size_t known = 0;
  const auto take = [&](const char* key, auto& value) {
    known += config.contains(key);
    value = config.get(key, value);
  };
  const auto common = [&](auto& o) {
    if (const Json* rate = config.find("learning_rate"))
      ++known, o.learning_rate = LearningRate::from_config(*rate);
    take("weight_decay", o.weight_decay);
    take("clipnorm", o.clipnorm);
    take("clipvalue", o.clipvalue);
    take("global_clipnorm", o.global_clipnorm);
  };
  const auto adam = [&](auto o) {
    common(o);
    take("beta_1", o.beta_1);
    take("beta_2", o.beta_2);
    take("epsilon", o.epsilon);
    take("amsgrad", o.amsgrad);
    return o;
  };
  Optimizer out;
  if (class_name == "SGD") {
    SGDOptions o;
    common(o);
    take("momentum", o.momentum);
    take("nesterov", o.nesterov);
    out = SGD(o);
  } else if (class_name == "RMSprop") {
    RMSpropOptions o;
    common(o);
    take("rho", o.rho);
    take("momentum", o.momentum);
    take("epsilon", o.epsilon);
    take("centered", o.centered);
    out = RMSprop(o);
  } else if (class_name == "Adam") {
    out = Adam(adam(AdamOptions()));
  } else if (class_name == "AdamW") {
    out = AdamW(adam(AdamWOptions()));
  } else if (class_name == "Adagrad") {
    AdagradOptions o;
    common(o);
    take("initial_accumulator_value", o.initial_accumulator_value);
    take("epsilon", o.epsilon);
    out = Adagrad(o);
  } else {
    REQUIRE(class_name == "Nadam");
    NadamOptions o;
    common(o);
    take("beta_1", o.beta_1);
    take("beta_2", o.beta_2);
    take("epsilon", o.epsilon);
    out = Nadam(o);
  }
  REQUIRE(known == config.size());
  return out;
}

}  // namespace strata_test
