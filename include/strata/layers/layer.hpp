#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <strata/layers/config.hpp>
#include <strata/layers/context.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class T>
class BasicSymbol;
template <class T>
class Graph;

/// What a layer is given: its inputs, where the gradients of the loss with respect to them go (null data: not
/// wanted), and shapes without the batch axis.
template <class T>
using Inputs = std::span<const TensorView<const T>>;
template <class T>
using InputGradients = std::span<const TensorView<T>>;
using Shapes = std::span<const Shape>;

/// What a call of `forward` costs, for `model.plan`.
struct LayerCost {
  /// 2 x multiply-adds of convolutions and dense products, which the gradient of the input and that of the
  /// weights cost again, each.
  std::int64_t flops = 0;
  std::int64_t saved = 0;             ///< elements that it keeps in `context.saved`
  std::int64_t scratch = 0;           ///< elements that it has from `context.scratch` at a time
  std::int64_t backward_scratch = 0;  ///< and those that `backward` alone has
  Algorithm algorithm = {};
};

/// Where and how the weights of a layer come to life.
struct BuildOptions {
  std::uint64_t seed = 0;
  std::string path;  ///< of the layer in its model, "vgg16/block1_conv1"
  DevicePtr device;
  /// Where given, the values come from elsewhere and are not initialised: called with path and shape of each
  /// weight before there is memory for it, throws WeightError for one that is not expected.
  using Expect = std::function<void(const std::string& weight, const Shape& shape)>;
  Expect expect = {};
};

/// What a layer does. Derive from `LayerBase` below to write one; use it through a `Layer` handle.
///
/// Shapes here have no batch axis; tensors do. A layer holds weights, never activations.
template <class T>
class BasicLayerImpl {
 public:
  using Scalar = T;
  using View = TensorView<const T>;
  using Inputs = std::span<const View>;
  using Output = TensorView<T>;
  using InputGradients = std::span<const TensorView<T>>;  // null data: not wanted
  using Shapes = std::span<const Shape>;
  using Context = BasicContext<T>;
  using Parameters = std::vector<ParameterPtr<T>>;

  virtual ~BasicLayerImpl() = default;
  BasicLayerImpl& operator=(const BasicLayerImpl&) = delete;

  /// Keras's class name, "Conv2D".
  virtual std::string class_name() const = 0;
  /// Options as Keras's `get_config` gives them, without name and trainable.
  virtual Json config() const = 0;
  /// A new, unbuilt layer with the same options.
  virtual std::shared_ptr<BasicLayerImpl> copy() const = 0;

  /// Shape of the result. Throws ShapeError for inputs the layer cannot take.
  virtual Shape output_shape(Shapes inputs) const = 0;
  /// Creates the weights with `add_weight`. Called once.
  virtual void build(Shapes inputs) { (void)inputs; }
  /// y is allocated and is written whole.
  virtual void forward(Inputs x, Output y, Context& context) const = 0;
  /// Gradients with respect to inputs (each written whole where its data is not null) and, through
  /// `context.gradient`, weights. x and y are those of the forward call; `dy` is d(loss)/d(y), and the caller
  /// has taken it through the `final_activation` already.
  virtual void backward(Inputs x, View y, View dy, InputGradients dx, Context& context) const = 0;

  /// `backward` of one input can add to its gradient instead of writing it: `context.adds_input_gradient()`.
  virtual bool adds_input_gradient() const { return false; }
  /// `backward` of one input can take its gradient through the activation that gave the input, where the
  /// derivative of that follows from its result, element by element: `context.activation_in_front()`.
  virtual bool goes_through_activation() const { return false; }
  /// What `forward` would cost with this context and inputs of these shapes, here with the batch axis.
  virtual LayerCost cost(Shapes inputs, const Context& context) const {
    return (void)inputs, (void)context, LayerCost{};
  }

