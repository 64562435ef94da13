#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include <strata/core/function_ref.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/gradients.hpp>
#include <strata/training/trainer.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

/// Hands on what it is given, and keeps it on the host, and its gradient. Behind a layer it alone reads what
/// that computes: no call computes more than that layer's result, and the gradient that arrives is complete.
template <class T>
class Probe final : public BasicLayerImpl<T> {
 public:
  std::string class_name() const override { return "Probe"; }
  Json config() const override { return Json::object(); }
  LayerPtr<T> copy() const override { return std::make_shared<Probe>(); }
  Shape output_shape(Shapes inputs) const override { return inputs[0]; }
  bool trains() const override { return true; }  // so that the backward pass comes as far as here
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    context.backend().affine(y.size(), 1, 0, x[0].data(), y.data());
    calls_.push_back({download(x[0], context), {}});
    open_ = calls_.size();
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    calls_.at(--open_).gradient = download(dy, context);
    if (dx[0]) context.backend().affine(dy.size(), 1, 0, dy.data(), dx[0].data());
  }
  /// In the order of the forward calls.
  std::vector<BasicLayerGradient<T>>& calls() const { return calls_; }

 private:
  static Tensor<T> download(TensorView<const T> from, const BasicContext<T>& context) {
    Tensor<T> out = Tensor<T>::uninitialized(from.shape());
    context.backend().download(out.data(), from.data(), out.bytes());
    return out;
  }
  // One run's alone: the layer is made for it.
  mutable std::vector<BasicLayerGradient<T>> calls_;
  mutable std::size_t open_ = 0;  // calls that had no backward pass yet, which come last first
};

/// A model inside a model, with probes in it.
template <class T>
class ProbedModel final : public BasicLayerImpl<T> {
 public:
  ProbedModel(const std::string& name, Graph<T> graph) : BasicLayerImpl<T>(name), graph_(std::move(graph)) {}
  std::string class_name() const override { return "ProbedModel"; }
  Json config() const override { return Json::object(); }
  LayerPtr<T> copy() const override { return std::make_shared<ProbedModel>(this->name(), graph_); }
  Shape output_shape(Shapes) const override { return output().shape; }
  bool trains() const override { return true; }
  Activation final_activation() const override { return output().layer->final_activation(); }
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    graph_.forward(x, {&y, 1}, context);
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    graph_.backward(dy, dx, context);
  }

 private:
  const typename Graph<T>::Node& output() const {
    return graph_.nodes()[static_cast<std::size_t>(graph_.outputs()[0])];
  }
  Graph<T> graph_;
};

/// Puts a probe behind each call of a layer that is asked for.
template <class T>
class Probes {
 public:
  using Node = typename Graph<T>::Node;

  Probes(const ModelImpl<T>& model, const std::vector<std::string>& paths) : paths_(paths) {
    graph_ = probed(model.graph(), {""});
    for (const std::string& path : paths)
      if (!found_.contains(path))
        throw ConfigError(
            concat(model.who(), "there is no layer '", path, "'; the nearest are ", nearest(path)));
  }
  const Graph<T>& graph() const { return graph_; }
  /// Of one of those, after the run.
  BasicLayerGradient<T> take(const std::string& path) const {
    const auto& [probe, call] = found_.at(path);
    return probe->calls().at(call);
  }

 private:
  // `runs`: for each time that the graph runs, in order, what stands in front of the names of its layers.
  STRATA_COLD Graph<T> probed(const Graph<T>& graph, const std::vector<std::string>& runs) {
    std::vector<Node> nodes;
    std::vector<int> own, result;  // the new number of a node, and of the one that has its result
    std::map<const void*, LayerPtr<T>> models;
    for (const Node& node : graph.nodes()) {
      Node copy = node;
      for (int& input : copy.inputs) input = result[static_cast<std::size_t>(input)];
      if (const auto* model = dynamic_cast<const ModelImpl<T>*>(node.layer.get())) {
        LayerPtr<T>& layer = models[model];  // one for all calls, so that they count as before
        if (!layer) layer = probed(node.layer, *model, graph, runs);
        copy.layer = layer;
      }
      own.push_back(static_cast<int>(nodes.size()));
      nodes.push_back(copy);
      std::shared_ptr<const Probe<T>> probe;
      for (std::size_t run = 0; run < runs.size(); ++run) {
        names_.push_back(runs[run] + node.name());
        if (std::find(paths_.begin(), paths_.end(), names_.back()) == paths_.end()) continue;
        if (!probe) {
          const auto made = std::make_shared<Probe<T>>();
          nodes.push_back({made, {own.back()}, node.shape});
          probe = made;
        }
        found_[names_.back()] = {probe, run};
      }
      result.push_back(static_cast<int>(nodes.size()) - 1);
    }
    std::vector<int> inputs, outputs;
    for (const int input : graph.inputs()) inputs.push_back(own[static_cast<std::size_t>(input)]);
    for (const int output : graph.outputs()) outputs.push_back(result[static_cast<std::size_t>(output)]);
    return Graph<T>(std::move(nodes), std::move(inputs), std::move(outputs));
  }
  STRATA_COLD LayerPtr<T> probed(const LayerPtr<T>& layer, const ModelImpl<T>& model, const Graph<T>& around,
                                 const std::vector<std::string>& runs) {
    std::vector<std::string> inside;
    for (const std::string& run : runs)
      for (const Node& node : around.nodes())
        if (node.layer == layer) inside.push_back(run + node.name() + "/");
    const std::size_t before = found_.size();
    Graph<T> graph = probed(model.graph(), inside);
    if (found_.size() == before) return layer;
    return std::make_shared<ProbedModel<T>>(layer->name(), std::move(graph));
  }

