#include "support/gradient_check.hpp"

#include <cmath>
#include <map>

#include <catch2/catch.hpp>

#include <strata/layers/registry.hpp>
#include <strata/training/fit.hpp>

#include "support/reference/reference.hpp"

namespace strata_test {

using namespace strata;

Tensor<double> random_tensor(const Shape& shape, std::uint64_t path, double low, double high) {
  const RandomStream stream(99, Purpose::user, path, hash_name(shape.to_string()));
  Tensor<double> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out.data()[i] = low + (high - low) * stream.uniform_double(static_cast<std::uint64_t>(i));
  return out;
}

namespace {

using Weights = std::vector<ParameterPtr<double>>;

/// Gradients of the weights in `wanted`, and of no other.
class Gradients final : public GradientSink<double> {
 public:
  explicit Gradients(const Weights& wanted) {
    for (const auto& weight : wanted)
      entries_[weight.get()].values = Tensor<double>(weight->shape(), weight->value().device());
  }
  Gradient<double> gradient(const BasicParameter<double>& weight) override {
    const auto found = entries_.find(&weight);
    if (found == entries_.end()) return {};
    return {found->second.values.data(), std::exchange(found->second.written, true)};
  }
  Tensor<double> of(const ParameterPtr<double>& weight) const {
    return entries_.at(weight.get()).values.to(nullptr);
  }
  bool written(const ParameterPtr<double>& weight) const { return entries_.at(weight.get()).written; }

 private:
  struct Entry {
    Tensor<double> values;
    bool written = false;
  };
  std::map<const void*, Entry> entries_;
};

/// Compares `gradient` with (f(+step) - f(-step)) / (2 step) for up to 40 elements of `values`.
template <class Evaluate, class Assign>
void compare(const std::string& what, const Tensor<double>& values, const Tensor<double>& gradient,
             double tolerance, Evaluate evaluate, Assign assign) {
  constexpr double step = 1e-5;
  REQUIRE(gradient.shape() == values.shape());
  double largest = 1e-3;
  for (const double g : gradient.values()) largest = std::max(largest, std::fabs(g));
  const std::int64_t stride = std::max<std::int64_t>(1, values.size() / 40);
  for (std::int64_t i = 0; i < values.size(); i += stride) {
    Tensor<double> moved = values;
    moved.data()[i] = values.data()[i] + step;
    assign(moved);
    const double above = evaluate();
    moved.data()[i] = values.data()[i] - step;
    assign(moved);
    const double below = evaluate();
    const double expected = (above - below) / (2 * step);
    INFO(what << ", element " << i << ": " << gradient.data()[i] << ", by differences " << expected);
    CHECK(std::fabs(gradient.data()[i] - expected) <= tolerance * largest);
  }
  assign(values);
}

/// One input as the model's device holds it.
struct Run {
  const BasicModel<double>& model;
  std::vector<Tensor<double>> x{};  // on the device
  Tensor<double> y{}, weight{};     // the loss is sum(weight * y)

  std::vector<TensorView<const double>> inputs() const { return {x.begin(), x.end()}; }
};

Session<double>::Options run_options(const GradientCheckOptions& options) {
  return {.training = options.training, .seed = 5, .step = 17};
}

double evaluate(Run& run, const GradientCheckOptions& options) {
  const auto session = run.model.model().session();
  const TensorView<double> y = run.y;
  run.model.model().graph().forward(run.inputs(), {&y, 1}, session->begin(run_options(options)));
  const Tensor<double> result = run.y.to(nullptr);
  double sum = 0;
  for (std::int64_t i = 0; i < result.size(); ++i) sum += result.data()[i] * run.weight.data()[i];
  return sum;
}

}  // namespace

void check_gradients(const BasicModel<double>& original, const GradientCheckOptions& options) {
  const DevicePtr device = reference_device({.host_accessible = false});
  BasicModel<double> model = original.clone().to(device);
  const auto& graph = model.model().graph();
  INFO("model '" << model.name() << "', batch " << options.batch
                 << (options.training ? ", training" : ", inference"));

  Run run{model};
  std::vector<Tensor<double>> host;
  for (const Shape& shape : graph.input_shapes()) {
    host.push_back(random_tensor(shape.with_batch(options.batch), host.size()));
    run.x.push_back(host.back().to(device));
  }
  const Shape shape = model.output_shape().with_batch(options.batch);
  run.y = Tensor<double>::uninitialized(shape, device);
  run.weight = random_tensor(shape, 77);
  // Initial biases are zero and gammas one; anything else is a better test. Variances stay positive.
  for (const auto& weight : model.weights())
    if (weight->shape().rank() == 1)
      weight->mutate() = random_tensor(weight->shape(), hash_name(weight->name()), 0.3, 1.2).to(device);

  const auto trainable = model.trainable_weights();
  Gradients gradients(trainable);
  std::vector<Tensor<double>> dx;
  {
    const auto session = model.model().session();
    auto how = run_options(options);
    how.gradients = &gradients;
    how.input_gradient = true;
    auto& context = session->begin(how);
    for (const auto& x : run.x) dx.push_back(Tensor<double>::uninitialized(x.shape(), device));
    const std::vector<TensorView<double>> dx_views(dx.begin(), dx.end());
    Tensor<double> dy = run.weight.to(device);
    const TensorView<double> y = run.y;
    graph.forward(run.inputs(), {&y, 1}, context);
    graph.backward_from_outputs({&dy, 1}, dx_views, context);
  }

  const auto loss = [&] { return evaluate(run, options); };
  for (std::size_t i = 0; i < run.x.size(); ++i)
    compare(concat("input ", i), host[i], dx[i].to(nullptr), options.tolerance, loss,
            [&](const Tensor<double>& values) { run.x[i] = values.to(device); });
  for (const auto& weight : trainable) {
    INFO("weight " << weight->name() << " " << weight->shape().to_string());
    CHECK(gradients.written(weight));
    compare("weight " + weight->name(), weight->value().to(nullptr), gradients.of(weight), options.tolerance,
            loss, [&](const Tensor<double>& values) { weight->mutate() = values.to(device); });
  }
}

void check_training_gradients(BasicModel<double>& model, const Tensor<double>& x, const Tensor<double>& y,
                              const Tensor<double>& sample_weight) {
  const auto loss = [&] { return model.test_on_batch(x, y, sample_weight)["loss"]; };
  const auto trainable = model.trainable_weights();
  std::vector<Tensor<double>> before, after;
  for (const auto& weight : model.weights()) before.push_back(weight->value().to(nullptr));
  const double expected = loss();
  CHECK(model.train_on_batch(x, y, sample_weight)["loss"] == Approx(expected).epsilon(1e-12));
  for (const auto& weight : model.weights()) after.push_back(weight->value().to(nullptr));
  model.set_weights(before);

  const auto all = model.weights();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (std::find(trainable.begin(), trainable.end(), all[i]) == trainable.end()) {
      CHECK(after[i] == before[i]);
      continue;
    }
    Tensor<double> gradient = before[i];
    for (std::int64_t e = 0; e < gradient.size(); ++e) gradient.data()[e] -= after[i].data()[e];
    compare(concat("weight ", i, " '", all[i]->name(), "'"), before[i], gradient, 1e-6, loss,
            [&](const Tensor<double>& values) { all[i]->mutate() = values.to(model.device()); });
  }
}

