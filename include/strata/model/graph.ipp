#pragma once

#include <algorithm>
#include <cmath>
#include <map>

#include <strata/model/graph.hpp>

namespace strata { inline namespace STRATA_ABI {

// What a run of a graph keeps in its context.
template <class T>
struct Graph<T>::State {
  static constexpr std::size_t most_plans = 4;  // training and test, whole and last batches

  std::vector<std::unique_ptr<GraphPlan>> plans;
  const GraphPlan* plan = nullptr;  // of this run
  std::vector<std::unique_ptr<Context>> contexts;
  std::vector<Tensor<T>> buffers, gradients;
  std::vector<Tensor<T>> linear;  // results before their activation, where its derivative needs them
  std::vector<View> values;
  std::vector<char> narrow;  // of these
  int first_seen = 0;        // from here on others see results as well, which are what they seem
  BufferPool<T>* pool = nullptr;

  void release(int node) { pool->give(std::exchange(buffers[static_cast<std::size_t>(node)], {})); }
};

namespace detail {
STRATA_COLD STRATA_INLINE std::string counted_names(const char* what, const std::vector<std::string>& names) {
  std::string out = concat(names.size(), " ", what, names.size() == 1 ? "" : "s");
  for (std::size_t i = 0; i < names.size(); ++i) out += concat(i ? ", '" : " '", names[i], "'");
  return out;
}

template <class T>
STRATA_COLD void visit(const BasicSymbol<T>& symbol, const std::vector<BasicSymbol<T>>& inputs,
                       std::map<const void*, int>& numbers, std::vector<typename Graph<T>::Node>& nodes) {
  // Depth first with its own stack: networks may be thousands of layers deep.
  std::vector<std::pair<BasicSymbol<T>, std::size_t>> stack{{symbol, 0}};
  while (!stack.empty()) {
    auto& [top, next] = stack.back();
    const auto& node = top.node();
    const bool is_input = std::find(inputs.begin(), inputs.end(), top) != inputs.end();
    if (numbers.contains(&node)) {
      stack.pop_back();
    } else if (!is_input && next < node.inputs.size()) {
      const BasicSymbol<T> child = node.inputs[next++];
      stack.push_back({child, 0});
    } else {
      require<ConfigError>(is_input || !node.inputs.empty(), "[model] the outputs depend on input '",
                           node.layer->name(), "', which is not among the model's inputs");
      std::vector<int> from;
      if (!is_input)
        for (const auto& input : node.inputs) from.push_back(numbers.at(&input.node()));
      numbers[&node] = static_cast<int>(nodes.size());
      nodes.push_back({node.layer, std::move(from), node.shape});
      stack.pop_back();
    }
  }
}

// Nodes by falling distance from the outputs, as Keras runs and lists them: moving statistics of a layer that
// appears more than once depend on the order. Returns the new number of each node. Source: Keras's map_graph.
template <class T>
STRATA_COLD std::vector<int> sort_by_depth(std::vector<typename Graph<T>::Node>& nodes) {
  std::vector<int> depth(nodes.size(), -1), order, number(nodes.size());
  std::map<const void*, int> of_layer;
  const auto deepen = [&](int node, int to) {
    int& now = depth[static_cast<std::size_t>(node)];
    if (now < 0) order.push_back(node);
    now = std::max(now, to);
  };
  for (int i = static_cast<int>(nodes.size()); i-- > 0;) {
    const auto& node = nodes[static_cast<std::size_t>(i)];
    int& deepest = of_layer[node.layer.get()];
    deepen(i, deepest);
    deepest = depth[static_cast<std::size_t>(i)];
    for (const int input : node.inputs) deepen(input, deepest + 1);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return depth[static_cast<std::size_t>(a)] > depth[static_cast<std::size_t>(b)];
  });
  std::vector<typename Graph<T>::Node> sorted;
  for (const int old : order) {
    number[static_cast<std::size_t>(old)] = static_cast<int>(sorted.size());
    sorted.push_back(std::move(nodes[static_cast<std::size_t>(old)]));
  }
  nodes = std::move(sorted);
  for (auto& node : nodes)
    for (int& input : node.inputs) input = number[static_cast<std::size_t>(input)];
  return number;
}
}  // namespace detail

template <class T>
STRATA_COLD Graph<T>::Graph(const std::vector<BasicSymbol<T>>& inputs,
                            const std::vector<BasicSymbol<T>>& outputs) {
  require<ConfigError>(!inputs.empty() && !outputs.empty(), "[model] expected inputs and outputs, found ",
                       inputs.size(), " and ", outputs.size());
  std::map<const void*, int> numbers;
  for (const auto& output : outputs) {
    require<ConfigError>(static_cast<bool>(output), "[model] an output was never made");
    detail::visit(output, inputs, numbers, nodes_);
  }
  const std::vector<int> sorted = detail::sort_by_depth<T>(nodes_);
  for (auto& [node, number] : numbers) number = sorted[static_cast<std::size_t>(number)];
  for (const auto& output : outputs) outputs_.push_back(numbers.at(&output.node()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    require<ConfigError>(static_cast<bool>(inputs[i]) && numbers.contains(&inputs[i].node()),
                         "[model] input ", i, " leads to no output");
    inputs_.push_back(numbers.at(&inputs[i].node()));
    // A model may start at any symbolic tensor; from there on it is an input like any other.
    Node& node = nodes_[static_cast<std::size_t>(inputs_.back())];
    if (node.layer->class_name() != InputImpl<T>::type)
      node.layer = std::make_shared<InputImpl<T>>(InputOptions{.shape = node.shape});
  }
  finish();
}

template <class T>
STRATA_COLD Graph<T>::Graph(std::vector<Node> nodes, std::vector<int> inputs, std::vector<int> outputs)
    : nodes_(std::move(nodes)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {
  const auto count = static_cast<int>(nodes_.size());
  const auto inside = [&](const std::vector<int>& numbers, int limit) {
    return std::all_of(numbers.begin(), numbers.end(), [&](int n) { return n >= 0 && n < limit; });
  };
  require<DataError>(
      !inputs_.empty() && !outputs_.empty() && inside(inputs_, count) && inside(outputs_, count),
      "[model] inputs and outputs are not nodes of the graph");
  for (int i = 0; i < count; ++i) {
    Node& node = nodes_[static_cast<std::size_t>(i)];
    const bool is_input = input_number(i) >= 0;
    require<DataError>(is_input == node.inputs.empty() && inside(node.inputs, i), "[model] node ", i, " ('",
                       node.layer->name(), "') is not fed by earlier nodes");
    std::vector<Shape> shapes;
    for (const int input : node.inputs) shapes.push_back(nodes_[static_cast<std::size_t>(input)].shape);
    node.shape = node.layer->output_shape(shapes);
  }
  finish();
}

template <class T>
STRATA_COLD void Graph<T>::finish() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].call = 0;
    for (std::size_t k = 0; k < i; ++k) nodes_[i].call += nodes_[k].layer == nodes_[i].layer;
  }
}