  // Levenshtein's distance.
  STRATA_COLD static std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
      std::size_t corner = std::exchange(row[0], i + 1);
      for (std::size_t j = 0; j < b.size(); ++j)
        corner = std::exchange(row[j + 1], std::min({row[j] + 1, row[j + 1] + 1, corner + (a[i] != b[j])}));
    }
    return row.back();
  }
  STRATA_COLD std::string nearest(const std::string& path) const {
    std::vector<std::pair<std::size_t, std::string>> names;
    for (const std::string& name : names_)
      names.emplace_back(std::min(distance(path, name), distance(path, name.substr(name.rfind('/') + 1))),
                         name);
    std::stable_sort(names.begin(), names.end(), [](auto& a, auto& b) { return a.first < b.first; });
    std::string out;
    for (std::size_t i = 0; i < std::min<std::size_t>(5, names.size()); ++i)
      out += concat(i ? ", '" : "'", names[i].second, "'");
    return out;
  }

  const std::vector<std::string>& paths_;
  std::vector<std::string> names_;
  std::map<std::string, std::pair<std::shared_ptr<const Probe<T>>, std::size_t>> found_;
  Graph<T> graph_;
};

/// Gradients of weights, which all calls add to.
template <class T>
class WeightGradients final : public GradientSink<T> {
 public:
  void add(const ParameterPtr<T>& weight, const DevicePtr& device) {
    gradients_.try_emplace(weight.get(), weight->shape(), device);
  }
  Gradient<T> gradient(const BasicParameter<T>& weight) override {
    const auto found = gradients_.find(&weight);
    return found == gradients_.end() ? Gradient<T>{} : Gradient<T>{found->second.data(), true};
  }
  const Tensor<T>* find(const ParameterPtr<T>& weight) const {
    const auto found = gradients_.find(weight.get());
    return found == gradients_.end() ? nullptr : &found->second;
  }

 private:
  std::map<const void*, Tensor<T>> gradients_;
};

struct GradientRun {
  const std::vector<std::string>& layers;
  bool inputs, weights, training;
  std::uint64_t step;
};

/// One run forward and backward. `logits(activation)`: is the output to be without it? `score` gives the
/// value of what it is given, and writes its gradient.
template <class T>
STRATA_COLD BasicGradients<T> differentiate(
    const BasicNetwork<T>& network, const std::vector<Tensor<T>>& x, const GradientRun& run,
    FunctionRef<bool(const Activation&)> logits,
    FunctionRef<double(Session<T>&, TensorView<const T>, TensorView<T>, bool)> score) {
  const ModelImpl<T>& model = network.model();
  model.require_built();
  require<ConfigError>(model.graph().outputs().size() == 1, model.who(),
                       "gradients are of models of one output, found ", model.graph().outputs().size());
  model.require_inputs({x.begin(), x.end()});
  require<ShapeError>(x[0].shape()[0] > 0, model.who(), "expected at least one sample, found none");

  const Probes<T> probes(model, run.layers);
  const Graph<T>& graph = probes.graph();
  const DevicePtr& device = model.device();
  WeightGradients<T> weights;
  if (run.weights)
    for (const auto& weight : model.trainable_weights()) weights.add(weight, device);
  std::vector<Tensor<T>> inputs, input_gradients;
  for (const Tensor<T>& input : x) {
    inputs.push_back(input.to(device));
    input_gradients.push_back(run.inputs ? Tensor<T>(input.shape(), device) : Tensor<T>());
  }
  const std::vector<TensorView<const T>> in(inputs.begin(), inputs.end());
  const std::vector<TensorView<T>> dx(input_gradients.begin(), input_gradients.end());

  const auto& last = graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])];
  const Activation activation = last.layer->final_activation();
  const bool linear = logits(activation);
  Session<T> session(device);
  BasicContext<T>& context = session.begin({.training = run.training,
                                            .gradients = &weights,
                                            .linear_output = linear,
                                            .input_gradient = run.inputs,
                                            .seed = model.seed(),
                                            .step = run.step});
  const Shape shape = last.shape.with_batch(x[0].shape()[0]);
  const auto prediction = session.scratch(shape);
  const TensorView<T> y = prediction.view();
  graph.forward(in, {&y, 1}, context);

  BasicGradients<T> out;
  auto dy = session.scratch(shape);
  out.value = score(session, y, dy.view(), linear);
  Tensor<T> gradient_of_output = dy.take();
  graph.backward_from_outputs({&gradient_of_output, 1}, dx, context);

  if (linear)
    session.backend().activation(activation, shape.rows(), shape.back(), y.data(), prediction.data());
  out.output = session.download(y);
  for (const TensorView<T>& gradient : dx)
    if (gradient) out.inputs.push_back(session.download(gradient));
  for (const auto& [name, weight] : named_weights<T>(network))
    if (const Tensor<T>* gradient = weights.find(weight)) out.weights[name] = session.download(*gradient);
  for (const std::string& path : run.layers) out.layers[path] = probes.take(path);
  return out;
}

}  // namespace detail

