#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include <strata/cpu/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

inline const ConvolutionPlan* plan_by(const std::vector<ConvolutionPlan>& plans, const std::string& way) {
  const auto found =
      std::find_if(plans.begin(), plans.end(), [&](const auto& plan) { return plan.way() == way; });
  return found == plans.end() ? nullptr : &*found;
}

STRATA_COLD STRATA_INLINE ConvolutionPlan CpuBackend::known_plan(const ConvolutionTask& task) const {
  if (choices_ && choices_->active())
    if (const auto way = choices_->find(choice_key(task, limits_)))
      if (const auto plans = convolution_plans(task, kernels_, limits_);
          const auto* plan = plan_by(plans, *way))
        return *plan;
  return plan_convolution(task, kernels_, limits_);
}

STRATA_COLD STRATA_INLINE ConvolutionPlan CpuBackend::chosen_plan(const ConvolutionTask& task) {
  if (!choices_ || !choices_->active()) return plan_convolution(task, kernels_, limits_);
  if (const auto version = choices_->version(); std::exchange(choices_version_, version) != version)
    chosen_plans_.clear();
  for (const auto& [known, plan] : chosen_plans_)
    if (known == task) return plan;
  choices_->get(choice_key(task, limits_), [&] { return fastest_plan(task).way(); });
  return chosen_plans_.emplace_back(task, known_plan(task)).second;
}

// On numbers of its own, as an epilogue may add to what y holds. Plans take turns: other work of the machine
// meets all alike, and a large weight has left the caches by its next turn, as in a network.
STRATA_COLD STRATA_INLINE ConvolutionPlan CpuBackend::fastest_plan(const ConvolutionTask& task) {
  const ConvolutionPlan expected = plan_convolution(task, kernels_, limits_);
  const std::vector<ConvolutionPlan> plans = convolution_plans(task, kernels_, limits_);
  if (plans.size() == 1) return expected;
  const Conv2DGeometry& g = task.geometry;
  const auto numbers = [](std::int64_t count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i % 13) / 13 - 0.5f;
    return out;
  };
  std::vector<float> x = numbers(g.batch * g.in_h * g.in_w * g.in_c),
                     kernel = numbers(g.kernel_h * g.kernel_w * g.in_c * g.out_c),
                     y = numbers(g.batch * g.out_h * g.out_w * g.out_c);
  PackedWeights packed;
  const auto run = [&](const ConvolutionPlan& plan) {
    const auto start = std::chrono::steady_clock::now();
    if (task.pass == ConvolutionPass::forward)
      conv2d_by(plan, g, x.data(), {kernel.data(), 1, &packed}, {.max_pool_2x2 = task.max_pool}, y.data());
    else if (task.pass == ConvolutionPass::input_gradient)
      backward_input_by(plan, g, y.data(), {kernel.data(), 1, &packed}, {x.data()});
    else
      backward_kernel_by(plan, g, x.data(), y.data(), {kernel.data()});
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  constexpr double hopeless = 1.3, worth_it = 0.95, enough_seconds = 0.02;
  constexpr int least_turns = 5, most_turns = 30;
  std::vector<double> seconds;
  for (const ConvolutionPlan& plan : plans) run(plan);  // packs weights and makes the workspace
  for (const ConvolutionPlan& plan : plans) seconds.push_back(run(plan));
  double spent = 0;
  for (int turn = 0; turn < least_turns || (turn < most_turns && spent < enough_seconds); ++turn) {
    const double least = *std::min_element(seconds.begin(), seconds.end());
    spent += least;
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (seconds[i] <= hopeless * least) seconds[i] = std::min(seconds[i], run(plans[i]));
  }
  const auto best = std::min_element(seconds.begin(), seconds.end()) - seconds.begin();
  const auto* const predicted = plan_by(plans, expected.way());
  const bool better =
      !predicted || seconds[static_cast<std::size_t>(best)] <
                        worth_it * seconds[static_cast<std::size_t>(predicted - plans.data())];
  return better ? plans[static_cast<std::size_t>(best)] : expected;
}

}}}  // namespace strata::STRATA_ABI::cpu
