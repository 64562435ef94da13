#pragma once

#include <strata/model/graph.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
template <class T>
inline constexpr T some_value{};  // what a pointer of a plan points to
}

template <class T>
STRATA_COLD GraphPlan Graph<T>::plan(const RunMode& mode, const Context* context) const {
  const std::size_t count = nodes_.size();
  GraphPlan plan{mode, std::vector<NodePlan>(count)};
  const auto at = [&](int node) -> NodePlan& { return plan.nodes[static_cast<std::size_t>(node)]; };
  std::vector<int> root(count);                    // the node in whose memory a result lies
  std::vector<int> readers(count), reader(count);  // of a result: how many, and the last
  std::vector<int> uses(count);                    // by root: calls that read it
  std::vector<char> keep(count);                   // by root: the backward pass reads it

  for (std::size_t i = 0; i < count; ++i) {
    const Node& node = nodes_[i];
    const int number = static_cast<int>(i);
    NodePlan& p = plan.nodes[i];
    const bool is_input = node.inputs.empty();
    p.shape = node.shape.with_batch(mode.batch_size);
    p.mode = mode;
    p.mode.input_gradient = false;
    p.mode.trains = mode.recording && !is_input && node.layer->trains();
    p.needs = is_input ? mode.recording && mode.input_gradient : p.mode.trains;
    for (const int input : node.inputs) p.mode.input_gradient |= at(input).needs;
    p.needs |= p.mode.input_gradient;
    p.mode.recording = p.needs;
    p.passes = !is_input && output_number(number) < 0 && node.layer->passes_through(mode.training);

    root[i] = p.passes ? root[static_cast<std::size_t>(node.inputs[0])] : number;
    for (const int input : node.inputs) {
      ++readers[static_cast<std::size_t>(input)];
      reader[static_cast<std::size_t>(input)] = number;
      if (p.passes) continue;
      const auto r = static_cast<std::size_t>(root[static_cast<std::size_t>(input)]);
      ++uses[r];
      keep[r] |= p.needs;
    }
    if (!p.passes) keep[i] |= p.needs;

    const int output = output_number(number);
    const bool logits = output >= 0 && mode.leaves_linear(output);
    p.apart = p.needs && !logits && !node.layer->is_activation() &&
              derivative_needs_input(node.layer->final_activation().kind);
    p.mode.linear_output = logits || p.apart;
  }

  // A layer may do the work of the one that alone reads its result. Where the backward pass goes through that
  // one, only an activation whose derivative follows from the result can go without its input, and a pooling
  // which that layer's own backward pass goes through. If that one has another input, of the same shape,
  // which must be there already, it is the epilogue's residual.
  for (std::size_t i = 0; i < count; ++i) {
    NodePlan& p = plan.nodes[i];
    if (nodes_[i].inputs.empty() || p.passes || p.apart || p.absorbed_by >= 0) continue;
    Epilogue<T> epilogue{.activation = nodes_[i].layer->final_activation()};
    for (int last = static_cast<int>(i); output_number(last) < 0; last = p.absorbs.back()) {
      const int next = reader[static_cast<std::size_t>(last)];
      if (readers[static_cast<std::size_t>(last)] != 1 || at(next).passes) break;
      const Node& node = nodes_[static_cast<std::size_t>(next)];
      if (node.inputs.size() == 2) {
        const int other = node.inputs[node.inputs[0] == last];
        if (at(next).absorbed_by >= 0 || epilogue.residual || plan.call_of(other) >= static_cast<int>(i) ||
            at(other).shape != at(next).shape || at(last).shape != at(next).shape)
          break;
        epilogue.residual = &detail::some_value<T>;
      }
      if (node.inputs.size() > 2 ||
          !nodes_[i].layer->absorb(*node.layer, nodes_[static_cast<std::size_t>(last)].shape, epilogue,
                                   mode.training))
        break;
      p.absorbs.push_back(next);
      const auto differentiable = [&] {
        if (node.layer->is_activation()) return !derivative_needs_input(node.layer->final_activation().kind);
        return context && !mode.observed && output_number(next) < 0 &&
               ask(static_cast<int>(i), plan, *context, [](const auto& layer, Shapes x, Context& own) {
                 return layer.backward_through_pooling(x, own);
               });
      };
      if (at(next).needs && !differentiable()) {
        p.absorbs.pop_back();
        break;
      }
      at(next).absorbed_by = static_cast<int>(i);
      p.mode.linear_output |= at(next).mode.linear_output;
    }
  }

  for (std::size_t i = 0; i < count; ++i) {
    NodePlan& p = plan.nodes[i];
    if (p.passes || p.absorbed_by >= 0) continue;
    const auto release = [&](int node) {
      for (const int input : nodes_[static_cast<std::size_t>(node)].inputs) {
        if (plan.within(static_cast<int>(i), input)) continue;
        const auto r = static_cast<std::size_t>(root[static_cast<std::size_t>(input)]);
        if (--uses[r] == 0 && !keep[r]) p.releases.push_back(static_cast<int>(r));
      }
    };
    release(static_cast<int>(i));
    for (const int absorbed : p.absorbs) release(absorbed);
  }

  // A gradient goes through an activation in the same pass over memory that made it, where its one reader
  // can.
  for (std::size_t i = 0; i < count; ++i) {
    NodePlan& p = plan.nodes[i];
    if (nodes_[i].inputs.empty() || !p.needs || readers[i] != 1 || output_number(static_cast<int>(i)) >= 0)
      continue;
    const Activation f = nodes_[i].layer->final_activation();
    const auto r = static_cast<std::size_t>(reader[i]);
    if (plan.nodes[r].absorbed_by >= 0) continue;
    p.behind = f != Activation::linear && f != Activation::softmax && !derivative_needs_input(f.kind) &&
               nodes_[r].layer->goes_through_activation();
    if (p.behind) plan.nodes[r].mode.through = f;
  }

  // Down from the outputs, in the order of the backward pass.
  std::vector<char> given(count);
  for (const int output : outputs_) given[static_cast<std::size_t>(output)] = true;
  for (std::size_t i = count; i-- > 0;) {
    const Node& node = nodes_[i];
    NodePlan& p = plan.nodes[i];
    if (!p.needs || node.inputs.empty() || !given[i]) continue;
    const bool same_gradient = p.passes || (output_number(static_cast<int>(i)) < 0 &&
                                            (node.layer->is_activation() || p.absorbed_by >= 0));
    for (const int input : node.inputs) {
      const auto from = static_cast<std::size_t>(input);
      p.mode.add_gradient = given[from] && (p.passes || node.layer->adds_input_gradient());
      p.gradients.push_back(!plan.nodes[from].needs                         ? GradientWay::none
                            : p.mode.add_gradient                           ? GradientWay::added
                            : given[from]                                   ? GradientWay::apart
                            : same_gradient && !nodes_[from].inputs.empty() ? GradientWay::in_place
                                                                            : GradientWay::first);
      if (plan.nodes[from].needs) given[from] = true;
    }
  }
  return plan;
}

