#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include <strata/model/compare_devices.hpp>
#include <strata/model/summary.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

template <class T>
STRATA_COLD TensorDifference difference(std::string name, const Tensor<T>& a, const Tensor<T>& b) {
  TensorDifference out{std::move(name)};
  double scale = 0;
  for (const T value : b.values())
    if (std::isfinite(value)) scale = std::max(scale, std::fabs(double(value)));
  for (std::int64_t i = 0; i < b.size(); ++i) {
    const double of_a = double(a.data()[i]), of_b = double(b.data()[i]);
    if (of_a == of_b || (std::isnan(of_a) && std::isnan(of_b))) continue;
    double apart = std::fabs(of_a - of_b) / scale;  // infinite where b is all zeros
    if (std::isnan(apart)) apart = std::numeric_limits<double>::infinity();
    if (apart > out.largest) out.largest = apart, out.index = i;
  }
  return out;
}

/// A run forward and backward that keeps on the host what every layer computes, and, after a first run, goes
/// on with what that one computed.
template <class T>
class RecordedRun final : public RunObserver<T>, public GradientSink<T> {
 public:
  struct Call {
    std::string path, class_name;
    Tensor<T> y;
    std::vector<Tensor<T>> dx;             // empty where it was not wanted
    std::vector<ParameterPtr<T>> weights;  // that no earlier call has
  };

  RecordedRun(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x,
              const RecordedRun* first = nullptr)
      : model_(model), session_(model.model().session()), first_(first) {
    run(x);
  }
  const std::vector<Call>& calls() const { return calls_; }
  Tensor<T> gradient_of(const ParameterPtr<T>& weight) const {
    return gradients_.at(weight.get()).to(nullptr);
  }

 private:
  STRATA_COLD void run(const std::vector<Tensor<T>>& x) {
    const DevicePtr& device = model_.device();
    std::vector<Tensor<T>> inputs, input_gradients;
    for (const Tensor<T>& input : x) {
      inputs.push_back(input.to(device));
      input_gradients.push_back(Tensor<T>::uninitialized(input.shape(), device));
    }
    const std::vector<TensorView<const T>> in(inputs.begin(), inputs.end());
    const std::vector<TensorView<T>> dx(input_gradients.begin(), input_gradients.end());
    Tensor<T> y = Tensor<T>::uninitialized(model_.output_shape().with_batch(x[0].shape()[0]), device);
    Tensor<T> dy(y.shape());
    const RandomStream random(0, Purpose::user, hash_name("compare_devices"));
    for (std::int64_t i = 0; i < dy.size(); ++i)
      dy.data()[i] = T(2 * random.uniform_double(static_cast<std::uint64_t>(i)) - 1);

    // Where the gradient of every input is wanted, no layer is left out.
    auto& context = session_->begin(
        {.gradients = this, .input_gradient = true, .seed = model_.model().seed(), .observer = this});
    const Graph<T>& graph = model_.model().graph();
    const TensorView<T> out = y;
    graph.forward(in, {&out, 1}, context);
    Tensor<T> gradient = dy.to(device);
    graph.backward_from_outputs({&gradient, 1}, dx, context);
  }

  STRATA_COLD void after_forward(const std::string& path, const BasicLayerImpl<T>& layer,
                                 TensorView<T> y) override {
    if (is_model(layer)) return;  // its layers were seen
    Call call{path, layer.class_name(), session_->download(y), {}, {}};
    for (const auto& weight : layer.weights())
      if (weight->trainable() &&
          gradients_.try_emplace(weight.get(), weight->shape(), weight->value().device()).second)
        call.weights.push_back(weight);
    if (first_) upload(y, first_->calls_.at(calls_.size()).y);
    numbers_[path] = calls_.size();
    calls_.push_back(std::move(call));
  }
  STRATA_COLD void after_backward(const std::string& path, const BasicLayerImpl<T>& layer,
                                  std::span<const TensorView<T>> dx) override {
    if (is_model(layer)) return;
    const std::size_t number = numbers_.at(path);
    for (std::size_t i = 0; i < dx.size(); ++i) {
      calls_[number].dx.push_back(dx[i] ? session_->download(dx[i]) : Tensor<T>());
      if (first_ && dx[i]) upload(dx[i], first_->calls_.at(number).dx.at(i));
    }
  }
  // Frozen weights too.
  Gradient<T> gradient(const BasicParameter<T>& parameter) override {
    const auto found = gradients_.find(&parameter);
    return found == gradients_.end() ? Gradient<T>{} : Gradient<T>{found->second.data(), true};
  }

