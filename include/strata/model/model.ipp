#pragma once

#include <algorithm>
#include <cstdio>
#include <map>

#include <strata/model/model.hpp>
#include <strata/model/summary.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
STRATA_COLD ModelImpl<T>::ModelImpl(std::vector<LayerPtr<T>> sequence, std::string name, std::uint64_t seed,
                                    const Expect& expect)
    : Base(std::move(name)), sequential_(true), sequence_(std::move(sequence)), seed_(seed) {
  for (const auto& layer : sequence_)
    require<ConfigError>(layer != nullptr, this->who(), "a layer was never made");
  name_layers();
  infer_input(expect);
}

template <class T>
STRATA_COLD ModelImpl<T>::ModelImpl(Graph<T> graph, std::string name, std::uint64_t seed,
                                    const Expect& expect)
    : Base(std::move(name)), sequential_(false), graph_(std::move(graph)), seed_(seed) {
  name_layers();
  build_root(graph_.input_shapes(), expect);
}

template <class T>
STRATA_COLD void ModelImpl<T>::append(const LayerPtr<T>& layer) {
  require<ConfigError>(layer != nullptr, this->who(), "a layer was never made");
  require<ConfigError>(!training_state, this->who(), "layers cannot be added after compile");
  sequence_.push_back(layer);
  name_layers();
  infer_input();
}

// The input shape is known from an Input in front, or from a model that has one.
template <class T>
STRATA_COLD void ModelImpl<T>::infer_input(const Expect& expect) {
  if (sequence_.empty()) return;
  const LayerPtr<T>& front = sequence_.front();
  if (front->class_name() == InputImpl<T>::type) {
    make_graph(front->output_shape({}));
  } else if (const auto* model = dynamic_cast<const ModelImpl*>(front.get());
             model && !model->graph_.empty()) {
    make_graph(model->graph_.input_shapes().at(0));
  } else {
    return;
  }
  build_root(graph_.input_shapes(), expect);
}

// For the whole sequence anew; layers that are built keep their weights.
template <class T>
STRATA_COLD void ModelImpl<T>::make_graph(const Shape& input) {
  const bool given = sequence_.front()->class_name() == InputImpl<T>::type;
  std::vector<typename Graph<T>::Node> nodes{
      {given ? sequence_.front()
             : std::make_shared<InputImpl<T>>(InputOptions{.shape = input, .name = "input_layer"}),
       {},
       input}};
  for (std::size_t i = given ? 1 : 0; i < sequence_.size(); ++i)
    nodes.push_back({sequence_[i], {static_cast<int>(nodes.size()) - 1}, {}});
  const int last = static_cast<int>(nodes.size()) - 1;
  graph_ = Graph<T>(std::move(nodes), {0}, {last});
}

template <class T>
STRATA_COLD void ModelImpl<T>::build_nodes(const BuildOptions& options) {
  for (const auto& node : graph_.nodes()) {
    if (node.inputs.empty()) continue;
    std::vector<Shape> shapes;
    for (const int input : node.inputs)
      shapes.push_back(graph_.nodes()[static_cast<std::size_t>(input)].shape);
    const std::string prefix = options.path.empty() ? "" : options.path + "/";
    node.layer->ensure_built(shapes,
                             {options.seed, prefix + node.layer->name(), options.device, options.expect});
  }
}

template <class T>
STRATA_COLD void ModelImpl<T>::build(Shapes inputs) {
  if (graph_.empty()) {
    require<ConfigError>(!sequence_.empty(), this->who(), "expected layers, found none");
    make_graph(this->single(inputs));
  }
  build_nodes(this->build_options());
}

template <class T>
STRATA_COLD void ModelImpl<T>::build_root(Shapes inputs, const Expect& expect) {
  // Around a model that has a device already the new one joins it there.
  if (!device_)
    for (const auto& layer : sublayers())
      if (const auto* inner = dynamic_cast<const ModelImpl*>(layer.get());
          inner && inner->device_ && !device_)
        device_ = inner->device_;
  if (!device_) device_ = default_device();
  const BuildOptions options{seed_, "", device_, expect};
  try {
    this->ensure_built(inputs, options);
    build_nodes(options);  // of layers that were added since
  } catch (...) {
    if (sequential_) graph_ = {};  // nothing may run on layers without weights
    throw;
  }
}

