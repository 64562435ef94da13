#pragma once

#include <vector>

#include <strata/layers/context.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Where the gradient with respect to an input of a node goes.
enum class GradientWay {
  none,     ///< nobody wants it
  first,    ///< into memory of its own, or the caller's
  apart,    ///< into memory of its own, which is then added to what a later reader of the same input left
  added,    ///< to that, by the layer
  in_place  ///< it is the gradient of the result, in the same memory
};

/// How one node of a graph runs.
struct NodePlan {
  RunMode mode;               ///< of its call
  Shape shape;                ///< of its result, batch included
  bool needs = false;         ///< the backward pass goes through it
  bool passes = false;        ///< its result is its input's memory
  bool behind = false;        ///< its reader takes the gradient through its activation
  bool apart = false;         ///< the executor applies its activation, and keeps the result from before
  std::vector<int> absorbs;   ///< nodes whose work its call does too, in order
  bool narrow = false;        ///< its result lies in bfloat16 (where the device takes it so)
  int absorbed_by = -1;       ///< the node whose call does this one's work too
  std::vector<int> releases;  ///< nodes whose results nobody reads any more once it has run
  std::vector<GradientWay> gradients;  ///< by input; empty where the backward pass does not come by
};

/// How a graph runs: which nodes share memory and calls, what is kept for the backward pass, and where that
/// goes. Depends on the graph, the kind of run and the weights that train, and but for `narrow` on nothing
/// else.
struct GraphPlan {
  RunMode mode;
  std::vector<NodePlan> nodes;

  /// The node whose call computes what node `node` stands for.
  int call_of(int node) const {
    const int by = nodes[static_cast<std::size_t>(node)].absorbed_by;
    return by < 0 ? node : by;
  }
  /// The call of node `call` computes what node `node` stands for.
  bool within(int call, int node) const {
    return node == call || nodes[static_cast<std::size_t>(node)].absorbed_by == call;
  }
};

}}  // namespace strata::STRATA_ABI