  /// The output is the input under another shape: nothing to compute, nothing to copy.
  virtual bool passes_through(bool training) const { return (void)training, false; }
  /// What `forward` applies last, as `context.epilogue(final_activation())` tells it; its derivative is no
  /// business of `backward`.
  virtual Activation final_activation() const { return Activation::linear; }
  /// The layer is its final activation and nothing else.
  virtual bool is_activation() const { return false; }
  /// Whether `forward` can do the work of `next`, the only reader of its result, on the way out: it is then
  /// in `epilogue`, which holds what the layer does last already, and in the one that the context gives. y is
  /// the shape that `next` would read.
  virtual bool absorb(const BasicLayerImpl& next, const Shape& y, Epilogue<T>& epilogue,
                      bool training) const {
    return (void)next, (void)y, (void)epilogue, (void)training, false;
  }
  /// Adds the layer's work on an input of shape x to what the one in front does last. False where that is not
  /// possible, outside the backward pass, behind what is there. Of a layer of two inputs, the other is the
  /// residual already.
  virtual bool append_to(const Shape& x, Epilogue<T>& epilogue, bool training) const {
    return (void)x, (void)epilogue, (void)training, false;
  }
  /// Whether `backward` goes through the pooling that the context's epilogue has, too: y and dy are then the
  /// pooled ones.
  virtual bool backward_through_pooling(Shapes inputs, const Context& context) const {
    return (void)inputs, (void)context, false;
  }
  /// Whether `forward` can read its input, or leave its result, in bfloat16, as the context's epilogue has
  /// it.
  virtual bool takes_narrow(Shapes inputs, const Context& context) const {
    return (void)inputs, (void)context, false;
  }
  /// Where `append_to` set a scale, to memory that only stands for it: sets scale and bias of a call whose
  /// own bias (may be null) is `bias`.
  virtual void fold(const BasicParameter<T>* bias, Context& context, Epilogue<T>& epilogue) const {
    (void)bias, (void)context, (void)epilogue;
  }

  /// What becomes of a sample depends on it and the weights alone, in training too where `training`: while
  /// nothing changes them, `fit` may compute it once. A layer that draws or looks at other samples is not so.
  virtual bool repeats(bool training) const { return (void)training, false; }

  /// The graph that `forward` computes and nothing else, where the layer is a model.
  virtual const Graph<T>* inner_graph() const { return nullptr; }
  /// Layers inside this one; a model has some.
  virtual std::vector<std::shared_ptr<BasicLayerImpl>> sublayers() const { return {}; }
  virtual void set_trainable(bool trainable) { trainable_ = trainable; }
  virtual void move_to(const DevicePtr& device) {
    for (const auto& parameter : parameters_) parameter->move_to(device);
  }
  /// All weights in Keras's order, trained or not.
  virtual Parameters weights() const { return parameters_; }
  /// The weights that training changes, given what is frozen now.
  virtual Parameters trainable_weights() const {
    Parameters out;
    if (trainable_)
      for (const auto& parameter : parameters_)
        if (parameter->trainable()) out.push_back(parameter);
    return out;
  }
  /// There are such weights.
  virtual bool trains() const { return !trainable_weights().empty(); }

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  bool trainable() const { return trainable_; }
  bool built() const { return built_; }

  /// Builds the layer unless it is built. Throws ShapeError where it was built for other inputs.
  STRATA_COLD void ensure_built(Shapes inputs, const BuildOptions& options) {
    if (built_) {
      bool same = inputs.size() == built_for_.size();
      for (std::size_t i = 0; same && i < inputs.size(); ++i) same = accepts(built_for_[i], inputs[i]);
      require<ShapeError>(same, who(), "was built for inputs of shape ", list(built_for_), ", found ",
                          list(inputs));
      return;
    }
    build_options_ = &options;
    parameters_.clear();  // of a build that failed
    build(inputs);
    build_options_ = nullptr;
    built_ = true;
    built_for_.assign(inputs.begin(), inputs.end());
  }

  /// "[conv2d] layer 'block1_conv1': ", the opening of its error messages.
  std::string who() const;

 protected:
  explicit BasicLayerImpl(std::string name = "") : name_(std::move(name)) {}
  BasicLayerImpl(const BasicLayerImpl&) = default;

  /// A new weight, initialised from the model's seed and the weight's path.
  STRATA_COLD ParameterPtr<T> add_weight(const std::string& name, const Shape& shape,
                                         const Initializer& initializer, const Regularizer& regularizer = {},
                                         bool trainable = true) {
    const std::string path = build_options_->path + "/" + name;
    if (build_options_->expect) build_options_->expect(path, shape);
    Tensor<T> value;
    try {
      value = Tensor<T>::uninitialized(shape, build_options_->expect ? build_options_->device : nullptr);
      if (!build_options_->expect) {
        initialize(initializer, shape,
                   RandomStream(build_options_->seed, Purpose::initializer, hash_name(path)), value.values());
        value = value.to(build_options_->device);
      }
    } catch (const DeviceError&) {
      detail::rethrow_device_error(concat(who(), "weight '", name, "': "));
    }
    parameters_.push_back(
        std::make_shared<BasicParameter<T>>(name, std::move(value), trainable, regularizer));
    return parameters_.back();
  }
  const BuildOptions& build_options() const { return *build_options_; }

  /// Throws ShapeError unless there is exactly one input, and returns its shape.
  const Shape& single(Shapes inputs) const {
    require<ShapeError>(inputs.size() == 1, who(), "expected one input, found ", inputs.size());
    return inputs[0];
  }