template <class T>
STRATA_COLD void ModelImpl<T>::build_once(Shapes inputs) {
  const std::lock_guard lock(building_);
  if (graph_.empty()) build_root(inputs);
}

template <class T>
STRATA_COLD void ModelImpl<T>::require_built() const {
  require<ConfigError>(!graph_.empty(), this->who(),
                       "the input shape is not known yet: put an Input in front, call build, or pass data");
}

template <class T>
STRATA_COLD void ModelImpl<T>::require_inputs(const std::vector<TensorView<const T>>& x) const {
  const auto expected = graph_.input_shapes();
  const auto names = graph_.input_names();
  require<ShapeError>(x.size() == expected.size(), this->who(), "expected ",
                      detail::counted_names("input", names), ", found ", x.size());
  require<ShapeError>(x[0].shape().rank() > 0, this->who(),
                      "expected inputs with a batch axis, found a scalar");
  for (std::size_t i = 0; i < x.size(); ++i)
    require<ShapeError>(x[i].shape() == expected[i].with_batch(x[0].shape()[0]), this->who(),
                        "expected an input of shape ", expected[i].with_batch(x[0].shape()[0]),
                        x.size() == 1 ? "" : " for '" + names[i] + "'", ", found ", x[i].shape());
}

template <class T>
STRATA_COLD void ModelImpl<T>::name_layers() {
  const auto all = sublayers();
  const auto count = [&](const std::string& name) {
    return std::count_if(all.begin(), all.end(), [&](const auto& layer) { return layer->name() == name; });
  };
  for (const auto& layer : all) {
    if (!layer->name().empty()) {
      require<ConfigError>(count(layer->name()) == 1, this->who(), "two layers are called '", layer->name(),
                           "'");
      continue;
    }
    const std::string base = snake_case(layer->class_name());
    std::string name = base;
    for (int number = 1; count(name) > 0; ++number) name = concat(base, "_", number);
    layer->set_name(name);
  }
}