template <class T>
STRATA_COLD BasicGradients<T> gradients(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x,
                                        const Tensor<T>& y, const BasicLossGradientOptions<T>& options) {
  require<ConfigError>(static_cast<bool>(options.loss), model.model().who(),
                       "gradients of a loss need one: {.loss = \"mse\"}");
  const BasicLossImpl<T>& loss = options.loss.impl();
  return detail::differentiate<T>(
      model, x, {options.layers, options.inputs, options.weights, options.training, options.step},
      [&](const Activation& activation) { return loss.takes_logits_of(activation); },
      [&](Session<T>& session, TensorView<const T> prediction, TensorView<T> gradient, bool logits) {
        const Shape& shape = prediction.shape();
        require<ShapeError>(loss.accepts(shape, y.shape()), "[", loss.name(), "] a target of shape ",
                            y.shape(), " does not belong to predictions of shape ", shape, " of '",
                            model.name(), "'");
        const Tensor<T> on_host = y.to(nullptr);
        loss.check(shape, on_host.template cast<float>());
        const Tensor<T> target = y.to(session.device());
        const auto losses = session.scratch({shape.rows()});
        const double share = 1.0 / static_cast<double>(shape.rows());
        detail::compute_loss(session, loss,
                             {.backend = session.backend(),
                              .prediction = prediction,
                              .target = target,
                              .logits = logits,
                              .gradient_scale = share,
                              .losses = losses.data(),
                              .gradient = gradient.data()});
        const Tensor<T> values = session.download(losses.view());
        return share * std::accumulate(values.values().begin(), values.values().end(), 0.0);
      });
}

template <class T>
STRATA_COLD BasicGradients<T> gradients(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x,
                                        const BasicScoreGradientOptions<T>& options) {
  const std::string who = model.impl()->who();
  const auto logits = [&](const Activation& activation) {
    const Graph<T>& graph = model.model().graph();
    require<ConfigError>(!options.logits || activation == model.model().final_activation(), who,
                         "a score from before the last activation does not depend on the result of that: "
                         "expected no gradient of the output's layer '",
                         graph.nodes()[static_cast<std::size_t>(graph.outputs()[0])].layer->name(),
                         "' with .logits");
    return options.logits && activation != Activation::linear;
  };
  const auto score = [&](Session<T>& session, TensorView<const T> y, TensorView<T> gradient, bool) {
    const Tensor<T> output = session.download(y);
    Tensor<T> dy = options.output_gradient.to(nullptr);
    if (dy.empty()) {
      const std::int64_t classes = output.rank() > 1 ? output.shape().back() : 0;
      require<ConfigError>(classes > 0 && options.class_index >= -1 && options.class_index < classes, who,
                           "expected a class_index below ", classes, " for outputs of shape ", output.shape(),
                           ", or -1, found ", options.class_index);
      dy = Tensor<T>(output.shape());
      for (std::int64_t row = 0; row < dy.size(); row += classes) {
        const T* const values = output.data() + row;
        const std::int64_t largest = std::max_element(values, values + classes) - values;
        dy.data()[row + (options.class_index < 0 ? largest : options.class_index)] = 1;
      }
    }
    require<ShapeError>(dy.shape() == output.shape(), who, "expected an output_gradient of shape ",
                        output.shape(), ", found ", dy.shape());
    session.backend().upload(gradient.data(), dy.data(), dy.bytes());
    return std::inner_product(dy.values().begin(), dy.values().end(), output.values().begin(), 0.0);
  };
  return detail::differentiate<T>(
      model, x, {options.layers, options.inputs, options.weights, options.training, options.step}, logits,
      score);
}

#if !STRATA_HEADER_ONLY
template BasicGradients<float> gradients(const BasicNetwork<float>&, const std::vector<Tensor<float>>&,
                                         const Tensor<float>&, const BasicLossGradientOptions<float>&);
template BasicGradients<double> gradients(const BasicNetwork<double>&, const std::vector<Tensor<double>>&,
                                          const Tensor<double>&, const BasicLossGradientOptions<double>&);
template BasicGradients<float> gradients(const BasicNetwork<float>&, const std::vector<Tensor<float>>&,
                                         const BasicScoreGradientOptions<float>&);
template BasicGradients<double> gradients(const BasicNetwork<double>&, const std::vector<Tensor<double>>&,
                                          const BasicScoreGradientOptions<double>&);
#endif

}}  // namespace strata::STRATA_ABI