 private:
  // The channels decide the weights of convolutions; only they must stay, unless the layer says more in
  // output_shape.
  STRATA_COLD static bool accepts(const Shape& built, const Shape& now) {
    return built.rank() == now.rank() && (now.rank() == 0 || built.back() == now.back());
  }
  STRATA_COLD static std::string list(Shapes shapes) {
    std::string out;
    for (const Shape& shape : shapes) out += (out.empty() ? "" : ", ") + shape.to_string();
    return out;
  }

  std::string name_;
  bool trainable_ = true;
  bool built_ = false;
  std::vector<Shape> built_for_;
  Parameters parameters_;
  const BuildOptions* build_options_ = nullptr;
};
using LayerImpl = BasicLayerImpl<float>;

template <class T>
using LayerPtr = std::shared_ptr<BasicLayerImpl<T>>;

/// Keras's automatic name of a class: "MaxPooling2D" gives "max_pooling2d".
inline std::string snake_case(std::string_view name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (i && upper(name[i]) && (lower(name[i - 1]) || (i + 1 < name.size() && lower(name[i + 1]))))
      out += '_';
    out += upper(name[i]) ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
  }
  return out;
}

template <class T>
STRATA_COLD std::string BasicLayerImpl<T>::who() const {
  return concat("[", snake_case(class_name()), "] ", name_.empty() ? "" : "layer '" + name_ + "': ");
}

namespace detail {
/// Elements that hold a byte for every maximum of a pooling.
template <class T>
constexpr std::int64_t argmax_elements(const Pool2DGeometry& g) {
  constexpr std::int64_t size = sizeof(T);
  return (g.batch * g.out_h * g.out_w * g.channels + size - 1) / size;
}
/// These bytes, kept from forward to backward.
template <class T>
std::uint8_t* saved_argmax(const Pool2DGeometry& g, BasicContext<T>& context) {
  return reinterpret_cast<std::uint8_t*>(context.saved(0, {argmax_elements<T>(g)}).data());
}

// Of the options alone, so that layers in float and in double share them.
template <class Options>
STRATA_COLD Json options_to_json(Options options) {
  ConfigWriter writer;
  options.fields(writer);
  return writer.take();
}
template <class Options>
STRATA_COLD Options options_from_json(const Json& config, const char* type, bool& trainable) {
  Options options;
  options.name = config.get("name", "");
  ConfigReader reader(config, concat("[", snake_case(type), "] layer '", options.name, "': "));
  std::string name;
  reader("name", name);
  reader("trainable", trainable);
  options.fields(reader);
  reader.finish();
  return options;
}
}  // namespace detail

/// What most layers derive from: `Derived` has `static constexpr const char* type = "Dense"` and a
/// constructor from `Options`, an aggregate with `std::string name` and `fields` (see ConfigWriter).
template <class Derived, class T, class OptionsType>
class LayerBase : public BasicLayerImpl<T> {
 public:
  using Options = OptionsType;

  std::string class_name() const override { return Derived::type; }
  Json config() const override { return detail::options_to_json(options_); }
  STRATA_COLD LayerPtr<T> copy() const override {
    auto out = std::make_shared<Derived>(options_);
    out->set_name(this->name());
    out->set_trainable(this->trainable());
    return out;
  }
  /// The layer that `config` describes. Throws DataError for options that do not exist or have a wrong type.
  STRATA_COLD static LayerPtr<T> from_config(const Json& config) {
    bool trainable = true;
    auto layer =
        std::make_shared<Derived>(detail::options_from_json<Options>(config, Derived::type, trainable));
    layer->set_trainable(trainable);
    return layer;
  }

 protected:
  explicit LayerBase(Options options) : BasicLayerImpl<T>(options.name), options_(std::move(options)) {}
  const Options& options() const { return options_; }

 private:
  Options options_;
};

/// A shared handle to a layer: copies are the same layer with the same weights; `clone` is deep.
template <class T>
class BasicLayer {
 public:
  BasicLayer() = default;
  BasicLayer(LayerPtr<T> impl) : impl_(std::move(impl)) {}

  const std::string& name() const { return made().name(); }
  std::string class_name() const { return made().class_name(); }
  bool trainable() const { return made().trainable(); }
  /// Freezes or unfreezes the layer and everything in it, with effect from the next training step.
  void set_trainable(bool trainable) { made().set_trainable(trainable); }
  std::vector<ParameterPtr<T>> weights() const { return made().weights(); }
  std::vector<ParameterPtr<T>> trainable_weights() const { return made().trainable_weights(); }
  std::vector<ParameterPtr<T>> non_trainable_weights() const {
    auto out = weights();
    for (const auto& trained : trainable_weights()) std::erase(out, trained);
    return out;
  }
  /// Number of numbers in all weights.
  std::int64_t count_params() const {
    std::int64_t count = 0;
    for (const auto& weight : weights()) count += weight->shape().size();
    return count;
  }