namespace {

BasicModel<double> model_of(const std::vector<Shape>& inputs, const BasicLayer<double>& layer) {
  std::vector<BasicSymbol<double>> x;
  for (const Shape& shape : inputs) x.push_back(BasicInput<double>({.shape = shape}));
  BasicSymbol<double> y;
  if (x.size() == 1) y = layer(x[0]);
  if (x.size() == 2) y = layer({x[0], x[1]});
  if (x.size() == 3) y = layer({x[0], x[1], x[2]});
  return BasicModel<double>({.inputs = x, .outputs = {y}, .name = layer.class_name(), .seed = 3});
}

std::vector<Tensor<double>> predict(const BasicModel<double>& model) {
  std::vector<Tensor<double>> x;
  for (const Shape& shape : model.model().graph().input_shapes())
    x.push_back(random_tensor(shape.with_batch(2), 5 + x.size()));
  return model.predict(x);
}

}  // namespace

void layer_test(const BasicLayer<double>& layer, std::initializer_list<Shape> shapes) {
  INFO(layer.class_name() << " of " << shapes.begin()->to_string());
  const DevicePtr device = reference_device({.host_accessible = false});
  const std::vector<Shape> inputs(shapes);
  const LayerPtr<double> fresh = layer.impl()->copy();  // before anything is built
  BasicModel<double> model = model_of(inputs, layer);
  for (const bool training : {true, false})
    for (const std::int64_t batch : {3, 1})
      if (!(training && batch == 1 && layer.class_name() == "BatchNormalization"))  // variance 0
        check_gradients(model, {.training = training, .batch = batch});

  // Frozen: no gradient is asked for, the input's is still right.
  BasicModel<double> frozen = model.clone();
  frozen.set_trainable(false);
  CHECK(frozen.trainable_weights().empty());
  CHECK(frozen.weights().size() == model.weights().size());
  check_gradients(frozen);

  // Twice in one graph: two calls, one set of weights.
  if (inputs.size() == 1 && model.output_shape() == inputs[0]) {
    const BasicLayer<double> shared(fresh);
    const BasicInput<double> x({.shape = inputs[0]});
    const BasicModel<double> twice(x, shared(shared(x)), {.name = layer.class_name() + " twice", .seed = 3});
    CHECK(twice.weights().size() == model.weights().size());
    check_gradients(twice);
  }
  if (inputs.size() == 1) {
    const BasicLayer<double> shared(fresh->copy());
    const BasicInput<double> a({.shape = inputs[0]}), b({.shape = inputs[0]});
    const BasicModel<double> two({.inputs = {a, b},
                                  .outputs = {BasicAdd<double>()({shared(a), shared(b)})},
                                  .name = layer.class_name() + " on two inputs",
                                  .seed = 3});
    CHECK(two.weights().size() == model.weights().size());
    check_gradients(two);
  }

  // The config describes the layer: with the same weights it gives the same results.
  model.to(device);
  const std::vector<Tensor<double>> expected = predict(model);
  const Json config = Json::parse(
      Json::object({{"class_name", layer.class_name()}, {"config", layer.impl()->config()}}).dump(), "test");
  BasicModel<double> again = model_of(inputs, BasicLayer<double>(layer_from_config<double>(config)));
  again.set_weights(model.get_weights());
  CHECK(predict(again.to(device)) == expected);
  BasicModel<double> copy = model.clone();
  CHECK(predict(copy) == expected);
  if (!copy.weights().empty()) {
    for (const auto& weight : copy.weights())
      weight->mutate() = random_tensor(weight->shape(), 1234, 2, 3).to(device);
    CHECK(predict(copy) != expected);
    CHECK(predict(model) == expected);  // a deep copy
  }
}

}  // namespace strata_test