template <class T>
STRATA_COLD std::vector<int> Graph<T>::frozen_prefix(const RunMode& mode) const {
  if (inputs_.size() != 1) return {};
  const GraphPlan plan = this->plan(mode);
  const auto count = static_cast<int>(nodes_.size());
  std::vector<int> until(nodes_.size());  // the last that reads a result, or that the same call computes
  for (int i = 0; i < count; ++i) {
    for (const int input : nodes_[static_cast<std::size_t>(i)].inputs)
      until[static_cast<std::size_t>(input)] = i;
    for (const int node : plan.nodes[static_cast<std::size_t>(i)].absorbs)
      until[static_cast<std::size_t>(i)] = std::max(until[static_cast<std::size_t>(i)], node);
  }
  int last = -1, reach = 0, i = 0;  // `reach` of what the nodes before are needed for
  bool weights = false;
  for (; i < count && output_number(i) < 0; ++i) {
    const Node& node = nodes_[static_cast<std::size_t>(i)];
    if (!node.inputs.empty() && (node.layer->trains() || !node.layer->repeats(mode.training))) break;
    weights |= !node.layer->weights().empty();
    const int absorbed = plan.nodes[static_cast<std::size_t>(i)].absorbs.empty()
                             ? i
                             : plan.nodes[static_cast<std::size_t>(i)].absorbs.back();
    if (weights && reach <= i && absorbed == i) last = i;
    reach = std::max(reach, until[static_cast<std::size_t>(i)]);
  }
  if (i < count && reach <= i) {
    const auto at = static_cast<std::size_t>(i);
    const Graph* inner = nodes_[at].inputs.empty() ? nullptr : nodes_[at].layer->inner_graph();
    std::vector<int> path = inner ? inner->frozen_prefix(plan.nodes[at].mode) : std::vector<int>();
    if (!path.empty()) {
      path.insert(path.begin(), i);
      return path;
    }
  }
  return last < 0 ? std::vector<int>() : std::vector<int>{last};
}

template <class T>
STRATA_COLD bool Graph<T>::holds(const GraphPlan& plan, const RunMode& mode) const {
  if (plan.mode != mode) return false;
  for (std::size_t i = 0; (mode.recording || mode.training) && i < nodes_.size(); ++i) {
    if (nodes_[i].inputs.empty()) continue;
    if (mode.recording && plan.nodes[i].mode.trains != nodes_[i].layer->trains()) return false;
    // A batch normalization of no weights that train is frozen all the same.
    Epilogue<T> behind{.residual = nodes_[i].inputs.size() == 2 ? &detail::some_value<T> : nullptr};
    if (mode.training && plan.nodes[i].absorbed_by >= 0 &&
        !nodes_[i].layer->append_to(input_shape(static_cast<int>(i)), behind, true))
      return false;
  }
  return true;
}

