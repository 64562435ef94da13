#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <strata/model/summary.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/check_gradients.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE double GradientCheck::largest() const {
  double out = 0;
  for (const TensorDifference& gradient : gradients) out = std::max(out, gradient.largest);
  return out;
}

STRATA_COLD STRATA_INLINE std::string GradientCheck::text() const {
  std::vector<std::vector<std::string>> rows{{"Gradient of", "Largest relative error"}};
  for (const TensorDifference& gradient : gradients) rows.push_back({gradient.name, gradient.text()});
  return detail::text_table(rows);
}

template <std::same_as<double> T>
STRATA_COLD GradientCheck check_gradients(const BasicModel<T>& original, const std::vector<Tensor<T>>& x,
                                          const std::vector<Tensor<T>>& y,
                                          const GradientCheckOptions& options) {
  require<ConfigError>(options.step > 0 && options.elements > 0,
                       "[check_gradients] expected a step and elements above 0, found ", options.step,
                       " and ", options.elements);
  BasicModel<T> model = original.clone();
  model.compile({.loss = original.trainer().losses(), .loss_weights = original.trainer().loss_weights()});
  (void)model.test_on_batch(x, y);  // refuses what does not fit
  const DevicePtr& device = model.device();
  Trainer<T>& trainer = model.trainer();
  auto batch = DeviceBatch<T>::on(device, x, y);
  std::vector<Tensor<T>> dx;
  for (const Tensor<T>& input : x) dx.push_back(Tensor<T>::uninitialized(input.shape(), device));
  const auto gradients = trainer.gradients(model.model(), batch, {dx.begin(), dx.end()});

  GradientCheck out;
  // `assign` gives the model other values of the tensor.
  const auto check = [&](std::string name, const Tensor<T>& values, const Tensor<T>& gradient, auto assign) {
    TensorDifference found{std::move(name)};
    double scale = 1e-5;
    for (const T g : gradient.values()) scale = std::max(scale, std::fabs(g));
    Tensor<T> moved = values;
    const std::int64_t size = values.size(), count = std::min(size, options.elements);
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t i = n * size / count;
      const auto loss_at = [&](double value) {
        moved.data()[i] = value;
        assign(moved);
        return trainer.test_step(model.model(), batch).loss();
      };
      const double value = values.data()[i];
      const double slope =
          (loss_at(value + options.step) - loss_at(value - options.step)) / (2 * options.step);
      const double error = std::fabs(gradient.data()[i] - slope) / scale;
      if (!(error <= found.largest)) found.largest = error, found.index = i;  // NaN is an error
      if (std::isnan(found.largest)) found.largest = std::numeric_limits<double>::infinity();
      moved.data()[i] = value;
    }
    assign(values);
    out.gradients.push_back(std::move(found));
  };
  const auto input_names = model.model().graph().input_names();
  for (std::size_t i = 0; i < x.size(); ++i)
    check(x.size() == 1 ? "x" : input_names[i], x[i].to(nullptr), dx[i].to(nullptr),
          [&](const Tensor<T>& values) { (i ? batch.other_x[i - 1] : batch.x) = values.to(device); });
  const auto names = named_weights(model);
  for (const auto& entry : gradients) {
    const ParameterPtr<T>& weight = entry.first;
    const auto named =
        std::find_if(names.begin(), names.end(), [&](const auto& name) { return name.second == weight; });
    check(named->first, weight->value().to(nullptr), entry.second,
          [&](const Tensor<T>& values) { weight->mutate() = values.to(device); });
  }
  return out;
}

template <std::same_as<double> T>
STRATA_COLD GradientCheck check_gradients(const BasicModel<T>& model, const Tensor<T>& x, const Tensor<T>& y,
                                          const GradientCheckOptions& options) {
  return check_gradients(model, std::vector<Tensor<T>>{x}, std::vector<Tensor<T>>{y}, options);
}

#if !STRATA_HEADER_ONLY
template GradientCheck check_gradients(const BasicModel<double>&, const std::vector<Tensor<double>>&,
                                       const std::vector<Tensor<double>>&, const GradientCheckOptions&);
template GradientCheck check_gradients(const BasicModel<double>&, const Tensor<double>&,
                                       const Tensor<double>&, const GradientCheckOptions&);
#endif

}}  // namespace strata::STRATA_ABI
