#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <strata/layers/parameter.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
/// The smallest of the free buffers that is large enough, unless it is more than twice too large and would
/// only be missing elsewhere.
template <class Buffers, class Capacity>
auto best_fit(Buffers& free, std::int64_t size, Capacity capacity) {
  auto best = free.end();
  for (auto it = free.begin(); it != free.end(); ++it)
    if (capacity(*it) >= size && (best == free.end() || capacity(*it) < capacity(*best))) best = it;
  return best == free.end() || capacity(*best) > 2 * size + 1024 ? free.end() : best;
}
}  // namespace detail

/// Buffers that come and go during a run and are kept for the next one.
template <class T>
class BufferPool {
 public:
  explicit BufferPool(DevicePtr device) : device_(std::move(device)) {}

  /// A run begins: buffers that the last few did not use go back to the device.
  void begin_run() {
    constexpr std::uint64_t few = 4;
    std::erase_if(free_, [this](const Free& free) { return free.last_run + few <= run_; });
    ++run_;
  }
  /// A tensor of `shape` with unspecified values: a free one that fits, else a new one. Throws DeviceError
  /// when there is no memory left.
  Tensor<T> take(const Shape& shape) {
    const auto best =
        detail::best_fit(free_, shape.size(), [](const Free& free) { return free.tensor.capacity(); });
    if (best == free_.end()) return Tensor<T>::uninitialized(shape, device_);
    Tensor<T> out = std::move(best->tensor);
    free_.erase(best);
    out.reinterpret(shape);
    return out;
  }
  void give(Tensor<T>&& tensor) noexcept {
    if (tensor.empty()) return;
    try {
      free_.push_back({std::move(tensor), run_});
    } catch (...) {  // no room to remember it: it is freed
    }
  }

 private:
  struct Free {
    Tensor<T> tensor;
    std::uint64_t last_run;  // that used it
  };
  DevicePtr device_;
  std::uint64_t run_ = 0;
  std::vector<Free> free_;
};

/// Memory from a pool that goes back when this dies.
template <class T>
class Scratch {
 public:
  Scratch(BufferPool<T>& pool, const Shape& shape) : pool_(&pool), tensor_(pool.take(shape)) {}
  Scratch(Scratch&&) noexcept = default;
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    if (!tensor_.empty()) pool_->give(std::move(tensor_));
  }

  T* data() const { return tensor_.data(); }
  const Shape& shape() const { return tensor_.shape(); }
  /// The memory itself, which no longer goes back by itself.
  Tensor<T> take() { return std::move(tensor_); }
  TensorView<T> view() const { return {tensor_.data(), tensor_.shape()}; }

 private:
  BufferPool<T>* pool_;
  mutable Tensor<T> tensor_;  // a const Scratch is memory to write to, as a const pointer is
};

/// Where the gradients of one training step are collected.
template <class T>
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  /// Room for the gradient of `parameter`, or null data where it is not trained.
  virtual Gradient<T> gradient(const BasicParameter<T>& parameter) = 0;
};

template <class T>
class BasicLayerImpl;

/// Sees what each layer of a run computes, as soon as it is computed and before others read it; may write to
/// it. `path` is the layer's name in the model, "vgg16/block1_conv1"; "dense#1" is the second call of one
/// layer. Memory is the device's. A model inside a model comes after its layers.
template <class T>
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  /// y is the result, with the work of the layers that this one absorbed. Those, inputs, and layers that pass
  /// their input through, compute nothing and are not seen.
  virtual void after_forward(const std::string& path, const BasicLayerImpl<T>& layer, TensorView<T> y) = 0;
  /// dx are what the call adds to the gradients of its inputs; null data where it is not wanted.
  virtual void after_backward(const std::string& path, const BasicLayerImpl<T>& layer,
                              std::span<const TensorView<T>> dx) = 0;
};

/// What kind of run it is.
struct RunMode {
  std::int64_t batch_size = 0;
  bool training = false;                    ///< random layers are random and batch statistics are used
  bool recording = false;                   ///< a backward pass follows
  bool input_gradient = false;              ///< which gives gradients of the inputs too
  std::uint64_t linear_output = 0;          ///< bit k: the last activation of output k is left out
  bool add_gradient = false;                ///< of the input, to what is there
  bool trains = false;                      ///< a weight of the layer does, and changes before the next run
  bool observed = false;                    ///< layers are seen one by one, and alike on every device
  Activation through = Activation::linear;  ///< gave the input; the input's gradient is to go through it
  bool leaves_linear(int output) const { return output < 64 && (linear_output >> output & 1) != 0; }
  friend constexpr bool operator==(const RunMode&, const RunMode&) = default;
};

/// A result that a run is given: the nodes of its model's graph up to this one are not computed.
template <class T>
struct GivenResult {
  std::span<const int> path = {};  ///< a node, or a model's and one within it, and so on; empty: none
  TensorView<const T> value = {};
};

