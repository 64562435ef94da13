#pragma once

#include <span>
#include <string>
#include <vector>

#include <strata/layers/input.hpp>
#include <strata/model/plan.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// For messages: "2 outputs 'price', 'kind'".
std::string counted_names(const char* what, const std::vector<std::string>& names);
}  // namespace detail

/// Layers and how they feed each other: a directed acyclic graph in an order in which it can be computed. A
/// layer may appear more than once; its calls share weights.
template <class T>
class Graph {
 public:
  using Layer = LayerPtr<T>;
  using View = TensorView<const T>;
  using Output = TensorView<T>;
  using Context = BasicContext<T>;

  struct Node {
    Layer layer;
    std::vector<int> inputs;  ///< numbers of earlier nodes
    Shape shape;              ///< of the result, without the batch axis
    int call = 0;             ///< how often the layer appeared before

    /// The layer's, of its second call "dense#1".
    std::string name() const { return call ? concat(layer->name(), "#", call) : layer->name(); }
  };

  Graph() = default;
  /// Everything that leads from `inputs` to `outputs`. Throws ConfigError where an output needs something
  /// that no input gives, or an input leads nowhere.
  Graph(const std::vector<BasicSymbol<T>>& inputs, const std::vector<BasicSymbol<T>>& outputs);
  /// From nodes in computing order, as a config has them. Throws DataError where they make no graph.
  Graph(std::vector<Node> nodes, std::vector<int> inputs, std::vector<int> outputs);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int>& inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }
  bool empty() const { return nodes_.empty(); }
  std::vector<Shape> input_shapes() const;
  /// In order; of a layer's second call "dense#1".
  std::vector<std::string> input_names() const { return names_of(inputs_); }
  std::vector<std::string> output_names() const { return names_of(outputs_); }
  const Node& output(std::size_t number) const { return nodes_[static_cast<std::size_t>(outputs_[number])]; }
  /// Nothing in the graph reads that output's result, nor is it another output, too.
  bool ends(std::size_t output) const;
  /// Each layer once, in order of first appearance.
  std::vector<Layer> layers() const;

  /// How a run of this kind goes now, on the device that `context` is of; null: on any.
  GraphPlan plan(const RunMode& mode, const Context* context = nullptr) const;

  /// What a call of node number `node` costs in such a run; `context` is any of the device.
  LayerCost cost(int node, const GraphPlan& plan, const Context& context) const;

  /// The last of the frozen nodes in front: up to it nothing trains or draws in a run of this kind, and the
  /// rest reads no other result of those, so that it can be computed from this one. As a path, since a model
  /// that trains in part has a prefix of its own: the model's node, then one within. Empty where there is
  /// none, or none with weights.
  std::vector<int> frozen_prefix(const RunMode& mode) const;
  /// Computes the nodes up to such a one. Its result stays until the context's next run.
  View forward_prefix(std::span<const View> x, std::span<const int> path, Context& context) const;
  /// The node that a path leads to.
  const Node& node_at(std::span<const int> path) const;
  /// Computes all outputs. Results that no backward pass needs give their memory to later ones.
  void forward(std::span<const View> x, std::span<const Output> y, Context& context) const;
  /// Backward pass of the last `forward` with this context, of a graph of one output: `dy` is d(loss)/d(y),
  /// taken through the final activation. `dx` entries with null data are not wanted.
  void backward(View dy, std::span<const Output> dx, Context& context) const;

  /// The same for the gradients behind the final activations of all outputs, but for activations that the
  /// context left to the loss. Takes the memory of `dy` over, so that it can be used again on the way down.
  void backward_from_outputs(std::span<Tensor<T>> dy, std::span<const Output> dx, Context& context) const;

  /// Name of the first node, in computing order, whose result holds a value that is not finite; empty if none
  /// does.
  std::string first_non_finite(std::span<const View> x, Context& context) const;

 private:
  struct State;
  void through_activation(int node, Output dy, State& state, Backend<T>& backend) const;
  State& prepare(std::span<const View> x, Context& context) const;
  bool holds(const GraphPlan& plan, const RunMode& mode) const;  // as long as no layer is frozen or unfrozen
  // Tells the context of a node's call what that absorbed, with the pointers of now; null: of a call that is
  // only planned.
  void set_absorbed(int node, const GraphPlan& plan, const std::vector<View>* values, Context& context) const;
  // What `ask(layer, shapes of its inputs, context)` says of a node's call in such a run.
  template <class Ask>
  auto ask(int node, const GraphPlan& plan, const Context& context, Ask ask) const;
  // Results that one call alone reads, and in bfloat16 as well, on the way forward.
  void choose_narrow(GraphPlan& plan, const Context& context) const;
  const Shape& input_shape(int node) const {
    return nodes_[static_cast<std::size_t>(nodes_[static_cast<std::size_t>(node)].inputs[0])].shape;
  }
  int first_node(const Context& context, State& state) const;  // that a run has to compute
  void descend(View dy, std::span<const Output> dx, Context& context) const;
  void evaluate(int node, std::span<const View> x, std::span<const Output> y, State& state) const;
  void differentiate(int node, View dy, std::span<const Output> dx, std::vector<Output>& gradient,
                     State& state) const;
  int input_number(int node) const { return number_in(inputs_, node); }
  int output_number(int node) const { return number_in(outputs_, node); }
  std::vector<std::string> names_of(const std::vector<int>& nodes) const;
  static int number_in(const std::vector<int>& nodes, int node);  // -1: not among them
  void finish();

  std::vector<Node> nodes_;
  std::vector<int> inputs_, outputs_;
};

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/graph.ipp>
#include <strata/model/plan.ipp>
#endif