template <class T>
STRATA_COLD Shape ModelImpl<T>::output_shape(Shapes inputs) const {
  if (graph_.empty() && !sequence_.empty()) {  // called on a symbol, it is built with the model around it
    Shape shape = this->single(inputs);
    for (const auto& layer : sequence_) shape = layer->output_shape({&shape, 1});
    return shape;
  }
  require_built();
  const auto expected = graph_.input_shapes();
  require<ShapeError>(inputs.size() == expected.size(), this->who(), "expected ", expected.size(),
                      " inputs, found ", inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    require<ShapeError>(inputs[i] == expected[i], this->who(), "expected an input of shape ", expected[i],
                        ", found ", inputs[i]);
  require<ShapeError>(graph_.outputs().size() == 1, this->who(),
                      "a model used as a layer has one output, found ", graph_.outputs().size());
  return graph_.nodes()[static_cast<std::size_t>(graph_.outputs()[0])].shape;
}

template <class T>
STRATA_COLD Activation ModelImpl<T>::final_activation() const {
  return graph_.nodes()[static_cast<std::size_t>(graph_.outputs()[0])].layer->final_activation();
}

template <class T>
STRATA_COLD std::vector<LayerPtr<T>> ModelImpl<T>::sublayers() const {
  if (!sequential_) return graph_.layers();
  std::vector<LayerPtr<T>> out;  // a layer that appears twice counts once
  for (const auto& layer : sequence_)
    if (std::find(out.begin(), out.end(), layer) == out.end()) out.push_back(layer);
  return out;
}

template <class T>
STRATA_COLD void ModelImpl<T>::set_trainable(bool trainable) {
  Base::set_trainable(trainable);
  for (const auto& layer : sublayers()) layer->set_trainable(trainable);
}

template <class T>
STRATA_COLD void ModelImpl<T>::move_to(const DevicePtr& device) {
  for (const auto& layer : sublayers()) layer->move_to(device);
}

template <class T>
STRATA_COLD void ModelImpl<T>::set_device(DevicePtr device) {
  move_to(device);
  device_ = std::move(device);
  sessions_ = std::make_shared<Sessions>();
}

template <class T>
STRATA_COLD void ModelImpl<T>::set_policy(Policy policy) {
  policy_ = policy;
  sessions_ = std::make_shared<Sessions>();
  const DevicePtr& device = device_ ? device_ : default_device();
  if (!device->make_backend<T>()->set_policy(policy))
    std::fprintf(stderr, "warning: %s%s has no products in bfloat16; mixed_bfloat16 computes as float32\n",
                 this->who().c_str(), device->description().c_str());
}

template <class T>
STRATA_COLD std::unique_ptr<Session<T>> ModelImpl<T>::make_session(const DevicePtr& device) const {
  auto session = std::make_unique<Session<T>>(device);
  if (policy_) session->backend().set_policy(*policy_);
  return session;
}

namespace detail {
// Layers that share a weight give it once.
template <class T, class Get>
STRATA_COLD std::vector<ParameterPtr<T>> gather(const std::vector<LayerPtr<T>>& layers, Get get) {
  std::vector<ParameterPtr<T>> out;
  for (const auto& layer : layers)
    for (const auto& weight : get(*layer))
      if (std::find(out.begin(), out.end(), weight) == out.end()) out.push_back(weight);
  return out;
}
}  // namespace detail

template <class T>
STRATA_COLD std::vector<ParameterPtr<T>> ModelImpl<T>::weights() const {
  return detail::gather<T>(sublayers(), [](const Base& layer) { return layer.weights(); });
}
template <class T>
STRATA_COLD std::vector<ParameterPtr<T>> ModelImpl<T>::trainable_weights() const {
  if (!this->trainable()) return {};
  return detail::gather<T>(sublayers(), [](const Base& layer) { return layer.trainable_weights(); });
}
template <class T>
STRATA_COLD bool ModelImpl<T>::trains() const {
  const auto& nodes = graph_.nodes();
  return this->trainable() &&
         std::any_of(nodes.begin(), nodes.end(), [](const auto& node) { return node.layer->trains(); });
}

template <class T>
STRATA_COLD bool ModelImpl<T>::repeats(bool training) const {
  const auto& nodes = graph_.nodes();
  return std::all_of(nodes.begin(), nodes.end(),
                     [&](const auto& node) { return node.layer->repeats(training); });
}

template <class T>
STRATA_COLD Json ModelImpl<T>::config() const {
  Json layers = Json::array();
  for (const auto& layer : sequential_ ? sublayers() : graph_.layers()) {
    Json config = Json::object({{"name", layer->name()}, {"trainable", layer->trainable()}});
    const Json options = layer->config();
    for (const auto& [key, value] : options.as_object()) config[key] = value;
    layers.push_back(Json::object({{"class_name", layer->class_name()}, {"config", std::move(config)}}));
  }
  Json out = Json::object({{"seed", concat(seed_)}, {"layers", std::move(layers)}});
  if (sequential_) {
    Json sequence = Json::array();
    for (const auto& layer : sequence_) sequence.push_back(layer->name());
    out["sequence"] = std::move(sequence);
    if (!graph_.empty()) out["input_shape"] = Json::array(graph_.input_shapes()[0]);
    return out;
  }
  Json nodes = Json::array();
  for (const auto& node : graph_.nodes())
    nodes.push_back(Json::object({{"layer", node.layer->name()}, {"inputs", Json::array(node.inputs)}}));
  out["nodes"] = std::move(nodes);
  out["inputs"] = Json::array(graph_.inputs());
  out["outputs"] = Json::array(graph_.outputs());
  return out;
}

template <class T>
STRATA_COLD LayerPtr<T> ModelImpl<T>::copy() const {
  Copies copies;
  return copy(copies);
}

// What is shared, also between this model and models inside it, is copied once.
template <class T>
STRATA_COLD LayerPtr<T> ModelImpl<T>::copy(Copies& copies) const {
  for (const auto& layer : sublayers()) {
    if (copies.contains(layer.get())) continue;
    const auto* model = dynamic_cast<const ModelImpl*>(layer.get());
    const LayerPtr<T> made = model ? model->copy(copies) : layer->copy();
    copies[layer.get()] = made;
  }
  std::shared_ptr<ModelImpl> out;
  if (sequential_) {
    std::vector<LayerPtr<T>> sequence;
    for (const auto& layer : sequence_) sequence.push_back(copies.at(layer.get()));
    out = std::make_shared<ModelImpl>(std::move(sequence), this->name(), seed_);
    if (!graph_.empty()) out->build_root(graph_.input_shapes());
  } else {
    std::vector<typename Graph<T>::Node> nodes = graph_.nodes();
    for (auto& node : nodes) node.layer = copies.at(node.layer.get());
    out = std::make_shared<ModelImpl>(Graph<T>(std::move(nodes), graph_.inputs(), graph_.outputs()),
                                      this->name(), seed_);
  }
  out->policy_ = policy_;
  // Not set_trainable: each layer has its own flag already.
  static_cast<Base&>(*out).Base::set_trainable(this->trainable());
  return out;
}

template <class T>
STRATA_COLD std::shared_ptr<Session<T>> ModelImpl<T>::session() const {
  require_built();
  const auto sessions = sessions_;
  std::unique_ptr<Session<T>> session;
  {
    const std::lock_guard lock(sessions->mutex);
    if (!sessions->idle.empty()) {
      session = std::move(sessions->idle.back());
      sessions->idle.pop_back();
    }
  }
  if (!session) session = make_session(device_);
  return {session.release(), [sessions](Session<T>* used) {
            std::unique_ptr<Session<T>> idle(used);
            const std::lock_guard lock(sessions->mutex);
            try {
              sessions->idle.push_back(std::move(idle));
            } catch (...) {  // no room to remember it: it is freed
            }
          }};
}

template <class T>
STRATA_COLD void ModelImpl<T>::predict(const std::vector<TensorView<const T>>& x,
                                       const std::vector<TensorView<T>>& y, Session<T>& session) const {
  require_inputs(x);
  BasicContext<T>& context = session.begin({.seed = seed_});
  if (device_->host_accessible()) return graph_.forward(x, y, context);
  std::vector<Scratch<T>> results;
  std::vector<TensorView<T>> on_device;
  for (const TensorView<T>& to : y)
    on_device.push_back(results.emplace_back(session.scratch(to.shape())).view());
  graph_.forward(x, on_device, context);
  for (std::size_t k = 0; k < y.size(); ++k)
    session.backend().download(y[k].data(), on_device[k].data(),
                               static_cast<std::size_t>(y[k].size()) * sizeof(T));
}

template <class T>
STRATA_COLD void ModelImpl<T>::release_memory() const {
  const std::lock_guard lock(sessions_->mutex);
  sessions_->idle.clear();
}

template <class T>
STRATA_COLD BasicNetwork<T>::BasicNetwork(BasicModelOptions<T> options)
    : BasicLayer<T>(std::make_shared<ModelImpl<T>>(Graph<T>(options.inputs, options.outputs),
                                                   options.name.empty() ? "functional" : options.name,
                                                   options.seed)) {}

template <class T>
STRATA_COLD BasicNetwork<T> BasicNetwork<T>::clone() const {
  BasicNetwork out(std::static_pointer_cast<ModelImpl<T>>(model().copy()));
  if (!model().graph().empty()) {
    out.model().set_device(device());
    out.set_weights(this->get_weights());
  }
  return out;
}

template <class T>
STRATA_COLD std::vector<BasicLayer<T>> BasicNetwork<T>::layers() const {
  const auto impls = model().sublayers();
  return {impls.begin(), impls.end()};
}

template <class T>
STRATA_COLD BasicLayer<T> BasicNetwork<T>::layer(const std::string& name) const {
  std::string names;
  for (const auto& layer : layers()) {
    if (layer.name() == name) return layer;
    names += (names.empty() ? "" : ", ") + layer.name();
  }
  throw ConfigError(concat(model().who(), "there is no layer '", name, "'; the layers are ", names));
}

template <class T>
STRATA_COLD void BasicNetwork<T>::trainable_from(const std::string& name) {
  const BasicLayer<T> first = layer(name);
  bool trainable = false;
  for (BasicLayer<T> layer : layers()) {
    trainable = trainable || layer == first;
    layer.set_trainable(trainable);
  }
  static_cast<BasicLayerImpl<T>&>(model()).BasicLayerImpl<T>::set_trainable(true);
}

template <class T>
STRATA_COLD Shape BasicNetwork<T>::output_shape() const {
  model().require_built();
  return model().output_shape(model().graph().input_shapes());
}

template <class T>
STRATA_COLD void BasicNetwork<T>::build(const Shape& shape) {
  const Shape shapes[] = {shape};
  model().build_root(shapes);
}

template <class T>
STRATA_COLD BasicNetwork<T>& BasicNetwork<T>::to(const DevicePtr& device) {
  require<DeviceError>(device != nullptr, "[model] expected a device, found null");
  (void)device->make_backend<T>();  // throws here rather than in the middle of a run
  model().set_device(device);
  return *this;
}

template <class T>
STRATA_COLD BasicNetwork<T>& BasicNetwork<T>::set_policy(std::string_view name) {
  model().set_policy(policy(name));
  return *this;
}

template <class T>
STRATA_COLD std::string BasicNetwork<T>::summary_text() const {
  return detail::summary_text(*this);
}
template <class T>
STRATA_COLD void BasicNetwork<T>::summary() const {
  std::fputs(summary_text().c_str(), stdout);
}

template <class T>
STRATA_COLD std::vector<Tensor<T>> BasicNetwork<T>::predict(const std::vector<Tensor<T>>& x,
                                                            std::int64_t batch_size) const {
  std::vector<Tensor<T>> on_host;
  on_host.reserve(x.size());  // views stay where they are
  std::vector<TensorView<const T>> inputs;
  for (const Tensor<T>& input : x) {
    if (input.device()) on_host.push_back(input.to(nullptr));
    inputs.push_back(input.device() ? on_host.back().view() : input.view());
  }
  return predict_on_host(inputs, batch_size);
}
template <class T>
STRATA_COLD Tensor<T> BasicNetwork<T>::predict(const Tensor<T>& x, std::int64_t batch_size) const {
  if (x.device()) return predict(x.to(nullptr), batch_size);
  return std::move(predict_on_host({x.view()}, batch_size).at(0));
}
template <class T>
STRATA_COLD std::vector<Tensor<T>> BasicNetwork<T>::predict_on_host(const std::vector<TensorView<const T>>& x,
                                                                    std::int64_t batch_size) const {
  require<ConfigError>(batch_size > 0, model().who(), "expected a batch_size of at least 1, found ",
                       batch_size);
  require<ShapeError>(!x.empty() && x[0].shape().rank() > 0, model().who(),
                      "expected inputs with a batch axis");
  const Shape shapes[] = {x[0].shape().without_batch()};
  model().build_once(shapes);
  const Graph<T>& graph = model().graph();
  model().require_inputs(x);
  const std::int64_t count = x[0].shape()[0];

  std::vector<Tensor<T>> results;
  for (const int output : graph.outputs())
    results.push_back(
        Tensor<T>::uninitialized(graph.nodes()[static_cast<std::size_t>(output)].shape.with_batch(count)));
  const auto session = model().session();
  try {
    for (std::int64_t begin = 0; begin < count; begin += batch_size) {
      const std::int64_t end = std::min(count, begin + batch_size);
      // Host devices read and write the user's tensors in place.
      const bool host = device()->host_accessible();
      std::vector<Tensor<T>> in, out;
      std::vector<TensorView<const T>> in_views;
      std::vector<TensorView<T>> out_views;
      for (const auto& input : x) {
        const auto slice = input.slice(begin, end);
        if (!host)
          in.push_back(Tensor<T>(slice.shape(),
                                 std::span<const T>(slice.data(), static_cast<std::size_t>(slice.size())))
                           .to(device()));
        in_views.push_back(host ? slice : in.back().view());
      }
      for (auto& result : results) {
        const auto slice = result.slice(begin, end);
        if (!host) out.push_back(Tensor<T>::uninitialized(slice.shape(), device()));
        out_views.push_back(host ? slice : out.back().view());
      }
      graph.forward(in_views, out_views, session->begin({.seed = model().seed()}));
      for (std::size_t i = 0; i < out.size(); ++i)
        session->backend().download(results[i].slice(begin, end).data(), out[i].data(), out[i].bytes());
    }
  } catch (const OutOfMemoryError&) {
    detail::rethrow_with_plan(model(), {.batch_size = std::min(count, batch_size)});
  }
  return results;
}

#if !STRATA_HEADER_ONLY
template class ModelImpl<float>;
template class ModelImpl<double>;
template class BasicNetwork<float>;
template class BasicNetwork<double>;
#endif

}}  // namespace strata::STRATA_ABI