  /// Copies of all weights on the host, in Keras's order.
  std::vector<Tensor<T>> get_weights() const {
    std::vector<Tensor<T>> out;
    for (const auto& weight : weights()) out.push_back(weight->value().to(nullptr));
    return out;
  }
  /// Throws WeightError, and changes nothing, unless every shape fits.
  void set_weights(const std::vector<Tensor<T>>& values) {
    const auto mine = weights();
    require<WeightError>(mine.size() == values.size(), made().who(), "expected ", mine.size(),
                         " weights, found ", values.size());
    for (std::size_t i = 0; i < mine.size(); ++i)
      require<WeightError>(mine[i]->shape() == values[i].shape(), made().who(), "weight '", mine[i]->name(),
                           "' has shape ", mine[i]->shape(), ", found ", values[i].shape());
    for (std::size_t i = 0; i < mine.size(); ++i) mine[i]->mutate() = values[i].to(mine[i]->value().device());
  }

  /// Calls the layer on a symbolic tensor: the functional API.
  BasicSymbol<T> operator()(const BasicSymbol<T>& input) const;
  BasicSymbol<T> operator()(std::initializer_list<BasicSymbol<T>> inputs) const {
    return (*this)(std::vector<BasicSymbol<T>>(inputs));
  }
  BasicSymbol<T> operator()(const std::vector<BasicSymbol<T>>& inputs) const;

  explicit operator bool() const { return impl_ != nullptr; }
  const LayerPtr<T>& impl() const { return impl_; }
  friend bool operator==(const BasicLayer&, const BasicLayer&) = default;

 protected:
  /// Throws ConfigError for a layer or model that was never made, or was moved from.
  BasicLayerImpl<T>& made() const {
    require<ConfigError>(impl_ != nullptr, "[layer] this layer was never made, or was moved from");
    return *impl_;
  }

  LayerPtr<T> impl_;
};
using Layer = BasicLayer<float>;

/// Handle of one kind of layer: `Conv2D({.filters = 64, .kernel_size = 3})`. One plain argument stands for
/// the first option: `Dropout(0.5)`.
template <class Impl>
class LayerHandle : public BasicLayer<typename Impl::Scalar> {
 public:
  using Options = typename Impl::Options;
  explicit LayerHandle(Options options = {})
      : BasicLayer<typename Impl::Scalar>(std::make_shared<Impl>(std::move(options))) {}
  template <class First>
  requires(!std::is_base_of_v<LayerHandle, std::remove_cvref_t<First>> &&
           !std::is_same_v<std::remove_cvref_t<First>, Options> &&
           requires(First first) { Options{static_cast<First>(first)}; }) explicit LayerHandle(First first)
      : LayerHandle(Options{first}) {}
  /// A whole number where the first option is a real one: `Dropout(1)`.
  template <std::integral First>
  requires(
      !requires(First first) { Options{static_cast<First>(first)}; } &&
      requires { Options{double()}; }) explicit LayerHandle(First first)
      : LayerHandle(Options{static_cast<double>(first)}) {}
};

/// A symbolic tensor: the result of a call in the functional API.
template <class T>
class BasicSymbol {
 public:
  struct Node {
    LayerPtr<T> layer;
    std::vector<BasicSymbol> inputs;
    Shape shape;
  };
  BasicSymbol() = default;
  explicit BasicSymbol(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

  /// Without the batch axis.
  const Shape& shape() const { return node().shape; }
  /// Throws ConfigError for a tensor that was never made.
  const Node& node() const {
    require<ConfigError>(node_ != nullptr, "[symbol] this symbolic tensor was never made");
    return *node_;
  }
  explicit operator bool() const { return node_ != nullptr; }
  friend bool operator==(const BasicSymbol&, const BasicSymbol&) = default;

 private:
  std::shared_ptr<const Node> node_;
};
using Symbol = BasicSymbol<float>;

template <class T>
BasicSymbol<T> BasicLayer<T>::operator()(const BasicSymbol<T>& input) const {
  return (*this)({input});
}
template <class T>
BasicSymbol<T> BasicLayer<T>::operator()(const std::vector<BasicSymbol<T>>& inputs) const {
  std::vector<Shape> shapes;
  for (const BasicSymbol<T>& input : inputs) {
    require<ConfigError>(static_cast<bool>(input), made().who(),
                         "called on a symbolic tensor that was never made");
    shapes.push_back(input.shape());
  }
  const Shape shape = made().output_shape(shapes);
  return BasicSymbol<T>(std::make_shared<const typename BasicSymbol<T>::Node>(
      typename BasicSymbol<T>::Node{impl_, inputs, shape}));
}

}}  // namespace strata::STRATA_ABI
