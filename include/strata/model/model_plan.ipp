#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <strata/model/model.hpp>
#include <strata/model/summary.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

/// A run without memory: the pool, the executor and the models inside the model, with numbers of elements in
/// the place of tensors.
template <class T>
class RunSketch {
 public:
  RunSketch(const ModelImpl<T>& model, const RunMode& mode, const DevicePtr& device)
      : session_(model.make_session(device)), root_(run_of(model, mode)) {}

  STRATA_COLD std::int64_t take(std::int64_t size) {
    if (size == 0) return 0;
    const auto found = best_fit(free_, size, [](std::int64_t capacity) { return capacity; });
    if (found == free_.end()) return allocated_ += size, size;
    const std::int64_t capacity = *found;
    free_.erase(found);
    return capacity;
  }
  STRATA_COLD void give(std::int64_t& capacity) {
    if (capacity > 0) free_.push_back(capacity);
    capacity = 0;
  }
  void forward() { forward(root_); }
  STRATA_COLD void backward(std::vector<std::int64_t> dy) {
    for (std::size_t k = 0; k < dy.size(); ++k) {
      std::int64_t& gradient = root_.gradients[static_cast<std::size_t>(root_.graph->outputs()[k])];
      if (gradient)
        give(dy[k]);
      else
        gradient = dy[k];
    }
    backward(root_);
  }
  /// Elements of all memory that was ever needed.
  std::int64_t allocated() const { return allocated_; }
  std::vector<LayerPlan> layers() {
    std::vector<LayerPlan> out;
    describe(root_, "", out);
    return out;
  }

 private:
  struct GraphRun {
    const Graph<T>* graph;
    GraphPlan plan;
    std::vector<LayerCost> costs;
    std::vector<std::int64_t> buffers, gradients, linear;
    std::map<std::size_t, GraphRun> inner;
  };

  STRATA_COLD GraphRun run_of(const ModelImpl<T>& model, const RunMode& mode) {
    const Graph<T>& graph = model.graph();
    const std::size_t count = graph.nodes().size();
    const std::vector<std::int64_t> none(count);
    const auto& context = session_->begin({});
    GraphRun out{&graph, graph.plan(mode, &context), std::vector<LayerCost>(count), none, none, none, {}};
    for (std::size_t i = 0; i < count; ++i)
      if (const auto* inner = dynamic_cast<const ModelImpl<T>*>(graph.nodes()[i].layer.get()))
        out.inner.emplace(i, run_of(*inner, out.plan.nodes[i].mode));
      else if (computes(out, i))
        out.costs[i] = graph.cost(static_cast<int>(i), out.plan, context);
    return out;
  }
  static bool computes(const GraphRun& run, std::size_t i) {
    return !run.graph->nodes()[i].inputs.empty() && !run.plan.nodes[i].passes &&
           run.plan.nodes[i].absorbed_by < 0;
  }
  static bool is_output(const GraphRun& run, std::size_t i) {
    const auto& outputs = run.graph->outputs();
    return std::find(outputs.begin(), outputs.end(), static_cast<int>(i)) != outputs.end();
  }
  static std::size_t written_by(const GraphRun& run, std::size_t i) {
    const auto& absorbs = run.plan.nodes[i].absorbs;
    return absorbs.empty() ? i : static_cast<std::size_t>(absorbs.back());
  }
  static std::int64_t size(const GraphRun& run, std::size_t i) { return run.plan.nodes[i].shape.size(); }

  STRATA_COLD void forward(GraphRun& run) {
    for (std::size_t i = 0; i < run.plan.nodes.size(); ++i) {
      if (!computes(run, i)) continue;
      const std::size_t w = written_by(run, i);
      if (!is_output(run, w)) run.buffers[w] = take(size(run, w));
      if (run.plan.nodes[i].apart) run.linear[i] = take(size(run, w));
      std::int64_t scratch = take(run.costs[i].scratch);
      if (const auto inner = run.inner.find(i); inner != run.inner.end()) forward(inner->second);
      give(scratch);
      for (const int unread : run.plan.nodes[i].releases) give(run.buffers[static_cast<std::size_t>(unread)]);
    }
  }
  STRATA_COLD void backward(GraphRun& run) {
    const auto& nodes = run.graph->nodes();
    for (std::size_t i = nodes.size(); i-- > 0;) {
      const NodePlan& p = run.plan.nodes[i];
      if (p.gradients.empty()) continue;
      give(run.linear[i]);
      if (p.gradients[0] == GradientWay::in_place) {
        run.gradients[static_cast<std::size_t>(nodes[i].inputs[0])] = std::exchange(run.gradients[i], 0);
        continue;
      }
      std::vector<std::int64_t> more;
      for (std::size_t k = 0; k < p.gradients.size(); ++k) {
        const auto from = static_cast<std::size_t>(nodes[i].inputs[k]);
        if (p.gradients[k] == GradientWay::first && !nodes[from].inputs.empty())
          run.gradients[from] = take(size(run, from));
        if (p.gradients[k] == GradientWay::apart) more.push_back(take(size(run, from)));
      }
      std::int64_t scratch = take(run.costs[i].scratch + run.costs[i].backward_scratch);
      if (const auto inner = run.inner.find(i); inner != run.inner.end()) backward(inner->second);
      give(scratch);
      for (std::int64_t& added : more) give(added);
      give(run.gradients[i]);
      give(run.buffers[i]);
    }
    for (std::int64_t& buffer : run.buffers) give(buffer);
  }

