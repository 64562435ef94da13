#pragma once

#include <memory>
#include <vector>

#include <strata/data/dataset.hpp>
#include <strata/model/model.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
class Trainer;
template <class T>
struct BasicCompileOptions;
template <class T>
struct BasicFitOptions;
template <class T>
struct BasicEvaluateOptions;
class History;
class Logs;
class Optimizer;

/// A network that can be trained, evaluated, used and saved; and a layer of larger ones. A shared handle:
/// copies are the same model.
template <class T>
class BasicModel : public BasicNetwork<T> {
 public:
  using BasicNetwork<T>::BasicNetwork;
  BasicModel() = default;
  BasicModel(const BasicNetwork<T>& network) : BasicNetwork<T>(network) {}

  BasicModel clone() const { return BasicNetwork<T>::clone(); }
  BasicModel& to(const DevicePtr& device) {
    BasicNetwork<T>::to(device);
    return *this;
  }

  using BasicNetwork<T>::predict;
  /// Results for one pass over a dataset, in its order. Throws ConfigError for a model of several outputs.
  Tensor<T> predict(const Dataset& data) const;
  /// The same, one tensor per output.
  std::vector<Tensor<T>> predict_all(const Dataset& data) const;

  /// As of any network, with the optimizer's memory where the model is compiled.
  ModelPlan plan(const PlanOptions& options = {}) const;

  // For what these take and give include strata/training/fit.hpp.
  void compile(BasicCompileOptions<T> options);
  History fit(const Dataset& data, BasicFitOptions<T> options);
  History fit(const Tensor<T>& x, const Tensor<T>& y, BasicFitOptions<T> options);
  /// Here and below: a tensor for each input and for each output, in order.
  History fit(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y, BasicFitOptions<T> options);
  Logs evaluate(const Dataset& data, BasicEvaluateOptions<T> options);
  Logs evaluate(const Dataset& data);
  Logs evaluate(const Tensor<T>& x, const Tensor<T>& y, BasicEvaluateOptions<T> options);
  Logs evaluate(const Tensor<T>& x, const Tensor<T>& y);
  Logs evaluate(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y,
                BasicEvaluateOptions<T> options);
  Logs evaluate(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y);
  /// One step on one batch; returns loss and metrics of that batch before the update.
  Logs train_on_batch(const Tensor<T>& x, const Tensor<T>& y, const Tensor<T>& sample_weight = {});
  Logs train_on_batch(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y,
                      const Tensor<T>& sample_weight = {});
  Logs test_on_batch(const Tensor<T>& x, const Tensor<T>& y, const Tensor<T>& sample_weight = {});
  Logs test_on_batch(const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& y,
                     const Tensor<T>& sample_weight = {});

  bool compiled() const { return this->model().training_state != nullptr; }
  /// Throws ConfigError for a model that is not compiled, as `optimizer` does.
  Trainer<T>& trainer() const;
  /// The one it was compiled with.
  Optimizer& optimizer() const;
};
using Model = BasicModel<float>;

/// A stack of layers: `Sequential model{base, Flatten(), Dense({.units = 1})}`.
template <class T>
class BasicSequential : public BasicModel<T> {
 public:
  BasicSequential(std::initializer_list<BasicLayer<T>> layers, SequentialOptions options = {})
      : BasicSequential(std::vector<BasicLayer<T>>(layers), std::move(options)) {}
  explicit BasicSequential(const std::vector<BasicLayer<T>>& layers, SequentialOptions options = {});
  explicit BasicSequential(SequentialOptions options = {})
      : BasicSequential(std::vector<BasicLayer<T>>{}, std::move(options)) {}

  /// Appends a layer. Not after the model was built.
  BasicSequential& add(const BasicLayer<T>& layer);
};
using Sequential = BasicSequential<float>;

}}  // namespace strata::STRATA_ABI