/// What all layers of one run share.
template <class T>
struct Run {
  DevicePtr device;
  Backend<T>* backend = nullptr;
  BufferPool<T>* buffers = nullptr;
  GradientSink<T>* gradients = nullptr;
  RunObserver<T>* observer = nullptr;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::int64_t plans = 0;  ///< made so far, of models inside the model too
};

/// What one call of one layer knows and keeps: the kind of run, its random numbers, and what its backward
/// pass needs. Layers themselves keep nothing, so one layer may appear twice in a graph and serve several
/// threads.
template <class T>
class BasicContext {
 public:
  BasicContext() = default;

  /// Random layers are random and batch statistics are used.
  bool training() const { return mode_.training; }
  /// A backward pass through this call follows.
  bool recording() const { return mode_.recording; }
  /// The backward pass is to leave the gradient of an input.
  bool input_gradient() const { return mode_.input_gradient; }
  /// The gradient of the input is to be added to what is there (only asked of layers that can).
  bool adds_input_gradient() const { return mode_.add_gradient; }
  /// The gradient of the input is to be taken through this, which gave the input (only asked of layers that
  /// can).
  const Activation& activation_in_front() const { return mode_.through; }
  /// What the call does last: its final activation, unless the run leaves that out, and what the layer
  /// absorbed.
  Epilogue<T> epilogue(const Activation& final_activation) const {
    Epilogue<T> out = absorbed_;
    if (final_activation != Activation::linear) out.activation = final_activation;
    if (mode_.linear_output) out.activation = Activation::linear;
    return out;
  }

  /// The same with the layer's bias (may be null), and with the values of a scale that it absorbed.
  Epilogue<T> epilogue(const Activation& final_activation, const BasicParameter<T>* bias) {
    Epilogue<T> out = epilogue(final_activation);
    if (bias) out.bias = bias->value().data();
    if (scaled_by_) scaled_by_->fold(bias, *this, out);
    return out;
  }

  const DevicePtr& device() const { return run_->device; }
  Backend<T>& backend() const { return *run_->backend; }
  BufferPool<T>& buffers() const { return *run_->buffers; }
  const Run<T>& run() const { return *run_; }

  /// The random numbers of this call in this step, for any thread and device the same.
  RandomStream random() const { return {run_->seed, Purpose::layer, path_, run_->step}; }
  /// The same by a seed of the layer's own, whatever the model and the layer's place in it.
  RandomStream random(std::uint64_t seed) const { return {seed, Purpose::layer, call_, run_->step}; }

  /// Memory with unspecified values until the result dies.
  Scratch<T> scratch(const Shape& shape) const { return {buffers(), shape}; }

  /// Tensor number `slot`, kept from forward to backward.
  Tensor<T>& saved(std::size_t slot, const Shape& shape) {
    while (saved_.size() <= slot) saved_.push_back(std::make_unique<Tensor<T>>());
    Tensor<T>& tensor = *saved_[slot];
    if (tensor.shape() != shape) tensor = Tensor<T>::uninitialized(shape, device());
    return tensor;
  }

  /// What the call derives from weights, kept until `version` or `shape` changes and then written anew by
  /// `make(memory)`.
  template <class Make>
  T* derived(std::uint64_t version, const Shape& shape, Make make) {
    if (derived_version_ == version && derived_.shape() == shape) return derived_.data();
    derived_version_ = 0;
    if (derived_.shape() != shape) derived_ = Tensor<T>::uninitialized(shape, device());
    make(derived_.data());
    derived_version_ = version;
    return derived_.data();
  }

  /// A weight of the layer as an operation of this run sees it.
  WeightView<T> view(const BasicParameter<T>& parameter) const {
    WeightView<T> out = parameter.view();
    out.changes = mode_.trains;
    return out;
  }
  /// Where the gradient of a weight goes. `data` is null where nobody wants it.
  Gradient<T> gradient(const BasicParameter<T>& parameter) const {
    return run_->gradients ? run_->gradients->gradient(parameter) : Gradient<T>{};
  }

 private:
  template <class>
  friend class Graph;
  template <class>
  friend class Session;

  Run<T>* run_ = nullptr;
  std::uint64_t path_ = 0, call_ = 0;
  std::string name_;  // the path as a RunObserver is told it
  RunMode mode_;
  Epilogue<T> absorbed_;
  const BasicLayerImpl<T>* scaled_by_ = nullptr;  // the layer whose `fold` gives that its scale
  Tensor<T> derived_;
  std::uint64_t derived_version_ = 0;
  std::vector<std::unique_ptr<Tensor<T>>> saved_;
  GivenResult<T> given_;         // of a model
  std::shared_ptr<void> graph_;  // what a model keeps here: the contexts and values of its nodes
};
using Context = BasicContext<float>;

}}  // namespace strata::STRATA_ABI