template <class T>
STRATA_COLD std::vector<Shape> Graph<T>::input_shapes() const {
  std::vector<Shape> out;
  for (const int input : inputs_) out.push_back(nodes_[static_cast<std::size_t>(input)].shape);
  return out;
}

template <class T>
STRATA_COLD std::vector<LayerPtr<T>> Graph<T>::layers() const {
  std::vector<Layer> out;
  for (const Node& node : nodes_)
    if (node.call == 0) out.push_back(node.layer);
  return out;
}

template <class T>
STRATA_COLD std::vector<std::string> Graph<T>::names_of(const std::vector<int>& nodes) const {
  std::vector<std::string> out;
  for (const int node : nodes) out.push_back(nodes_[static_cast<std::size_t>(node)].name());
  return out;
}

template <class T>
STRATA_COLD bool Graph<T>::ends(std::size_t output) const {
  const int node = outputs_[output];
  return std::count(outputs_.begin(), outputs_.end(), node) == 1 &&
         std::none_of(nodes_.begin(), nodes_.end(), [&](const Node& reader) {
           return std::find(reader.inputs.begin(), reader.inputs.end(), node) != reader.inputs.end();
         });
}

template <class T>
STRATA_COLD int Graph<T>::number_in(const std::vector<int>& nodes, int node) {
  const auto found = std::find(nodes.begin(), nodes.end(), node);
  return found == nodes.end() ? -1 : static_cast<int>(found - nodes.begin());
}

