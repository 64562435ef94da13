#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <strata/model/graph.hpp>
#include <strata/model/model_plan.hpp>

namespace strata { inline namespace STRATA_ABI {

/// The execution context, buffers and layer contexts of runs of one model on one device, reused from run to
/// run.
template <class T>
class Session {
 public:
  explicit Session(const DevicePtr& device) : backend_(device->make_backend<T>()), buffers_(device) {
    run_.device = device;
    run_.backend = backend_.get();
    run_.buffers = &buffers_;
    context_.run_ = &run_;
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  struct Options {
    bool training = false;
    GradientSink<T>* gradients = nullptr;  ///< a backward pass follows, for weights
    std::uint64_t linear_output = 0;       ///< bit k: leave the last activation of output k to the loss
    bool input_gradient = false;           ///< a backward pass follows, for inputs
    std::uint64_t seed = 0, step = 0;
    RunObserver<T>* observer = nullptr;
    GivenResult<T> given = {};  ///< computed already
  };
  /// The context for a new run.
  BasicContext<T>& begin(const Options& options) {
    buffers_.begin_run();
    run_.gradients = options.gradients;
    run_.observer = options.observer;
    run_.seed = options.seed;
    run_.step = options.step;
    context_.given_ = options.given;
    context_.mode_ = {.training = options.training,
                      .recording = options.gradients != nullptr || options.input_gradient,
                      .input_gradient = options.input_gradient,
                      .linear_output = options.linear_output};
    return context_;
  }
  /// Plans made for its runs so far: one for each batch size, kind of run and set of weights that train.
  std::int64_t plans() const { return run_.plans; }
  const DevicePtr& device() const { return run_.device; }
  Backend<T>& backend() const { return *run_.backend; }
  Scratch<T> scratch(const Shape& shape) { return {buffers_, shape}; }
  /// A copy of device memory on the host; waits for it.
  Tensor<T> download(TensorView<const T> from) const {
    Tensor<T> out = Tensor<T>::uninitialized(from.shape());
    backend_->download(out.data(), from.data(), out.bytes());
    return out;
  }

 private:
  std::unique_ptr<Backend<T>> backend_;
  BufferPool<T> buffers_;
  Run<T> run_;
  BasicContext<T> context_;
};

/// What a model is: a graph of layers that is itself a layer.
template <class T>
class ModelImpl final : public BasicLayerImpl<T> {
 public:
  using Base = BasicLayerImpl<T>;

  using Expect = BuildOptions::Expect;

  /// A sequence; its graph is made when the input shape is known: from an Input or a built model in front, or
  /// at the first data.
  ModelImpl(std::vector<LayerPtr<T>> sequence, std::string name, std::uint64_t seed,
            const Expect& expect = {});
  ModelImpl(Graph<T> graph, std::string name, std::uint64_t seed, const Expect& expect = {});

  std::string class_name() const override { return sequential_ ? "Sequential" : "Functional"; }
  Json config() const override;
  LayerPtr<T> copy() const override;
  Shape output_shape(Shapes inputs) const override;
  void build(Shapes inputs) override;
  void forward(Inputs<T> x, TensorView<T> y, BasicContext<T>& context) const override {
    graph_.forward(x, {&y, 1}, context);
  }
  void backward(Inputs<T>, TensorView<const T>, TensorView<const T> dy, InputGradients<T> dx,
                BasicContext<T>& context) const override {
    graph_.backward(dy, dx, context);
  }
  const Graph<T>* inner_graph() const override { return &graph_; }
  Activation final_activation() const override;
  std::vector<LayerPtr<T>> sublayers() const override;
  void set_trainable(bool trainable) override;
  void move_to(const DevicePtr& device) override;
  std::vector<ParameterPtr<T>> weights() const override;
  std::vector<ParameterPtr<T>> trainable_weights() const override;
  bool trains() const override;
  bool repeats(bool training) const override;

  const Graph<T>& graph() const { return graph_; }
  std::uint64_t seed() const { return seed_; }
  const DevicePtr& device() const { return device_; }
  void set_device(DevicePtr device);
  /// Warns on stderr where the device cannot.
  void set_policy(Policy policy);
  /// A context of the device for runs by the policy.
  std::unique_ptr<Session<T>> make_session(const DevicePtr& device) const;
  /// Builds a model that is no layer of another: its own seed gives the weights their first values.
  void build_root(Shapes inputs, const Expect& expect = {});
  /// The same, once, for a model without an Input that meets data. Safe to call from several threads.
  void build_once(Shapes inputs);
  void append(const LayerPtr<T>& layer);
  /// Throws ConfigError for a model whose input shape is not known yet.
  void require_built() const;
  /// Throws ShapeError unless x are the inputs of one batch.
  void require_inputs(const std::vector<TensorView<const T>>& x) const;