  static bool is_model(const BasicLayerImpl<T>& layer) {
    return dynamic_cast<const ModelImpl<T>*>(&layer) != nullptr;
  }
  void upload(TensorView<T> to, const Tensor<T>& from) {
    session_->backend().upload(to.data(), from.data(), from.bytes());
  }

  const BasicNetwork<T>& model_;
  std::shared_ptr<Session<T>> session_;
  const RecordedRun* first_;
  std::vector<Call> calls_;
  std::map<std::string, std::size_t> numbers_;  // of the calls, by path
  std::map<const void*, Tensor<T>> gradients_;  // of the weights; zero at first, all calls add to them
};

}  // namespace detail

STRATA_COLD STRATA_INLINE std::string TensorDifference::text() const {
  if (largest == 0) return "0";
  char number[32];
  std::snprintf(number, sizeof number, "%.1e", largest);
  return concat(number, " at ", index);
}

STRATA_COLD STRATA_INLINE double LayerDifference::largest() const {
  double out = output.largest;
  for (const TensorDifference& gradient : gradients) out = std::max(out, gradient.largest);
  return out;
}

STRATA_COLD STRATA_INLINE const LayerDifference& DeviceComparison::at(const std::string& path) const {
  for (const LayerDifference& layer : layers)
    if (layer.path == path) return layer;
  throw ConfigError(concat("[compare_devices] no layer '", path, "' was compared"));
}

STRATA_COLD STRATA_INLINE const LayerDifference& DeviceComparison::worst() const {
  require<ConfigError>(!layers.empty(), "[compare_devices] no layer was compared");
  return *std::max_element(
      layers.begin(), layers.end(),
      [](const LayerDifference& x, const LayerDifference& y) { return x.largest() < y.largest(); });
}

STRATA_COLD STRATA_INLINE std::string DeviceComparison::text() const {
  std::vector<std::vector<std::string>> rows{{"Layer (type)", "Output Shape", "Output", "Gradients"}};
  for (const LayerDifference& layer : layers) {
    std::string gradients;
    for (const TensorDifference& gradient : layer.gradients)
      gradients += concat(gradients.empty() ? "" : ", ", gradient.name, " ", gradient.text());
    rows.push_back({concat(layer.path, " (", layer.class_name, ")"), layer.shape.to_string(),
                    layer.output.text(), gradients});
  }
  std::string out =
      concat("Largest relative differences, ", a, " against ", b, "\n", detail::text_table(rows));
  if (!layers.empty()) out += concat("Most in '", worst().path, "'\n");
  return out;
}

template <class T>
STRATA_COLD DeviceComparison compare_devices(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x,
                                             const DevicePtr& a, const DevicePtr& b) {
  const ModelImpl<T>& impl = model.model();
  impl.require_built();
  require<ConfigError>(impl.graph().outputs().size() == 1, impl.who(),
                       "compare_devices takes models of one output, found ", impl.graph().outputs().size());
  impl.require_inputs({x.begin(), x.end()});

  BasicNetwork<T> on_a = model.clone(), on_b = model.clone();
  const detail::RecordedRun<T> run_b(on_b.to(b), x), run_a(on_a.to(a), x, &run_b);

  DeviceComparison out{a->description(), b->description(), {}};
  for (std::size_t n = 0; n < run_b.calls().size(); ++n) {
    const auto &of_a = run_a.calls()[n], &of_b = run_b.calls()[n];
    LayerDifference layer{
        of_b.path, of_b.class_name, of_b.y.shape(), detail::difference("output", of_a.y, of_b.y), {}};
    for (std::size_t i = 0; i < of_b.dx.size(); ++i)
      if (!of_b.dx[i].empty())
        layer.gradients.push_back(
            detail::difference(of_b.dx.size() == 1 ? "input" : concat("input ", i), of_a.dx[i], of_b.dx[i]));
    for (std::size_t i = 0; i < of_b.weights.size(); ++i)
      layer.gradients.push_back(detail::difference(
          of_b.weights[i]->name(), run_a.gradient_of(of_a.weights[i]), run_b.gradient_of(of_b.weights[i])));
    out.layers.push_back(std::move(layer));
  }
  return out;
}

#if !STRATA_HEADER_ONLY
template DeviceComparison compare_devices(const BasicNetwork<float>&, const std::vector<Tensor<float>>&,
                                          const DevicePtr&, const DevicePtr&);
template DeviceComparison compare_devices(const BasicNetwork<double>&, const std::vector<Tensor<double>>&,
                                          const DevicePtr&, const DevicePtr&);
#endif

}}  // namespace strata::STRATA_ABI