template <class T>
STRATA_COLD typename Graph<T>::State& Graph<T>::prepare(std::span<const View> x, Context& context) const {
  const std::size_t count = nodes_.size();
  if (!context.graph_) context.graph_ = std::make_shared<State>();
  State& s = *static_cast<State*>(context.graph_.get());
  s.pool = &context.buffers();
  if (s.contexts.size() != count) {
    s.plan = nullptr;
    s.plans.clear();
    std::vector<std::unique_ptr<Context>> contexts;
    for (const Node& node : nodes_) {
      auto& child = contexts.emplace_back(std::make_unique<Context>());
      child->run_ = context.run_;
      child->path_ = hash_name(concat("/", node.layer->name(), "#", node.call), context.path_);
      child->call_ = static_cast<std::uint64_t>(node.call);
      child->name_ = concat(context.name_, context.name_.empty() ? "" : "/", node.name());
    }
    s.buffers.resize(count);
    s.gradients.resize(count);
    s.linear.resize(count);
    s.contexts = std::move(contexts);  // last: where memory ran out before, all is made anew
  }
  for (std::size_t i = 0; i < count; ++i) {  // of a run that ended early
    s.release(static_cast<int>(i));
    s.pool->give(std::exchange(s.gradients[i], {}));
    s.pool->give(std::exchange(s.linear[i], {}));
    s.contexts[i]->given_ = {};
  }
  s.values.assign(count, {});
  s.narrow.assign(count, false);
  s.first_seen = context.run_->observer ? 0 : static_cast<int>(count);

  RunMode mode = context.mode_;
  mode.batch_size = x[0].shape()[0];
  mode.observed = context.run_->observer;
  if (s.plan && holds(*s.plan, mode)) return s;
  s.plan = nullptr;
  for (const auto& plan : s.plans)
    if (holds(*plan, mode)) s.plan = plan.get();
  if (!s.plan) {
    if (s.plans.size() == State::most_plans) s.plans.erase(s.plans.begin());
    auto made = std::make_unique<GraphPlan>(plan(mode, &context));
    choose_narrow(*made, context);
    s.plan = s.plans.emplace_back(std::move(made)).get();
    ++context.run_->plans;
  }
  for (std::size_t i = 0; i < count; ++i) s.contexts[i]->mode_ = s.plan->nodes[i].mode;
  return s;
}

template <class T>
STRATA_COLD void Graph<T>::evaluate(int number, std::span<const View> x, std::span<const Output> y,
                                    State& s) const try {
  const auto i = static_cast<std::size_t>(number);
  const Node& node = nodes_[i];
  const NodePlan& p = s.plan->nodes[i];
  if (node.inputs.empty()) {
    s.values[i] = x[static_cast<std::size_t>(input_number(number))];
    return;
  }
  if (p.absorbed_by >= 0) return;
  std::vector<View> in;
  for (const int input : node.inputs) in.push_back(s.values[static_cast<std::size_t>(input)]);
  if (p.passes) {
    s.values[i] = in[0].reshaped(p.shape);
    return;
  }
  const int last = p.absorbs.empty() ? number : p.absorbs.back();  // whose result the call computes
  const auto w = static_cast<std::size_t>(last);
  const auto take = [&](Tensor<T>& buffer) { buffer = s.pool->take(s.plan->nodes[w].shape); };
  const int k = output_number(last);
  if (k < 0) take(s.buffers[w]);
  const Output out = k < 0 ? Output(s.buffers[w]) : y[static_cast<std::size_t>(k)];
  if (p.apart) take(s.linear[i]);
  Context& context = *s.contexts[i];
  set_absorbed(number, *s.plan, &s.values, context);
  context.absorbed_.narrow_x = s.narrow[static_cast<std::size_t>(node.inputs[0])];
  s.narrow[w] = s.plan->nodes[w].narrow && last < s.first_seen;
  context.absorbed_.narrow_y = s.narrow[w];
  node.layer->forward(in, p.apart ? Output(s.linear[i]) : out, context);
  if (p.apart) {
    context.backend().activation(node.layer->final_activation(), out.shape().rows(), out.shape().back(),
                                 s.linear[i].data(), out.data());
  }
  if (auto* observer = context.run().observer) observer->after_forward(context.name_, *node.layer, out);
  s.values[i] = out;
  for (const int absorbed : p.absorbs) s.values[static_cast<std::size_t>(absorbed)] = out;
  for (const int unread : p.releases) s.release(unread);
} catch (const DeviceError&) {
  detail::rethrow_device_error(nodes_[static_cast<std::size_t>(number)].layer->who());
}

template <class T>
STRATA_COLD int Graph<T>::first_node(const Context& context, State& s) const {
  const auto& [path, value] = context.given_;
  if (path.empty()) return 0;
  const auto i = static_cast<std::size_t>(path[0]);
  if (path.size() == 1) {
    s.values[i] = value;
    return path[0] + 1;
  }
  // The model there computes the rest of its own graph: of its input it asks only how many samples there are.
  s.contexts[i]->given_ = {path.subspan(1), value};
  s.values[static_cast<std::size_t>(nodes_[i].inputs[0])] = View(nullptr, Shape{value.shape()[0]});
  return path[0];
}