template <class T>
STRATA_COLD void Graph<T>::set_absorbed(int number, const GraphPlan& plan, const std::vector<View>* values,
                                        Context& context) const {
  context.absorbed_ = {};
  context.scaled_by_ = nullptr;
  for (const int node : plan.nodes[static_cast<std::size_t>(number)].absorbs) {
    Epilogue<T>& epilogue = context.absorbed_;
    const auto& [layer, inputs, shape, call] = nodes_[static_cast<std::size_t>(node)];
    if (inputs.size() == 2) {
      const int other = inputs[plan.within(number, inputs[0])];
      epilogue.residual = values ? (*values)[static_cast<std::size_t>(other)].data() : &detail::some_value<T>;
    }
    const bool scaled = epilogue.scale;
    layer->append_to(input_shape(node), epilogue, plan.mode.training);
    if (!scaled && epilogue.scale) context.scaled_by_ = layer.get();
  }
}

template <class T>
template <class Ask>
auto Graph<T>::ask(int node, const GraphPlan& plan, const Context& context, Ask ask) const {
  const auto i = static_cast<std::size_t>(node);
  Context own;
  own.run_ = context.run_;
  own.mode_ = plan.nodes[i].mode;
  set_absorbed(node, plan, nullptr, own);
  std::vector<Shape> shapes;
  for (const int input : nodes_[i].inputs)
    shapes.push_back(plan.nodes[static_cast<std::size_t>(input)].shape);
  return ask(*nodes_[i].layer, shapes, own);
}

template <class T>
STRATA_COLD LayerCost Graph<T>::cost(int node, const GraphPlan& plan, const Context& context) const {
  return ask(node, plan, context, [&](const auto& layer, const std::vector<Shape>& x, const Context& own) {
    LayerCost cost = layer.cost(x, own);
    if (own.scaled_by_)
      cost.saved += folded_shape<T>(plan.nodes[static_cast<std::size_t>(node)].shape.back()).size();
    return cost;
  });
}

template <class T>
STRATA_COLD void Graph<T>::choose_narrow(GraphPlan& plan, const Context& context) const {
  std::vector<int> readers(nodes_.size());  // of a result
  for (const Node& node : nodes_)
    for (const int input : node.inputs) ++readers[static_cast<std::size_t>(input)];
  const auto computes = [&](int node) {  // by a call of its own, for the forward pass alone
    const NodePlan& p = plan.nodes[static_cast<std::size_t>(node)];
    return nodes_[static_cast<std::size_t>(node)].inputs.size() == 1 && !p.passes && !p.needs &&
           p.absorbed_by < 0;
  };
  const auto takes = [&](int node, bool x, bool y) {
    return ask(node, plan, context, [&](const auto& layer, const std::vector<Shape>& shapes, Context& own) {
      own.absorbed_.narrow_x = x;
      own.absorbed_.narrow_y = y;
      return layer.takes_narrow(shapes, own);
    });
  };
  for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
    if (!computes(i)) continue;
    const int x = nodes_[static_cast<std::size_t>(i)].inputs[0], from = plan.call_of(x);
    plan.nodes[static_cast<std::size_t>(x)].narrow =
        output_number(x) < 0 && readers[static_cast<std::size_t>(x)] == 1 && computes(from) &&
        takes(from, false, true) && takes(i, true, false);
  }
}

#if !STRATA_HEADER_ONLY
template GraphPlan Graph<float>::plan(const RunMode&, const Context*) const;
template GraphPlan Graph<double>::plan(const RunMode&, const Context*) const;
template LayerCost Graph<float>::cost(int, const GraphPlan&, const Context&) const;
template LayerCost Graph<double>::cost(int, const GraphPlan&, const Context&) const;
template void Graph<float>::choose_narrow(GraphPlan&, const Context&) const;
template void Graph<double>::choose_narrow(GraphPlan&, const Context&) const;
template void Graph<float>::set_absorbed(int, const GraphPlan&, const std::vector<View>*, Context&) const;
template void Graph<double>::set_absorbed(int, const GraphPlan&, const std::vector<View>*, Context&) const;
template std::vector<int> Graph<float>::frozen_prefix(const RunMode&) const;
template std::vector<int> Graph<double>::frozen_prefix(const RunMode&) const;
template bool Graph<float>::holds(const GraphPlan&, const RunMode&) const;
template bool Graph<double>::holds(const GraphPlan&, const RunMode&) const;
#endif

}}  // namespace strata::STRATA_ABI