  STRATA_COLD void describe(const GraphRun& run, const std::string& prefix, std::vector<LayerPlan>& out) {
    const auto& nodes = run.graph->nodes();
    const auto path = [&](std::size_t i) { return prefix + nodes[i].name(); };
    constexpr std::int64_t bytes = sizeof(T);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const NodePlan& p = run.plan.nodes[i];
      if (nodes[i].inputs.empty()) continue;
      if (const auto inner = run.inner.find(i); inner != run.inner.end()) {
        describe(inner->second, path(i) + "/", out);
        continue;
      }
      LayerPlan layer{.name = path(i), .class_name = nodes[i].layer->class_name(), .output_shape = p.shape};
      const bool first = counted_.insert(nodes[i].layer.get()).second;
      if (first)
        for (const auto& weight : nodes[i].layer->weights()) layer.parameters += weight->shape().size();
      if (first && p.mode.recording)
        for (const auto& weight : nodes[i].layer->trainable_weights())
          layer.gradient_bytes += weight->shape().size() * bytes;
      if (p.absorbed_by >= 0) layer.fused_into = path(static_cast<std::size_t>(p.absorbed_by));
      if (computes(run, i)) {
        const LayerCost& cost = run.costs[i];
        layer.forward_flops = cost.flops;
        layer.backward_flops = cost.flops * ((p.mode.trains ? 1 : 0) + (p.mode.input_gradient ? 1 : 0));
        layer.activation_bytes = (size(run, written_by(run, i)) * (p.apart ? 2 : 1) + cost.saved) * bytes;
        saved_ += cost.saved;
        layer.algorithm = cost.algorithm.name;
        const bool repacks = p.mode.trains && session_->backend().repacks();
        layer.packed_bytes = first && !repacks ? cost.algorithm.packed_bytes : 0;
        layer.workspace_bytes = cost.algorithm.workspace_bytes + (repacks ? cost.algorithm.packed_bytes : 0);
      }
      out.push_back(std::move(layer));
    }
  }

  std::unique_ptr<Session<T>> session_;
  GraphRun root_;
  std::vector<std::int64_t> free_;
  std::int64_t allocated_ = 0, saved_ = 0;
  std::set<const void*> counted_;

 public:
  /// Elements that layers keep on their own; known after `layers`.
  std::int64_t saved() const { return saved_; }
};

template <class T>
STRATA_COLD ModelPlan plan_model(const ModelImpl<T>& model, const PlanOptions& options,
                                 const TrainingPlan& training) {
  model.require_built();
  require<ConfigError>(options.batch_size > 0, model.who(), "expected a batch_size of at least 1, found ",
                       options.batch_size);
  constexpr std::int64_t bytes = sizeof(T);
  const Graph<T>& graph = model.graph();
  ModelPlan out{.model = model.name(), .device = model.device()->description(), .options = options};
  RunSketch<T> run(model,
                   {.batch_size = options.batch_size,
                    .training = options.training,
                    .recording = options.training,
                    .linear_output = options.training ? training.linear_output : 0},
                   model.device());

  std::vector<std::int64_t> results;
  for (const int output : graph.outputs())
    results.push_back(
        graph.nodes()[static_cast<std::size_t>(output)].shape.with_batch(options.batch_size).size());
  for (const std::int64_t result : results) run.take(result);
  run.forward();
  const std::int64_t forward = run.allocated();
  const auto trained = model.trainable_weights();
  if (options.training) {
    // As Trainer does it.
    std::vector<std::int64_t> dy, scratch;
    for (const std::int64_t result : results) dy.push_back(run.take(result));
    for (std::size_t k = 0; k < results.size(); ++k)
      scratch.push_back(run.take(graph.output(k).shape.with_batch(options.batch_size).rows()));
    for (std::size_t k = 0; k < results.size(); ++k)
      if (k < 64 && training.activated >> k & 1) scratch.push_back(run.take(results[k]));
    for (std::size_t i = scratch.size(); i-- > 0;) run.give(scratch[i]);
    if (!trained.empty()) run.backward(std::move(dy));
    for (const auto& weight : trained) {
      const std::int64_t size = weight->shape().size();
      out.gradient_bytes += whole_lines<T>(size) * bytes;
      out.slot_bytes += training.slots * size * bytes;
    }
  }
  out.activation_gradient_bytes = (run.allocated() - forward) * bytes;
  out.layers = run.layers();
  out.activation_bytes = (forward + run.saved()) * bytes;
  for (const auto& weight : model.weights()) out.weight_bytes += weight->shape().size() * bytes;
  for (const LayerPlan& layer : out.layers) {
    out.packed_bytes += layer.packed_bytes;
    out.workspace_bytes = std::max(out.workspace_bytes, layer.workspace_bytes);
  }
  return out;
}

}  // namespace detail