template <class T>
STRATA_COLD typename Graph<T>::View Graph<T>::forward_prefix(std::span<const View> x,
                                                             std::span<const int> path,
                                                             Context& context) const {
  State& s = prepare(x, context);
  const bool here = path.size() == 1;
  s.first_seen = std::min(s.first_seen, path[0]);
  for (int i = 0; i < path[0] + here; ++i) evaluate(i, x, {}, s);
  const auto i = static_cast<std::size_t>(path[0]);
  if (here) return s.values[i];
  const View input[] = {s.values[static_cast<std::size_t>(nodes_[i].inputs[0])]};
  return nodes_[i].layer->inner_graph()->forward_prefix(input, path.subspan(1), *s.contexts[i]);
}

template <class T>
STRATA_COLD const typename Graph<T>::Node& Graph<T>::node_at(std::span<const int> path) const {
  const Node& node = nodes_[static_cast<std::size_t>(path[0])];
  return path.size() == 1 ? node : node.layer->inner_graph()->node_at(path.subspan(1));
}

template <class T>
STRATA_COLD void Graph<T>::forward(std::span<const View> x, std::span<const Output> y,
                                   Context& context) const {
  State& s = prepare(x, context);
  for (int i = first_node(context, s); i < static_cast<int>(nodes_.size()); ++i) evaluate(i, x, y, s);
  // An input that is an output, or an output asked for twice, is the only thing that is copied.
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const View value = s.values[static_cast<std::size_t>(outputs_[k])];
    if (value.data() != y[k].data()) context.backend().affine(value.size(), 1, 0, value.data(), y[k].data());
  }
}

/// Leaves the gradients of a node's inputs where the plan wants them; dy is that of its result.
template <class T>
STRATA_COLD void Graph<T>::differentiate(int number, View dy, std::span<const Output> dx,
                                         std::vector<Output>& gradient, State& s) const try {
  const auto i = static_cast<std::size_t>(number);
  const Node& node = nodes_[i];
  const NodePlan& p = s.plan->nodes[i];
  Context& context = *s.contexts[i];
  Backend<T>& backend = context.backend();
  RunObserver<T>* observer = context.run().observer;
  if (p.gradients[0] == GradientWay::in_place) {
    const auto from = static_cast<std::size_t>(node.inputs[0]);
    s.gradients[from] = std::move(s.gradients[i]);
    gradient[from] = gradient[i].reshaped(s.values[from].shape());
    if (observer && !p.passes && p.absorbed_by < 0)
      observer->after_backward(context.name_, *node.layer, {&gradient[from], 1});
    return;
  }
  std::vector<View> in;
  std::vector<Output> wanted;
  std::vector<std::pair<std::size_t, Tensor<T>>> more;  // gradients to add to what another reader left
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    const auto from = static_cast<std::size_t>(node.inputs[k]);
    const Shape& shape = s.values[from].shape();
    in.push_back(s.values[from]);
    wanted.emplace_back();
    if (p.gradients[k] == GradientWay::first) {
      if (nodes_[from].inputs.empty()) {
        gradient[from] = dx[static_cast<std::size_t>(input_number(node.inputs[k]))];
      } else {
        s.gradients[from] = s.pool->take(shape);
        gradient[from] = s.gradients[from];
      }
      wanted.back() = gradient[from];
    } else if (p.gradients[k] == GradientWay::added) {
      wanted.back() = gradient[from];
    } else if (p.gradients[k] == GradientWay::apart && gradient[from]) {
      more.emplace_back(from, s.pool->take(shape));
      wanted.back() = more.back().second;
    }
  }
  if (p.passes) {
    if (wanted[0] && p.mode.add_gradient)
      backend.axpy(dy.size(), 1, dy.data(), wanted[0].data());
    else if (wanted[0])
      backend.affine(dy.size(), 1, 0, dy.data(), wanted[0].data());
  } else {
    node.layer->backward(in, s.values[i], dy, wanted, context);
    if (observer && p.absorbed_by < 0) observer->after_backward(context.name_, *node.layer, wanted);
  }
  for (auto& [from, tensor] : more) {
    backend.axpy(tensor.size(), 1, tensor.data(), gradient[from].data());
    s.pool->give(std::move(tensor));
  }
  s.pool->give(std::exchange(s.gradients[i], {}));
  s.release(number);
} catch (const DeviceError&) {
  detail::rethrow_device_error(nodes_[static_cast<std::size_t>(number)].layer->who());
}

