#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include <strata/layers/layer.hpp>
#include <strata/training/schedules.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

STRATA_COLD STRATA_INLINE void require_at_least(const char* schedule, const char* option, double least,
                                                double value) {
  require<ConfigError>(value >= least && std::isfinite(value), "[", snake_case(schedule), "] expected ",
                       option, " of ", least, " or more, found ", value);
}

/// Half a cosine from 1 down to `alpha`.
inline double cosine(double fraction, double alpha, double height = 1) {
  return (1 - alpha) * (0.5 * height * (1 + std::cos(std::numbers::pi * fraction))) + alpha;
}

}  // namespace detail

STRATA_COLD STRATA_INLINE void ExponentialDecay::check() const {
  detail::require_at_least(type, "initial_learning_rate", 0, initial_learning_rate);
  detail::require_at_least(type, "decay_steps", 1, static_cast<double>(decay_steps));
  detail::require_at_least(type, "decay_rate", 0, decay_rate);
}
STRATA_COLD STRATA_INLINE double ExponentialDecay::at(double step) const {
  const double passed = step / static_cast<double>(decay_steps);
  return initial_learning_rate * std::pow(decay_rate, staircase ? std::floor(passed) : passed);
}

STRATA_COLD STRATA_INLINE void PiecewiseConstantDecay::check() const {
  require<ConfigError>(!boundaries.empty() && values.size() == boundaries.size() + 1, "[", snake_case(type),
                       "] expected boundaries and one value more, found ", boundaries.size(),
                       " boundaries and ", values.size(), " values");
  for (std::size_t i = 1; i < boundaries.size(); ++i)
    require<ConfigError>(boundaries[i - 1] < boundaries[i], "[", snake_case(type),
                         "] expected rising boundaries, found ", boundaries[i - 1], " before ",
                         boundaries[i]);
  for (const double value : values) detail::require_at_least(type, "values", 0, value);
}
STRATA_COLD STRATA_INLINE double PiecewiseConstantDecay::at(double step) const {
  std::size_t i = 0;
  while (i < boundaries.size() && step > static_cast<double>(boundaries[i])) ++i;
  return values[i];
}

STRATA_COLD STRATA_INLINE void PolynomialDecay::check() const {
  detail::require_at_least(type, "initial_learning_rate", 0, initial_learning_rate);
  detail::require_at_least(type, "decay_steps", 1, static_cast<double>(decay_steps));
  detail::require_at_least(type, "end_learning_rate", 0, end_learning_rate);
  detail::require_at_least(type, "power", 0, power);
}
STRATA_COLD STRATA_INLINE double PolynomialDecay::at(double step) const {
  auto steps = static_cast<double>(decay_steps);
  if (cycle)
    steps *= step == 0 ? 1 : std::ceil(step / steps);
  else
    step = std::min(step, steps);
  return (initial_learning_rate - end_learning_rate) * std::pow(1 - step / steps, power) + end_learning_rate;
}

STRATA_COLD STRATA_INLINE void InverseTimeDecay::check() const {
  detail::require_at_least(type, "initial_learning_rate", 0, initial_learning_rate);
  detail::require_at_least(type, "decay_steps", 1, static_cast<double>(decay_steps));
  detail::require_at_least(type, "decay_rate", 0, decay_rate);
}
STRATA_COLD STRATA_INLINE double InverseTimeDecay::at(double step) const {
  const double passed = step / static_cast<double>(decay_steps);
  return initial_learning_rate / (1 + decay_rate * (staircase ? std::floor(passed) : passed));
}

STRATA_COLD STRATA_INLINE void CosineDecay::check() const {
  detail::require_at_least(type, "initial_learning_rate", 0, initial_learning_rate);
  detail::require_at_least(type, "decay_steps", 1, static_cast<double>(decay_steps));
  detail::require_at_least(type, "alpha", 0, alpha);
  detail::require_at_least(type, "warmup_target", 0, warmup_target.value_or(0));
  detail::require_at_least(type, "warmup_steps", 0, static_cast<double>(warmup_steps));
}
STRATA_COLD STRATA_INLINE double CosineDecay::at(double step) const {
  const auto steps = static_cast<double>(decay_steps);
  const double warmup = warmup_target ? static_cast<double>(warmup_steps) : 0;
  const double start = warmup_target.value_or(initial_learning_rate);
  if (step < warmup) return (start - initial_learning_rate) * (step / warmup) + initial_learning_rate;
  return start * detail::cosine(std::min(step - warmup, steps) / steps, alpha);
}