STRATA_COLD STRATA_INLINE std::int64_t ModelPlan::forward_flops() const {
  std::int64_t sum = 0;
  for (const LayerPlan& layer : layers) sum += layer.forward_flops;
  return sum;
}
STRATA_COLD STRATA_INLINE std::int64_t ModelPlan::backward_flops() const {
  std::int64_t sum = 0;
  for (const LayerPlan& layer : layers) sum += layer.backward_flops;
  return sum;
}
STRATA_COLD STRATA_INLINE std::int64_t ModelPlan::total_bytes() const {
  return weight_bytes + activation_bytes + activation_gradient_bytes + gradient_bytes + slot_bytes +
         packed_bytes + workspace_bytes;
}
STRATA_COLD STRATA_INLINE const LayerPlan& ModelPlan::at(const std::string& name) const {
  for (const LayerPlan& layer : layers)
    if (layer.name == name) return layer;
  throw ConfigError(concat("[plan] there is no layer '", name, "' in model '", model, "'"));
}

namespace detail {

STRATA_COLD inline std::string bytes_text(std::int64_t count) {
  return with_unit(static_cast<double>(count), 1024, {"B", "KB", "MB", "GB", "TB"});
}

STRATA_COLD inline std::array<std::pair<const char*, std::int64_t>, 8> memory_of(const ModelPlan& plan) {
  return {{{"Weights", plan.weight_bytes},
           {"Activations", plan.activation_bytes},
           {"Their gradients", plan.activation_gradient_bytes},
           {"Gradients of weights", plan.gradient_bytes},
           {"Optimizer slots", plan.slot_bytes},
           {"Packed weights", plan.packed_bytes},
           {"Workspace", plan.workspace_bytes},
           {"Together", plan.total_bytes()}}};
}

template <class T>
STRATA_COLD void rethrow_with_plan(const ModelImpl<T>& model, const PlanOptions& options,
                                   const TrainingPlan& training) {
  std::string figures;
  try {
    for (const auto& [name, size] : memory_of(plan_model(model, options, training)))
      if (size) figures += concat(figures.empty() ? "" : ", ", name, " ", bytes_text(size));
  } catch (const std::exception&) {  // the plan takes a little memory itself
  }
  rethrow_device_error("", concat(". The plan of ", options.training ? "a training step" : "a run", " of ",
                                  options.batch_size, " samples: ", figures.empty() ? "unknown" : figures));
}

}  // namespace detail

STRATA_COLD STRATA_INLINE std::string ModelPlan::to_string() const {
  using detail::with_unit;
  const auto flops = [](std::int64_t count) {
    return with_unit(static_cast<double>(count), 1000, {"", "K", "M", "G", "T", "P"});
  };
  std::vector<std::vector<std::string>> rows{{"Layer (type)", "Output Shape", "Param #", "FLOPs"}};
  if (options.training) rows[0].push_back("Backward");
  rows[0].push_back("Activations");
  if (options.training) rows[0].push_back("Gradients");
  rows[0].push_back("Algorithm");
  for (const LayerPlan& layer : layers) {
    const auto unless_zero = [](std::int64_t count, const auto& text) {
      return count ? text(count) : std::string();
    };
    std::vector<std::string> row{concat(layer.name, " (", layer.class_name, ")"),
                                 layer.output_shape.to_string(), detail::with_commas(layer.parameters),
                                 unless_zero(layer.forward_flops, flops)};
    if (options.training) row.push_back(unless_zero(layer.backward_flops, flops));
    row.push_back(unless_zero(layer.activation_bytes, detail::bytes_text));
    if (options.training) row.push_back(unless_zero(layer.gradient_bytes, detail::bytes_text));
    row.push_back(layer.fused_into.empty() ? layer.algorithm : "fused into " + layer.fused_into);
    rows.push_back(std::move(row));
  }
  std::string out = concat("Plan: \"", model, "\", ", options.training ? "training" : "inference",
                           " of batches of ", options.batch_size, " on ", device, "\n",
                           detail::text_table(rows), "FLOPs: ", flops(forward_flops()));
  if (options.training) out += concat(" forward, ", flops(backward_flops()), " backward");
  out += "\n";
  for (const auto& [name, size] : detail::memory_of(*this))
    if (size) out += concat(name, ": ", detail::bytes_text(size), "\n");
  return out;
}

#if !STRATA_HEADER_ONLY
namespace detail {
template ModelPlan plan_model(const ModelImpl<float>&, const PlanOptions&, const TrainingPlan&);
template ModelPlan plan_model(const ModelImpl<double>&, const PlanOptions&, const TrainingPlan&);
template void rethrow_with_plan(const ModelImpl<float>&, const PlanOptions&, const TrainingPlan&);
template void rethrow_with_plan(const ModelImpl<double>&, const PlanOptions&, const TrainingPlan&);
}  // namespace detail
#endif

}}  // namespace strata::STRATA_ABI