  /// Results of one batch: from memory of the model's device to host memory. Throws ShapeError for inputs of
  /// other shapes.
  void predict(const std::vector<TensorView<const T>>& x, const std::vector<TensorView<T>>& y,
               Session<T>& session) const;

  /// A session for one run; goes back to the model when the pointer dies. Safe to call from several threads.
  std::shared_ptr<Session<T>> session() const;
  /// Forgets the sessions that are idle, with all their memory.
  void release_memory() const;

  /// What training keeps with the model once it is compiled; nothing here knows it.
  std::shared_ptr<void> training_state;

 private:
  using Copies = std::map<const void*, LayerPtr<T>>;
  LayerPtr<T> copy(Copies& copies) const;
  void infer_input(const Expect& expect = {});
  void make_graph(const Shape& input);
  void build_nodes(const BuildOptions& options);
  void name_layers();

  bool sequential_;
  std::vector<LayerPtr<T>> sequence_;
  Graph<T> graph_;
  std::uint64_t seed_;
  DevicePtr device_;
  std::optional<Policy> policy_;  ///< null: the device's own
  std::mutex building_;
  struct Sessions {
    std::mutex mutex;
    std::vector<std::unique_ptr<Session<T>>> idle;
  };
  std::shared_ptr<Sessions> sessions_ = std::make_shared<Sessions>();
};

template <class T>
struct BasicModelOptions {
  std::vector<BasicSymbol<T>> inputs;
  std::vector<BasicSymbol<T>> outputs;
  std::string name = {};
  std::uint64_t seed = 0;  ///< of initial weights and of layers that are random in training
};
struct SequentialOptions {
  std::string name = {};
  std::uint64_t seed = 0;
};

/// A network that can be used and saved, and a layer of larger ones: what `Model` is without its training. A
/// shared handle: copies are the same network.
template <class T>
class BasicNetwork : public BasicLayer<T> {
 public:
  BasicNetwork() = default;
  BasicNetwork(std::shared_ptr<ModelImpl<T>> impl) : BasicLayer<T>(std::move(impl)) {}
  /// The functional API: `Model({.inputs = {x}, .outputs = {y}})`.
  explicit BasicNetwork(BasicModelOptions<T> options);
  BasicNetwork(const BasicSymbol<T>& input, const BasicSymbol<T>& output, SequentialOptions options = {})
      : BasicNetwork(BasicModelOptions<T>{{input}, {output}, std::move(options.name), options.seed}) {}

  /// A deep copy: same layers, own weights, not compiled.
  BasicNetwork clone() const;

  /// Layers in computing order; inputs included where the user gave them.
  std::vector<BasicLayer<T>> layers() const;
  /// Throws ConfigError that lists the layers where there is none of that name.
  BasicLayer<T> layer(const std::string& name) const;
  /// Freezes every layer in front of `name` and unfreezes the rest, inclusive. Throws as `layer` does.
  void trainable_from(const std::string& name);
  Shape input_shape() const { return model().graph().input_shapes().at(0); }
  Shape output_shape() const;
  /// Creates the weights for inputs of `shape` (no batch axis). Only for a Sequential without an Input in
  /// front.
  void build(const Shape& shape);

  /// Moves weights and computation. Returns the network.
  BasicNetwork& to(const DevicePtr& device);
  const DevicePtr& device() const { return model().device(); }
  /// How the model computes, whatever its device does by default: "mixed_bfloat16". A warning on stderr says
  /// so where the device has no such products and computes in its own type. Not saved with the model. Throws
  /// ConfigError for a name there is not. Returns the network.
  BasicNetwork& set_policy(std::string_view name);

  /// Gives the memory that runs keep for the next one back to the device.
  void release_memory() const { model().release_memory(); }

  /// Keras's table of layers, output shapes and parameters.
  std::string summary_text() const;
  void summary() const;
  /// What a run will cost, layer by layer: FLOPs, memory, algorithms; `.to_string()` is a table. Allocates
  /// nothing on the device. Throws ConfigError while the input shape is not known.
  ModelPlan plan(const PlanOptions& options = {}) const { return detail::plan_model(model(), options); }

  /// Results for inputs [n,...], computed `batch_size` at a time. Safe to call from several threads at once.
  Tensor<T> predict(const Tensor<T>& x, std::int64_t batch_size = 32) const;
  /// One tensor per input in, one per output out.
  std::vector<Tensor<T>> predict(const std::vector<Tensor<T>>& x, std::int64_t batch_size = 32) const;

  /// Throws ConfigError for a model that was never made, or was moved from.
  ModelImpl<T>& model() const {
    require<ConfigError>(this->impl_ != nullptr, "[model] this model was never made, or was moved from");
    return static_cast<ModelImpl<T>&>(*this->impl_);
  }

 private:
  std::vector<Tensor<T>> predict_on_host(const std::vector<TensorView<const T>>& x,
                                         std::int64_t batch_size) const;
};
using Network = BasicNetwork<float>;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/model/model.ipp>
#include <strata/model/model_plan.ipp>
#endif