// `dy`: that of the one output, taken through its activation; null where `s.gradients` has those of all.
template <class T>
STRATA_COLD void Graph<T>::descend(View dy, std::span<const Output> dx, Context& context) const {
  State& s = *static_cast<State*>(context.graph_.get());
  Backend<T>& backend = context.backend();
  std::vector<Output> gradient(
      nodes_.size());  // of the loss with respect to a node's result, complete when it is visited
  for (const int output : outputs_)
    gradient[static_cast<std::size_t>(output)] = s.gradients[static_cast<std::size_t>(output)];
  for (std::size_t k = 0; k < inputs_.size(); ++k) {
    if (!dx[k] || output_number(inputs_[k]) < 0) continue;
    Output& of_input = gradient[static_cast<std::size_t>(inputs_[k])];
    backend.affine(dx[k].size(), 1, 0, dy ? dy.data() : of_input.data(), dx[k].data());
    of_input = dx[k];
  }
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    if (s.plan->nodes[i].gradients.empty()) continue;
    const int k = output_number(static_cast<int>(i));
    const bool given = k >= 0 && dy;
    const View dresult = given ? dy : View(gradient[i]);
    if (!dresult) continue;  // an empty batch
    if (!given && (k < 0 || !context.mode_.leaves_linear(k)))
      through_activation(static_cast<int>(i), gradient[i], s, backend);
    differentiate(static_cast<int>(i), dresult, dx, gradient, s);
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) s.release(static_cast<int>(i));
  for (std::size_t k = 0; k < inputs_.size(); ++k)
    if (dx[k] && !gradient[static_cast<std::size_t>(inputs_[k])])
      backend.zero(dx[k].data(), static_cast<std::size_t>(dx[k].size()) * sizeof(T));
}

template <class T>
STRATA_COLD void Graph<T>::backward(View dy, std::span<const Output> dx, Context& context) const {
  require<ConfigError>(outputs_.size() == 1, "[model] a model inside a model has one output, found ",
                       outputs_.size());
  descend(dy, dx, context);
}

template <class T>
STRATA_COLD void Graph<T>::through_activation(int number, Output dy, State& s, Backend<T>& backend) const {
  const auto i = static_cast<std::size_t>(number);
  const Node& node = nodes_[i];
  const Activation f = node.layer->final_activation();
  if (f == Activation::linear || !s.plan->nodes[i].needs || s.plan->nodes[i].behind) return;
  const View y = s.values[i];
  const View x =
      node.layer->is_activation() ? s.values[static_cast<std::size_t>(node.inputs[0])] : View(s.linear[i]);
  backend.activation_backward(f, y.shape().rows(), y.shape().back(), x.data(), y.data(), dy.data(),
                              dy.data());
  s.pool->give(std::exchange(s.linear[i], {}));
}

template <class T>
STRATA_COLD void Graph<T>::backward_from_outputs(std::span<Tensor<T>> dy, std::span<const Output> dx,
                                                 Context& context) const {
  State& s = *static_cast<State*>(context.graph_.get());
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    Tensor<T>& gradient = s.gradients[static_cast<std::size_t>(outputs_[k])];
    if (gradient.empty()) {
      gradient = std::move(dy[k]);
    } else {  // a result that is two outputs
      context.backend().axpy(gradient.size(), 1, dy[k].data(), gradient.data());
      s.pool->give(std::move(dy[k]));
    }
  }
  descend({}, dx, context);
}

template <class T>
STRATA_COLD std::string Graph<T>::first_non_finite(std::span<const View> x, Context& context) const {
  State& s = prepare(x, context);
  s.first_seen = 0;
  std::vector<Tensor<T>> results;
  std::vector<Output> y;
  for (const int output : outputs_) {
    const Shape shape = nodes_[static_cast<std::size_t>(output)].shape.with_batch(x[0].shape()[0]);
    results.push_back(Tensor<T>::uninitialized(shape, context.device()));
  }
  for (auto& result : results) y.push_back(result);
  Tensor<double> sum({1}, context.device());
  for (int i = first_node(context, s); i < static_cast<int>(nodes_.size()); ++i) {
    evaluate(i, x, y, s);
    const View value = s.values[static_cast<std::size_t>(i)];
    // A sum of squares is finite exactly if, short of overflow, every value is.
    double squares = 0;
    context.backend().zero(sum.data(), sizeof squares);
    context.backend().add_sum_of_squares(value.size(), value.data(), sum.data());
    context.backend().download(&squares, sum.data(), sizeof squares);
    if (!std::isfinite(squares)) return nodes_[static_cast<std::size_t>(i)].layer->name();
  }
  return "";
}

#if !STRATA_HEADER_ONLY
template class Graph<float>;
template class Graph<double>;
#endif

}}  // namespace strata::STRATA_ABI
