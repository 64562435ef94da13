#include <catch2/catch.hpp>

#include <cmath>

#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/check_gradients.hpp>
#include <strata/training/logging.hpp>
#include <strata/training/saving.hpp>

#include "support/golden_training.hpp"
#include "support/gradient_check.hpp"
#include "support/reference/memory.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Matchers::Contains;

namespace {

template <class T>
BasicModel<T> golden_model(const Golden& golden, const Json& golden_case, const DevicePtr& device) {
  const auto dense = [](std::int64_t units, const char* activation, const char* name, double l2 = 0) {
    return BasicDense<T>(
        {.units = units, .activation = activation, .kernel_regularizer = L2(l2), .name = name});
  };
  const auto left = BasicInput<T>({.shape = {5}, .name = "left"});
  const auto right = BasicInput<T>({.shape = {3}, .name = "right"});
  const auto both = BasicConcatenate<T>({.name = "both"})(
      {dense(6, "tanh", "hidden", 1.0 / 64)(left), dense(4, "silu", "side")(right)});
  const bool read = Golden::name(golden_case) == "read";
  const auto kind = read ? dense(1, "sigmoid", "kind")(both) : dense(3, "softmax", "kind")(both);
  const auto price =
      dense(1, "linear", "price")(read ? BasicConcatenate<T>({.name = "all"})({kind, right}) : both);
  BasicModel<T> model({.inputs = {left, right}, .outputs = {price, kind}});
  model.to(device);
  for (const BasicLayer<T>& layer : model.layers())
    for (const auto& weight : layer.weights())
      weight->mutate() =
          golden.read<T>(golden_case, "weights/" + layer.name() + "/" + weight->name()).to(device);
  return model;
}

template <class T>
BasicMetrics<T> metrics_from(const Json* json) {
  if (!json) return {};
  std::vector<typename BasicMetrics<T>::Entry> out;
  const auto metric = [](const Json& name) { return BasicMetric<T>(name.as_string().c_str()); };
  for (const Json& entry : json->as_array()) {
    std::vector<BasicMetric<T>> list;
    if (entry.is_array())
      for (const Json& name : entry.as_array()) list.push_back(metric(name));
    else
      list.push_back(metric(entry));
    out.push_back(list);
  }
  return out;
}

template <class T>
void compile(BasicModel<T>& model, const Json& golden_case) {
  std::vector<BasicLoss<T>> losses;
  const Json& loss = golden_case.at("loss");
  if (loss.is_array())
    for (const Json& name : loss.as_array()) losses.push_back(name.as_string().c_str());
  else
    losses.push_back(loss.as_string().c_str());
  model.compile({.optimizer = SGD({.learning_rate = golden_case.get<double>("rate"), .momentum = 0.875}),
                 .loss = losses,
                 .loss_weights = golden_case.get("loss_weights", std::vector<double>()),
                 .metrics = metrics_from<T>(golden_case.find("metrics")),
                 .weighted_metrics = metrics_from<T>(golden_case.find("weighted_metrics"))});
}

template <class T>
void check_figure(const Golden& golden, const Json& golden_case, const std::string& name,
                  const std::vector<double>& found, double tolerance) {
  INFO(name);
  const auto expected = golden.read<double>(golden_case, name);
  REQUIRE(std::ssize(found) == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(found[i] == Approx(expected.values()[i]).epsilon(tolerance));
}

template <class T>
void check_weights(const Golden& golden, const Json& golden_case, const BasicModel<T>& model,
                   const std::string& folder, double tolerance) {
  for (const BasicLayer<T>& layer : model.layers())
    for (const auto& weight : layer.weights()) {
      const std::string name = folder + "/" + layer.name() + "/" + weight->name();
      check_close(name, weight->value(), golden.read<T>(golden_case, name), tolerance);
    }
}

/// Steps on batches, then `fit`, both by Keras's figures.
template <class T>
void check_golden(const DevicePtr& device, double tolerance) {
  const Golden golden("several_outputs");
  for (const Json& golden_case : golden.cases()) {
    INFO(device->description() << ", " << Golden::name(golden_case));
    BasicModel<T> model = golden_model<T>(golden, golden_case, device);
    compile(model, golden_case);
    const auto tensor = [&](const char* name) { return golden.read<T>(golden_case, name); };
    const std::vector<Tensor<T>> x{tensor("left"), tensor("right")}, y{tensor("price"), tensor("kind")};
    Tensor<T> weight;
    if (golden.contains(golden_case, "sample_weight")) weight = tensor("sample_weight");

    History steps;
    for (int step = 0; step < 8; ++step) {
      const auto rows = [&](const Tensor<T>& all) { return all.rows(5 * step, 5 * step + 5); };
      steps.add(step, model.train_on_batch({rows(x[0]), rows(x[1])}, {rows(y[0]), rows(y[1])},
                                           weight.empty() ? weight : rows(weight)));
    }
    const auto figures = golden.list(golden_case, "steps");
    CHECK(steps.names().size() == figures.size());
    for (const std::string& figure : figures)
      check_figure<T>(golden, golden_case, "steps/" + figure, steps[figure], tolerance);
    check_weights(golden, golden_case, model, "after_steps", 10 * tolerance);

    BasicFitOptions<T> options{
        .batch_size = 5, .epochs = 2, .validation_split = 0.25, .shuffle = false, .verbose = 0};
    if (!weight.empty()) options.sample_weight = golden.read<float>(golden_case, "sample_weight");
    const History history = model.fit(x, y, options);
    const auto of_epochs = golden.list(golden_case, "history");
    CHECK(history.names().size() == of_epochs.size());
    for (const std::string& figure : of_epochs)
      check_figure<T>(golden, golden_case, "history/" + figure, history[figure], tolerance);
    check_weights(golden, golden_case, model, "final", 10 * tolerance);
  }
}

}  // namespace

TEST_CASE("Models of several inputs and outputs train as Keras's, on the CPU", "[training][golden]") {
  check_golden<float>(cpu::device(), 1e-5);
}

TEST_CASE("Models of several inputs and outputs train as Keras's, on the reference device",
          "[training][golden]") {
  const DevicePtr device = reference_device({.host_accessible = false});
  check_golden<float>(device, 1e-5);
  check_golden<double>(device, 1e-7);
}

namespace {

/// Two inputs, three outputs: one that another reads, and two ways to a loss from logits.
Model three_outputs(const DevicePtr& device = default_device()) {
  const auto left = Input({.shape = {4}, .name = "left"}), right = Input({.shape = {3}, .name = "right"});
  const auto hidden = Dense({.units = 6, .activation = "gelu", .name = "hidden"})(left);
  const auto both = Concatenate()({hidden, Dense({.units = 2, .activation = "relu", .name = "side"})(right)});
  const auto kind = Dense({.units = 3, .activation = "softmax", .name = "kind"})(both);
  const auto flag = Dense({.units = 1, .activation = "sigmoid", .name = "flag"})(Dropout(0.3)(both));
  const auto price = Dense({.units = 2, .name = "price"})(Concatenate()({kind, right}));
  Model model({.inputs = {left, right}, .outputs = {kind, flag, price}, .seed = 5});
  model.to(device);
  return model;
}
const Losses three_losses{"sparse_categorical_crossentropy", "binary_crossentropy", "mse"};
CompileOptions three_settings() {
  return {.optimizer = Adam({.learning_rate = 0.01}),
          .loss = three_losses,
          .loss_weights = {1, 0.25, 2},
          .metrics = {"accuracy", {"accuracy", AUC()}, {}}};
}

struct Samples {
  std::vector<Tensor<float>> x, y;
  explicit Samples(std::int64_t n)
      : x{random_tensor({n, 4}, 1).cast<float>(), random_tensor({n, 3}, 2).cast<float>()},
        y{Tensor<float>({n}), Tensor<float>({n, 1}), random_tensor({n, 2}, 3).cast<float>()} {
    for (std::int64_t i = 0; i < n; ++i) y[0].data()[i] = float(i % 3), y[1].data()[i] = float(i * i % 2);
  }
  DeviceBatch<float> on(const DevicePtr& device) const {
    return {.x = x[0].to(device),
            .y = y[0].to(device),
            .sample_weight = {},
            .other_x = {x[1].to(device)},
            .other_y = {y[1].to(device), y[2].to(device)}};
  }
};

/// Bit for bit.
void check_same(const Model& a, const Model& b) {
  const auto left = a.get_weights(), right = b.get_weights();
  REQUIRE(left.size() == right.size());
  for (std::size_t i = 0; i < left.size(); ++i) CHECK(left[i] == right[i]);
}
void check_same(const History& a, const History& b) {
  CHECK(a.names() == b.names());
  for (const std::string& name : a.names()) CHECK(a[name] == b[name]);
}

using Double = BasicModel<double>;
template <class... Loss>
void check_slopes(Double model, std::vector<Tensor<double>> x, std::vector<Tensor<double>> y, Loss... loss) {
  model.to(reference_device({.host_accessible = false}));
  const double weights[] = {0.5, 2, -1, 3, 1};
  model.compile({.loss = {BasicLoss<double>(loss)...},
                 .loss_weights = std::vector<double>(weights, weights + y.size())});
  const GradientCheck found = strata::check_gradients(model, x, y);
  INFO(found.text());
  CHECK(found.gradients.size() == x.size() + model.trainable_weights().size());
  CHECK(found.gradients[1].name == "b");
  CHECK(found.largest() < 1e-6);
}

}  // namespace

TEST_CASE("Gradients of several outputs are central differences") {
  const auto dense = [](std::int64_t units, const char* activation) {
    return BasicDense<double>({.units = units, .activation = activation, .kernel_regularizer = L2(0.1)});
  };
  const auto a = BasicInput<double>({.shape = {3}, .name = "a"});
  const auto b = BasicInput<double>({.shape = {4}, .name = "b"});
  const auto first = dense(3, "softmax")(dense(5, "silu")(a));
  const auto second = BasicAdd<double>()({dense(3, "tanh")(b), first});
  const auto third = BasicReLU<double>()(second);
  const auto ends = dense(2, "gelu")(third);
  const std::vector<Tensor<double>> x{random_tensor({4, 3}, 1), random_tensor({4, 4}, 2)};
  const Tensor<double> of_3 = random_tensor({4, 3}, 3), of_2 = random_tensor({4, 2}, 4, 0.1, 0.9);
  const Tensor<double> one_hot({4, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0});
  SECTION("that others read, that are asked for twice, that are inputs") {
    check_slopes(Double({.inputs = {a, b}, .outputs = {first, second, a, second, ends}}), x,
                 {one_hot, of_3, of_3, one_hot, of_2}, "categorical_crossentropy", "mse", "huber", "mse",
                 "mse");
    check_slopes(Double({.inputs = {a, b}, .outputs = {third, second, third}}), x, {of_3, of_3, one_hot},
                 "mse", "mse", "mse");
  }
  SECTION("whose losses take logits, or not") {
    check_slopes(Double({.inputs = {a, b},
                         .outputs = {dense(3, "tanh")(third), dense(2, "sigmoid")(third), ends,
                                     dense(3, "softmax")(second)}}),
                 x, {of_3, of_2, of_2, one_hot}, "mse", "binary_crossentropy", "mse",
                 "categorical_crossentropy");
  }
}

TEST_CASE("A loss takes the logits of an output that nothing else reads") {
  Model model = three_outputs();
  model.compile(three_settings());
  CHECK(model.trainer().linear_outputs(model.model()) == 0b010);  // `price` reads `kind`
}

TEST_CASE("Losses, their weights and metrics are given by the outputs' names, too") {
  Model in_order = three_outputs(), by_name = three_outputs();
  in_order.compile(three_settings());
  by_name.compile({.optimizer = Adam({.learning_rate = 0.01}),
                   .loss = {{"price", "mse"},
                            {"kind", "sparse_categorical_crossentropy"},
                            {"flag", BinaryCrossentropy()}},
                   .loss_weights = {{"flag", 0.25}, {"price", 2}, {"kind", 1}},
                   .metrics = Metrics::ByOutput{{"flag", {"accuracy", AUC()}}, {"kind", "accuracy"}}});
  const Samples samples(20);
  const FitOptions options{.batch_size = 4, .epochs = 2, .verbose = 0};
  check_same(in_order.fit(samples.x, samples.y, options), by_name.fit(samples.x, samples.y, options));
  check_same(in_order, by_name);
}

TEST_CASE("An output without a loss is not trained, and its metrics see what predict gives, as in Keras") {
  for (const DevicePtr& device : {cpu::device(), DevicePtr(reference_device({.host_accessible = false}))}) {
    Model model = three_outputs(device), alone = three_outputs(device);
    const Losses losses{{"price", nullptr}, {"flag", nullptr}, {"kind", "sparse_categorical_crossentropy"}};
    model.compile({.optimizer = Adam({.learning_rate = 0.01}),
                   .loss = losses,
                   .metrics = Metrics::ByOutput{{"flag", {"accuracy", "mae"}}, {"kind", "accuracy"}}});
    alone.compile({.optimizer = Adam({.learning_rate = 0.01}),
                   .loss = three_losses,
                   .loss_weights = {1, 0, 0},
                   .metrics = {"accuracy", {"accuracy", "mae"}, {}}});
    const Samples samples(20);
    const auto before = model.get_weights();
    const FitOptions options{.batch_size = 4, .epochs = 2, .verbose = 0};
    const History history = model.fit(samples.x, samples.y, options);
    const History expected = alone.fit(samples.x, samples.y, options);
    CHECK(history.names() == std::vector<std::string>{"loss", "kind_accuracy", "flag_accuracy", "flag_mae"});
    for (const char* name : {"loss", "kind_accuracy", "flag_accuracy"})
      CHECK(history[name] == expected[name]);
    check_same(model, alone);
    const auto changed = [&](const char* name) {
      const auto of = model.layer(name).weights();
      const auto all = model.weights();
      const auto i = std::find(all.begin(), all.end(), of[0]) - all.begin();
      return model.get_weights()[std::size_t(i)] != before[std::size_t(i)];
    };
    CHECK(changed("kind"));
    CHECK(!changed("flag"));
    CHECK(!changed("price"));
  }
}

TEST_CASE("Metrics of an output see its activated values, whatever its loss takes") {
  Model model = three_outputs();
  model.layer("flag").weights()[1]->mutate()(0) = 0.4F;
  const Samples samples(40);
  for (const bool with_loss : {true, false}) {
    model.compile(
        {.loss = {"sparse_categorical_crossentropy", with_loss ? "binary_crossentropy" : nullptr, "mse"},
         .metrics = {{}, {"accuracy", "mae"}, {}}});
    CHECK(model.trainer().linear_outputs(model.model()) == (with_loss ? 0b010 : 0));
    const Logs logs = model.evaluate(samples.x, samples.y, {.verbose = 0});
    const Tensor<float> flag = model.predict(samples.x)[1];
    double right = 0, error = 0;
    int between = 0;
    for (std::int64_t i = 0; i < 40; ++i) {
      const double p = flag.data()[i], y = samples.y[1].data()[i];
      right += (p > 0.5) == (y > 0.5);
      error += std::abs(p - y);
      const double logit = std::log(p / (1 - p));
      between += (logit > 0.5) != (p > 0.5);
    }
    CHECK(between > 0);  // taken for probabilities, logits would count otherwise
    CHECK(logs["flag_accuracy"] == Approx(right / 40));
    CHECK(logs["flag_mae"] == Approx(error / 40).epsilon(1e-5));
  }
}

TEST_CASE("An output whose layers are frozen has a loss and leaves them as they are") {
  const DevicePtr device = reference_device({.host_accessible = false});
  const auto in = Input({.shape = {4}});
  Model model({.inputs = {in},
               .outputs = {Dense({.units = 2, .name = "old"})(in), Dense({.units = 1, .name = "new"})(in)}});
  model.to(device);
  model.layer("old").set_trainable(false);
  model.compile({.optimizer = SGD(), .loss = "mse"});
  const auto kernel = [&](const char* name) { return model.layer(name).weights()[0]->value().to(nullptr); };
  const auto old_kernel = kernel("old"), new_kernel = kernel("new");
  const Samples samples(6);
  const Logs logs = model.train_on_batch({samples.x[0]}, {samples.y[2], samples.y[1]});
  CHECK(logs["loss"] == Approx(logs["old_loss"] + logs["new_loss"]));
  CHECK(kernel("old") == old_kernel);
  CHECK(kernel("new") != new_kernel);
}

TEST_CASE("Steps of several outputs stay on the device and take what the plan says") {
  const DevicePtr device = reference_device({.host_accessible = false});
  auto& counts = memory_of(device).counts;
  Model model = three_outputs(device);
  model.compile(three_settings());
  const DeviceBatch<float> batch = Samples(6).on(device);
  const ModelPlan plan = model.plan({.batch_size = 6, .training = true});
  const std::size_t before = counts.bytes;
  Trainer<float>& trainer = model.trainer();
  trainer.train_step(model.model(), batch);
  // The loss and those of the outputs with their sums, the optimizer's state, the metrics' sums.
  const std::int64_t scalars =
      8 * (2 * 4 + 2 + 2 * Accuracy().impl().device_sums() + AUC().impl().device_sums() +
           static_cast<std::int64_t>(model.trainable_weights().size()));
  CHECK(static_cast<std::int64_t>(counts.bytes - before) ==
        plan.activation_bytes + plan.activation_gradient_bytes + plan.gradient_bytes + plan.slot_bytes +
            scalars);
  trainer.test_step(model.model(), batch);
  for (int i = 0; i < 2; ++i) trainer.train_step(model.model(), batch);
  const std::int64_t allocations = counts.allocations, downloads = counts.downloads;
  for (int i = 0; i < 3; ++i) trainer.train_step(model.model(), batch);
  CHECK(counts.allocations == allocations);
  CHECK(counts.downloads == downloads);
}

TEST_CASE("Datasets of several inputs and targets train as tensors do, through every stage") {
  const Samples samples(23);
  Model of_tensors = three_outputs(), of_dataset = three_outputs(), of_function = three_outputs();
  for (Model* model : {&of_tensors, &of_dataset, &of_function}) model->compile(three_settings());
  FitOptions options{.batch_size = 5, .epochs = 2, .shuffle = false, .verbose = 0};
  options.validation_data = dataset_from_tensors(samples.x, samples.y, {.batch_size = 5});
  const History history = of_tensors.fit(samples.x, samples.y, options);
  const std::vector<std::string> names{"loss",          "kind_loss",     "flag_loss", "price_loss",
                                       "kind_accuracy", "flag_accuracy", "flag_auc"};
  auto expected = names;
  for (const std::string& name : names) expected.push_back("val_" + name);
  CHECK(history.names() == expected);

  Model validated = three_outputs();
  validated.compile(three_settings());
  check_same(history, validated.fit(samples.x, samples.y,
                                    {.batch_size = 5,
                                     .epochs = 2,
                                     .validation_data = {samples.x, samples.y},
                                     .shuffle = false,
                                     .verbose = 0}));

  const Dataset data = dataset_from_tensors(samples.x, samples.y, {.batch_size = 4});
  const auto same = [](Batch batch) { return batch; };
  check_same(history, of_dataset.fit(data.cache().map(same).rebatch(5).take(9).repeat(1), options));
  check_same(of_tensors, of_dataset);

  const Dataset made = dataset_from_function(23, 5, [&](std::int64_t i, std::int64_t) {
    const auto row = [&](const Tensor<float>& all) { return all.rows(i, i + 1); };
    Batch batch;
    batch.x = row(samples.x[0]), batch.y = row(samples.y[0]);
    batch.other_x = {row(samples.x[1])};
    batch.other_y = {row(samples.y[1]), row(samples.y[2])};
    return batch;
  });
  check_same(history, of_function.fit(made, options));

  const Logs logs = of_tensors.evaluate(samples.x, samples.y, {.batch_size = 5, .verbose = 0});
  for (const auto& [name, value] : logs) CHECK(history["val_" + name].back() == value);
  CHECK(logs["loss"] ==
        Approx(logs["kind_loss"] + 0.25 * logs["flag_loss"] + 2 * logs["price_loss"]).epsilon(1e-6));
  for (const auto& [name, value] : of_tensors.test_on_batch(samples.x, samples.y))
    CHECK(value == Approx(logs[name]).epsilon(1e-5));

  const auto predictions = of_tensors.predict(samples.x);
  const auto of_pass = of_tensors.predict_all(data);
  for (std::size_t k = 0; k < 3; ++k) CHECK(predictions[k] == of_pass[k]);
  CHECK_THROWS_WITH(of_tensors.predict(data),
                    Contains("expected one output, found 3 outputs 'kind', 'flag', 'price'"));
}

TEST_CASE("Frozen layers in front of several outputs are computed once, with the same bits") {
  const auto train = [](bool cached) {
    const auto in = Input({.shape = {4}});
    const auto front = Dense({.units = 8, .activation = "relu", .name = "front"})(in);
    Model model({.inputs = {in}, .outputs = {Dense(1)(front), Dense(2)(front)}, .seed = 2});
    model.layer("front").set_trainable(false);
    model.compile({.optimizer = SGD({.learning_rate = 0.1}), .loss = "mse"});
    const Samples samples(12);
    model.fit({samples.x[0]}, {samples.y[1], samples.y[2]},
              {.batch_size = 4, .epochs = 3, .verbose = 0, .cache_frozen = cached});
    return model;
  };
  check_same(train(true), train(false));
}

TEST_CASE("A model of several outputs is saved, loaded and resumed") {
  const TemporaryDirectory folder;
  const Samples samples(20);
  const auto fit = [&](Model& model, int epochs, int stop_at = -1) {
    const LambdaCallback stop({.on_train_batch_end = [=](FitState& state, std::int64_t step, const Logs&) {
      if (state.epoch * 5 + step == stop_at) throw std::runtime_error("power cut");
    }});
    std::vector<Callback> callbacks{stop};
    if (stop_at >= -1)
      callbacks.push_back(BackupAndRestore({.backup_dir = folder / "backup", .save_freq = 1}));
    return model.fit(samples.x, samples.y,
                     {.batch_size = 4, .epochs = epochs, .callbacks = callbacks, .verbose = 0});
  };
  Model whole = three_outputs(), broken = three_outputs(), resumed = three_outputs(), other = three_outputs();
  for (Model* model : {&whole, &broken, &resumed}) model->compile(three_settings());
  const History history = fit(whole, 3, -2);
  CHECK_THROWS_WITH(fit(broken, 3, 7), "power cut");
  CompileOptions settings = three_settings();
  settings.loss_weights = {1, 1, 1};
  other.compile(std::move(settings));
  CHECK_THROWS_WITH(fit(other, 3),
                    Contains("another loss_weights: expected [1.0,1.0,1.0], found [1.0,0.25,2.0]"));
  check_same(history, fit(resumed, 3));
  check_same(whole, resumed);

  save_model(whole, folder / "model.safetensors");
  const CompileOptions used = three_settings();
  Model loaded = load_model(folder / "model.safetensors",
                            {.loss = used.loss, .loss_weights = used.loss_weights, .metrics = used.metrics});
  const Logs expected = whole.train_on_batch(samples.x, samples.y);
  for (const auto& [name, value] : loaded.train_on_batch(samples.x, samples.y))
    CHECK(value == expected[name]);
  check_same(whole, loaded);
}

TEST_CASE("Settings and batches that do not fit several inputs and outputs are refused") {
  Model model = three_outputs();
  const auto compile = [&](Losses loss, LossWeights weights = {}, Metrics metrics = {}) {
    model.compile(
        {.loss = std::move(loss), .loss_weights = std::move(weights), .metrics = std::move(metrics)});
  };
  const std::string outputs = "the model's 3 outputs 'kind', 'flag', 'price', found 2";
  CHECK_THROWS_WITH(compile({"mse", "mse"}),
                    "[compile] expected one loss for all outputs or one for each of " + outputs);
  CHECK_THROWS_WITH(compile("mse", {1, 2}), "[compile] expected one of loss_weights for each of " + outputs);
  CHECK_THROWS_WITH(compile("mse", {}, {"mae", "mse"}),
                    "[compile] expected an entry of metrics for each of " + outputs);
  CHECK_THROWS_WITH(compile({nullptr, Loss(), nullptr}), "[compile] expected a loss, found none");
  const std::string named = "the model's 3 outputs 'kind', 'flag', 'price'";
  CHECK_THROWS_WITH(compile({{"kind", "mse"}, {"prize", "mse"}}),
                    "[compile] loss names 'prize', expected " + named);
  CHECK_THROWS_WITH(compile({{"kind", "mse"}, {"price", "mse"}}),
                    "[compile] loss does not name 'flag', expected " + named);
  CHECK_THROWS_WITH(compile({{"kind", "mse"}, {"kind", "mae"}}), "[compile] loss names 'kind' twice");
  CHECK_THROWS_WITH(compile("mse", {{"kind", 1}, {"flag", 2}}),
                    "[compile] loss_weights does not name 'price', expected " + named);
  CHECK_THROWS_WITH(compile("mse", {}, Metrics::ByOutput{{"hidden", "mae"}}),
                    "[compile] metrics names 'hidden', expected " + named);
  CHECK_THROWS_WITH(
      Sequential({Dense(1)}).compile({.loss = {"mse", "mse"}}),
      "[compile] expected one loss for all outputs or one for each of the model's 1 output, found 2");
  CHECK_THROWS_WITH(compile("mse", {1, 2, NAN}), Contains("expected finite loss_weights, found nan"));

  model.compile(three_settings());
  const Samples samples(6);
  const auto& [x, y] = samples;
  const FitOptions quiet{.verbose = 0};
  CHECK_THROWS_WITH(model.fit({x[0]}, y, quiet), Contains("expected 2 inputs 'left', 'right', found 1"));
  CHECK_THROWS_WITH(model.train_on_batch(x, {y[0], y[1]}),
                    Contains("expected targets of the 3 outputs 'kind', 'flag', 'price', found 2"));
  CHECK_THROWS_WITH(model.test_on_batch({x[1], x[0]}, y),
                    Contains("expected an input of shape [6,4] for 'left', found [6,3]"));
  CHECK_THROWS_WITH(model.train_on_batch(x, {y[0], y[2], y[1]}),
                    Contains("a target of shape [6,2] does not belong to predictions of shape [6,1] of layer "
                             "'flag'"));
  CHECK_THROWS_WITH(model.fit(x, {y[1], y[1], y[2].rows(0, 5)}, quiet),
                    Contains("expected as many samples as targets, found [6,4] and [5,2]"));
  Tensor<float> wrong = y[0];
  wrong.data()[4] = 3;
  CHECK_THROWS_WITH(model.fit(x, {wrong, y[1], y[2]}, {.shuffle = false, .verbose = 0}),
                    Contains("sample 4 of the batch has the label 3, expected one of 3 classes"));
  CHECK_THROWS_WITH(model.fit(x, y, {.class_weight = {{0, 2.0}}, .verbose = 0}),
                    Contains("class_weight is for models of one output, found 3 outputs"));
  CHECK_THROWS_WITH(dataset_from_tensors({x[0], x[1].rows(0, 5)}, y),
                    Contains("expected 6 samples of every input for x [6,4], found [5,3]"));
  CHECK_THROWS_WITH(dataset_from_tensors(x, {y[0], y[1].rows(0, 2)}),
                    Contains("expected 6 samples of every target for x [6,4], found [2,1]"));
}
