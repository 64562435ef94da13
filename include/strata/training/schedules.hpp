#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <strata/layers/config.hpp>

namespace strata { inline namespace STRATA_ABI {

// Learning rates that follow the updates done: an optimizer takes them where it takes a number,
// `Adam({.learning_rate = ExponentialDecay({.initial_learning_rate = 0.1, ...})})`. Steps are updates,
// counted from 0. Names, defaults and formulas are Keras's.

/// initial_learning_rate * decay_rate ^ (step / decay_steps).
struct ExponentialDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;  ///< 1 or more
  double decay_rate = 0;
  bool staircase = false;  ///< only whole multiples of decay_steps count

  static constexpr const char* type = "ExponentialDecay";
  template <class Fields>
  void fields(Fields& f) {
    f("initial_learning_rate", initial_learning_rate);
    f("decay_steps", decay_steps);
    f("decay_rate", decay_rate);
    f("staircase", staircase);
  }
  void check() const;
  double at(double step) const;
};

/// values[i] up to and including step boundaries[i], the last value beyond.
struct PiecewiseConstantDecay {
  std::vector<std::int64_t> boundaries = {};  ///< rising, at least one
  std::vector<double> values = {};            ///< one more

  static constexpr const char* type = "PiecewiseConstantDecay";
  template <class Fields>
  void fields(Fields& f) {
    f("boundaries", boundaries);
    f("values", values);
  }
  void check() const;
  double at(double step) const;
};

/// (initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ^ power + end_learning_rate.
struct PolynomialDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;  ///< 1 or more
  double end_learning_rate = 0.0001;
  double power = 1;
  bool cycle = false;  ///< beyond decay_steps: as if decay_steps were its next multiple; otherwise the end

  static constexpr const char* type = "PolynomialDecay";
  template <class Fields>
  void fields(Fields& f) {
    f("initial_learning_rate", initial_learning_rate);
    f("decay_steps", decay_steps);
    f("end_learning_rate", end_learning_rate);
    f("power", power);
    f("cycle", cycle);
  }
  void check() const;
  double at(double step) const;
};

/// initial_learning_rate / (1 + decay_rate * step / decay_steps).
struct InverseTimeDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;  ///< 1 or more
  double decay_rate = 0;
  bool staircase = false;  ///< only whole multiples of decay_steps count

  static constexpr const char* type = "InverseTimeDecay";
  template <class Fields>
  void fields(Fields& f) {
    f("initial_learning_rate", initial_learning_rate);
    f("decay_steps", decay_steps);
    f("decay_rate", decay_rate);
    f("staircase", staircase);
  }
  void check() const;
  double at(double step) const;
};

/// Half a cosine from the initial rate down to alpha times it; with a warmup_target first a line from the
/// initial rate up to the target, then the cosine from there. Source: Loshchilov and Hutter, ICLR 2017.
struct CosineDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;  ///< of the cosine, 1 or more
  double alpha = 0;
  std::optional<double> warmup_target = {};
  std::int64_t warmup_steps = 0;  ///< has no effect without a warmup_target

  static constexpr const char* type = "CosineDecay";
  template <class Fields>
  void fields(Fields& f) {
    f("initial_learning_rate", initial_learning_rate);
    f("decay_steps", decay_steps);
    f("alpha", alpha);
    f("warmup_target", warmup_target);
    f("warmup_steps", warmup_steps);
  }
  void check() const;
  double at(double step) const;
};

/// Half cosines one after the other, each t_mul times as long as the one before it and m_mul times as high.
/// Source: Loshchilov and Hutter, ICLR 2017.
struct CosineDecayRestarts {
  double initial_learning_rate = 0;
  std::int64_t first_decay_steps = 0;  ///< 1 or more
  double t_mul = 2;                    ///< 1 or more
  double m_mul = 1;
  double alpha = 0;  ///< the lowest rate is this share of the initial one

  static constexpr const char* type = "CosineDecayRestarts";
  template <class Fields>
  void fields(Fields& f) {
    f("initial_learning_rate", initial_learning_rate);
    f("first_decay_steps", first_decay_steps);
    f("t_mul", t_mul);
    f("m_mul", m_mul);
    f("alpha", alpha);
  }
  void check() const;
  double at(double step) const;
};

/// A number, or one of the schedules above.
class LearningRate {
 public:
  template <class Number>
  requires std::is_arithmetic_v<Number> LearningRate(Number rate) : constant_(static_cast<double>(rate)) {}
  /// Throws ConfigError for options that make no schedule.
  template <class Decay>
  requires requires(const Decay& decay) { decay.check(); }
  LearningRate(Decay decay) : schedule_(schedule(std::move(decay))) {}

  bool is_constant() const { return schedule_ == nullptr; }
  /// The rate of the update that `iterations` others went before.
  double at(std::int64_t iterations) const;
  /// A number, or Keras's {"class_name": ..., "config": {...}}.
  Json config() const;
  /// Throws DataError for a config that is none.
  static LearningRate from_config(const Json& json);

 private:
  class Schedule;
  template <class Decay>
  class ScheduleOf;
  template <class Decay>
  static std::shared_ptr<const Schedule> schedule(Decay decay);

  double constant_ = 0;
  std::shared_ptr<const Schedule> schedule_;  ///< null: constant
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/schedules.ipp>
#endif