STRATA_COLD STRATA_INLINE void CosineDecayRestarts::check() const {
  detail::require_at_least(type, "initial_learning_rate", 0, initial_learning_rate);
  detail::require_at_least(type, "first_decay_steps", 1, static_cast<double>(first_decay_steps));
  detail::require_at_least(type, "t_mul", 1, t_mul);
  detail::require_at_least(type, "m_mul", 0, m_mul);
  detail::require_at_least(type, "alpha", 0, alpha);
}
STRATA_COLD STRATA_INLINE double CosineDecayRestarts::at(double step) const {
  double fraction = step / static_cast<double>(first_decay_steps), restarts = std::floor(fraction);
  if (t_mul == 1) {
    fraction -= restarts;
  } else {  // the restarts so far are a geometric series
    restarts = std::floor(std::log(1 - fraction * (1 - t_mul)) / std::log(t_mul));
    const double length = std::pow(t_mul, restarts);
    fraction = (fraction - (1 - length) / (1 - t_mul)) / length;
  }
  return initial_learning_rate * detail::cosine(fraction, alpha, std::pow(m_mul, restarts));
}

class LearningRate::Schedule {
 public:
  virtual ~Schedule() = default;
  virtual double at(double step) const = 0;
  virtual Json config() const = 0;
};

template <class Decay>
class LearningRate::ScheduleOf final : public Schedule {
 public:
  explicit ScheduleOf(Decay decay) : decay_(std::move(decay)) {}
  double at(double step) const override { return decay_.at(step); }
  STRATA_COLD Json config() const override {
    ConfigWriter writer;
    Decay decay = decay_;
    decay.fields(writer);
    return Json::object({{"class_name", Decay::type}, {"config", writer.take()}});
  }

 private:
  Decay decay_;
};

template <class Decay>
STRATA_COLD std::shared_ptr<const LearningRate::Schedule> LearningRate::schedule(Decay decay) {
  decay.check();
  return std::make_shared<ScheduleOf<Decay>>(std::move(decay));
}

STRATA_COLD STRATA_INLINE double LearningRate::at(std::int64_t iterations) const {
  return schedule_ ? schedule_->at(static_cast<double>(iterations)) : constant_;
}

STRATA_COLD STRATA_INLINE Json LearningRate::config() const {
  return schedule_ ? schedule_->config() : Json(constant_);
}

STRATA_COLD STRATA_INLINE LearningRate LearningRate::from_config(const Json& json) try {
  if (!json.is_object()) return json.as<double>();
  const auto& class_name = json.at("class_name").as_string();
  std::optional<LearningRate> out;
  const auto read = [&](auto decay) {
    if (class_name != decay.type) return;
    ConfigReader reader(json.at("config"), concat("[", snake_case(class_name), "] "));
    decay.fields(reader);
    reader.finish();
    out = decay;
  };
#define STRATA_DECAYS(X)    \
  X(ExponentialDecay)       \
  X(PiecewiseConstantDecay) \
  X(PolynomialDecay)        \
  X(InverseTimeDecay)       \
  X(CosineDecay)            \
  X(CosineDecayRestarts)
#define STRATA_READ_DECAY(Decay) read(Decay());
  STRATA_DECAYS(STRATA_READ_DECAY)
#undef STRATA_READ_DECAY
  require<DataError>(out.has_value(), "[optimizer] '", class_name, "' is not a learning rate schedule");
  return *out;
} catch (const ConfigError& error) {
  throw DataError(error.what());
}

#if !STRATA_HEADER_ONLY
#define STRATA_INSTANCE(Decay) \
  template std::shared_ptr<const LearningRate::Schedule> LearningRate::schedule(Decay);
STRATA_DECAYS(STRATA_INSTANCE)
#undef STRATA_INSTANCE
#endif
#undef STRATA_DECAYS

}}  // namespace strata::STRATA_ABI
