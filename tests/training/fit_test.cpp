#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

#include <strata/cpu/device.hpp>
#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/saving.hpp>

#include "support/reference/reference.hpp"

using namespace strata;
using Catch::Contains;

namespace {

/// Points in the square, labelled by the sign of x * y: not to be had without a hidden layer.
struct Points {
  Tensor<float> x{Shape{200, 2}}, y{Shape{200, 1}};
  Points() {
    const RandomStream random(1, Purpose::user);
    for (int i = 0; i < 200; ++i) {
      x(i, 0) = 2 * random.uniform(2 * static_cast<std::uint64_t>(i)) - 1;
      x(i, 1) = 2 * random.uniform(2 * static_cast<std::uint64_t>(i) + 1) - 1;
      y(i, 0) = x(i, 0) * x(i, 1) > 0;
    }
  }
} const points;

Sequential network(double dropout = 0, std::uint64_t seed = 5) {
  Sequential model({Input({.shape = {2}}), Dense({.units = 16, .activation = Activation::tanh}),
                    Dropout(dropout), Dense({.units = 1, .activation = Activation::sigmoid})},
                   {.seed = seed});
  model.compile(
      {.optimizer = Adam({.learning_rate = 0.03}), .loss = BinaryCrossentropy(), .metrics = {Accuracy()}});
  return model;
}

class Recorder final : public CallbackImpl {
 public:
  std::string events;
  void on_train_begin(FitState&) override { events += "("; }
  void on_train_end(FitState&) override { events += ")"; }
  void on_epoch_begin(FitState&, int epoch) override { events += concat("<", epoch); }
  void on_epoch_end(FitState& state, int epoch, Logs& logs) override {
    events += ">";
    logs.set("doubled", 2 * logs["loss"]);
    state.stop_training = epoch == 2;
  }
  void on_train_batch_begin(FitState&, std::int64_t) override { events += "["; }
  void on_train_batch_end(FitState&, std::int64_t, const Logs&) override { events += "]"; }
};

}  // namespace

TEST_CASE("fit learns what a line cannot separate") {
  Sequential model = network();
  const History history =
      model.fit(points.x, points.y, {.epochs = 60, .validation_split = 0.2, .verbose = 0});
  CHECK(history.size() == 60);
  CHECK(history.names() == std::vector<std::string>{"loss", "accuracy", "val_loss", "val_accuracy"});
  CHECK(history["loss"].front() > 0.6);
  CHECK(history["loss"].back() < 0.25);
  CHECK(history["val_accuracy"].back() >= 0.9);
  const Logs logs = model.evaluate(points.x, points.y, {.verbose = 0});
  CHECK(logs["accuracy"] > 0.9);
  CHECK_THROWS_WITH(history["val_auc"], Contains("there is no 'val_auc'") && Contains("val_accuracy"));
}

TEST_CASE("Training gives the same bits for any number of threads and loaders") {
  std::vector<std::vector<Tensor<float>>> results;
  for (const int threads : {1, 2, 3})
    for (const int workers : {0, 2}) {
      Sequential model = network(0.3);
      model.to(cpu::device({.threads = threads}));
      model.fit(points.x, points.y, {.epochs = 3, .verbose = 0, .workers = workers});
      results.push_back(model.get_weights());
    }
  for (const auto& result : results) CHECK(result == results[0]);
}

TEST_CASE("A device with memory of its own trains, evaluates and predicts the same") {
  Sequential here = network(0.2), there = network(0.2);
  const DevicePtr apart = strata_test::reference_device({.host_accessible = false});
  there.to(apart);
  const FitOptions options{.epochs = 2, .validation_split = 0.25, .verbose = 0};
  const History a = here.fit(points.x, points.y, options),
                b = there.fit(points.x.to(apart), points.y.to(apart), options);
  for (const auto& name : a.names())
    for (std::size_t epoch = 0; epoch < 2; ++epoch)
      CHECK(a[name][epoch] == Approx(b[name][epoch]).epsilon(1e-3));
  const Tensor<float> p = here.predict(points.x), q = there.predict(points.x.to(apart));
  for (std::int64_t i = 0; i < p.size(); ++i) CHECK(p.data()[i] == Approx(q.data()[i]).margin(1e-4));
  CHECK(there.evaluate(points.x, points.y, {.verbose = 0})["loss"] ==
        Approx(here.evaluate(points.x, points.y, {.verbose = 0})["loss"]).epsilon(1e-3));
}

TEST_CASE("validation_split trains on the first floor(n (1 - split)) samples, as Keras does") {
  const auto trained = [](std::int64_t count, double split) {
    Sequential model = network();
    auto recorder = std::make_shared<Recorder>();
    model.fit(Tensor<float>({count, 2}), Tensor<float>({count, 1}),
              {.batch_size = 1, .validation_split = split, .callbacks = {recorder}, .verbose = 0});
    return std::count(recorder->events.begin(), recorder->events.end(), '[');
  };
  CHECK(trained(10, 0.25) == 7);
  CHECK(trained(3, 0.5) == 1);
  CHECK(trained(4, 0.25) == 3);
  CHECK(trained(5, 0) == 5);
}

TEST_CASE("Targets [n] belong to one output per sample") {
  Tensor<float> flat = points.y;
  flat.reshape({200});
  for (const char* loss : {"binary_crossentropy", "mse"}) {
    Sequential a = network(), b = network();
    for (Sequential* model : {&a, &b})
      model->compile({.loss = loss, .metrics = {Accuracy(), Precision(), Recall(), AUC()}});
    const FitOptions options{.epochs = 2, .validation_split = 0.25, .verbose = 0};
    const History column = a.fit(points.x, points.y, options), row = b.fit(points.x, flat, options);
    for (const auto& name : column.names()) CHECK(column[name] == row[name]);
    CHECK(b.train_on_batch(points.x, flat)["loss"] == a.train_on_batch(points.x, points.y)["loss"]);
    CHECK(b.evaluate(points.x, flat, {.verbose = 0})["auc"] ==
          a.evaluate(points.x, points.y, {.verbose = 0})["auc"]);
  }
  Sequential three{Input({.shape = {2}}), Dense({.units = 3})};
  three.compile({.loss = MeanSquaredError()});
  CHECK_THROWS_AS(three.train_on_batch(points.x, flat), ShapeError);
}

TEST_CASE("Pixels are scaled on the device, behind a frozen base too") {
  Tensor<std::uint8_t> pixels({12, 6, 6, 3});
  Tensor<float> scaled(pixels.shape()), labels({12, 1});
  const PixelScaling scaling{.scale = 0.5F, .mean = {10, 20, 30}, .reverse_channels = true};
  const RandomStream random(3, Purpose::user);
  for (std::int64_t i = 0; i < pixels.size(); ++i) {
    const std::int64_t from = i - i % 3 + 2 - i % 3;
    pixels.data()[i] = static_cast<std::uint8_t>(random.bits(static_cast<std::uint64_t>(i)));
    scaled.data()[from] = 0.5F * static_cast<float>(pixels.data()[i]) - scaling.mean[from % 3];
  }
  for (std::int64_t i = 0; i < 12; ++i) labels(i, 0) = static_cast<float>(i % 2);
  const auto trained = [&](const Dataset& data) {
    Sequential base({Input({.shape = {6, 6, 3}}),
                     Conv2D({.filters = 4, .kernel_size = 3, .activation = Activation::relu}),
                     BatchNormalization(), MaxPooling2D(2)},
                    {.seed = 1});
    base.set_trainable(false);
    const auto frozen = base.get_weights();
    Sequential model({base, Flatten(), Dropout(0.3), Dense({.units = 1, .activation = Activation::sigmoid})},
                     {.seed = 2});
    model.compile({.optimizer = RMSprop(), .loss = BinaryCrossentropy()});
    model.fit(data, {.epochs = 2, .verbose = 0});
    CHECK(base.get_weights() == frozen);
    return model.get_weights();
  };
  CHECK(
      trained(dataset_from_tensors(pixels, labels, {.batch_size = 5, .shuffle = true, .scaling = scaling})) ==
      trained(dataset_from_tensors(scaled, labels, {.batch_size = 5, .shuffle = true})));
}

TEST_CASE("fit, predict and network_input read the same pictures, warped and scaled") {
  /// Two pictures as bytes or as floats, the second mirrored, turned and brighter.
  struct Pictures final : BatchSource {
    bool bytes = true;
    std::int64_t channels = 3;
    std::int64_t samples() const override { return 2; }
    std::int64_t batch_size() const override { return 2; }
    Shape element_shape() const override { return {6, 6, channels}; }
    Batch gather(std::span<const std::int64_t>) const override {
      Batch out;
      out.pixels = Tensor<std::uint8_t>({2, 6, 6, channels});
      for (std::int64_t i = 0; i < out.pixels.size(); ++i)
        out.pixels.data()[i] =
            static_cast<std::uint8_t>(RandomStream(3, Purpose::user).bits(static_cast<std::uint64_t>(i)));
      out.scaling = {.scale = 0.5F, .mean = {1, 2, 3}, .std = {1, 2, 4, 1}};
      out.warps = {{}, {.matrix = {0, -1, 5, 1, 0, 0}, .flip_horizontal = true, .brightness = 1.5F}};
      if (!bytes) out.x = out.pixels.cast<float>(), out.pixels = {};
      out.y = Tensor<float>({2, 1}, {0, 1});
      return out;
    }
  };
  const DevicePtr apart = strata_test::reference_device({.host_accessible = false});
  for (const bool bytes : {true, false})
    for (const std::int64_t channels : {1, 3}) {
      const auto source = std::make_shared<Pictures>();
      source->bytes = bytes, source->channels = channels;
      const Dataset data(source);
      const Tensor<float> x = network_input(data.batch(0)), elsewhere = network_input(data.batch(0), apart);
      source->bytes = true;
      const Tensor<std::uint8_t> pixels = data.batch(0).pixels;
      source->bytes = bytes;
      for (std::int64_t r = 0; r < 6; ++r)
        for (std::int64_t c = 0; c < 6; ++c)
          for (std::int64_t k = 0; k < channels; ++k) {
            const float mean[] = {1, 2, 3}, std[] = {1, 2, 4};
            // The flip comes after the quarter turn: (row, 5 - column) is read at (5 - (5 - column), row).
            const float bright = std::min(255.F, std::floor(1.5F * pixels(1, c, r, k)));
            const float first = pixels(0, r, c, k);
            CHECK(x(0, r, c, k) == Approx(bytes ? (0.5F * first - mean[k]) / std[k] : first));
            CHECK(x(1, r, c, k) == Approx(bytes ? (0.5F * bright - mean[k]) / std[k] : bright));
            CHECK(elsewhere(1, r, c, k) == Approx(x(1, r, c, k)));
          }
      const auto network = [&] {
        Sequential model({Input({.shape = {6, 6, channels}}), Conv2D({.filters = 2, .kernel_size = 3}),
                          Flatten(), Dense({.units = 1, .activation = Activation::sigmoid})},
                         {.seed = 2});
        model.compile({.optimizer = SGD({.learning_rate = 1e-4}), .loss = BinaryCrossentropy()});
        return model;
      };
      Sequential a = network(), b = network();
      const Tensor<float> y({2, 1}, {0, 1});
      CHECK(a.predict(data) == b.predict(x));
      a.fit(data, {.epochs = 2, .verbose = 0});
      b.fit(x, y, {.epochs = 2, .shuffle = false, .verbose = 0});
      CHECK(a.get_weights() == b.get_weights());
    }
  Batch batch = Pictures().batch(0);
  batch.warps.pop_back();
  CHECK_THROWS_WITH(network_input(batch), Contains("expected a warp for each of the 2 pictures, found 1"));
  batch.pixels.reshape({6, 2, 3, 6});
  CHECK_THROWS_WITH(network_input(batch), Contains("at most 4 channels, found [6,2,3,6]"));
  batch.pixels = {};
  batch.x = Tensor<float>({2, 3});
  CHECK_THROWS_WITH(network_input(batch),
                    Contains("expected pictures [n,height,width,channels], found [2,3]"));
}

TEST_CASE("Dropout draws anew at each step, from the model's seed") {
  const auto loss_of = [](std::uint64_t seed, int steps) {
    Sequential model({Input({.shape = {2}}), Dropout(0.5),
                      Dense({.units = 1, .kernel_initializer = initializers::ones()})},
                     {.seed = seed});
    model.compile({.optimizer = SGD({.learning_rate = 0}), .loss = MeanSquaredError()});
    double last = 0;
    for (int i = 0; i < steps; ++i) last = model.train_on_batch(points.x, points.y)["loss"];
    return last;
  };
  CHECK(loss_of(1, 1) == loss_of(1, 1));
  CHECK(loss_of(1, 2) != loss_of(1, 1));
  CHECK(loss_of(2, 1) != loss_of(1, 1));
}

TEST_CASE("Dropout(1) trains the biases alone, LeakyReLU(0) is a ReLU") {
  Sequential model{Input({.shape = {2}}), Dropout(1), Dense({.units = 1})};
  model.compile({.optimizer = SGD(), .loss = MeanSquaredError()});
  const auto before = model.get_weights();
  model.train_on_batch(points.x, points.y);
  CHECK(model.get_weights()[0] == before[0]);
  CHECK(model.get_weights()[1] != before[1]);
  Sequential slope{Input({.shape = {2}}), LeakyReLU(0)};
  CHECK(slope.predict(Tensor<float>({1, 2}, {-3, 4})) == Tensor<float>({1, 2}, {0, 4}));
}

TEST_CASE("A label that is no class is refused before it trains") {
  Sequential model{Input({.shape = {2}}), Dense({.units = 3, .activation = Activation::softmax})};
  model.compile({.loss = SparseCategoricalCrossentropy()});
  const Tensor<float> x({4, 2});
  const auto before = model.get_weights();
  for (const float wrong : {3.F, -1.F, std::numeric_limits<float>::quiet_NaN()})
    for (const Shape& shape : {Shape{4}, Shape{4, 1}}) {
      const Tensor<float> y(shape, {0, 2, wrong, 1});
      const auto message =
          Contains(concat("[sparse_categorical_crossentropy] sample 2 of the batch has the "
                          "label ",
                          static_cast<double>(wrong), ", expected one of 3 classes"));
      CHECK_THROWS_WITH(model.train_on_batch(x, y), message);
      CHECK_THROWS_WITH(model.evaluate(x, y, {.verbose = 0}), message);
      CHECK_THROWS_AS(model.fit(x, y, {.verbose = 0}), DataError);
    }
  CHECK(model.get_weights() == before);
  CHECK(std::isfinite(model.train_on_batch(x, Tensor<float>({4}, {0, 2, 2, 1}))["loss"]));
}

TEST_CASE("Callbacks see every epoch and batch, add to the history and stop training") {
  auto recorder = std::make_shared<Recorder>();
  Sequential model = network();
  const History history =
      model.fit(points.x, points.y, {.batch_size = 100, .epochs = 9, .callbacks = {recorder}, .verbose = 0});
  CHECK(recorder->events == "(<0[][]><1[][]><2[][]>)");
  CHECK(history["doubled"].size() == 3);
  CHECK(history["doubled"][1] == Approx(2 * history["loss"][1]));
}

TEST_CASE("A later epoch can be run alone") {
  Sequential whole = network(), parts = network();
  whole.fit(points.x, points.y, {.epochs = 4, .verbose = 0});
  parts.fit(points.x, points.y, {.epochs = 2, .verbose = 0});
  const History rest = parts.fit(points.x, points.y, {.epochs = 4, .initial_epoch = 2, .verbose = 0});
  CHECK(rest.epoch() == std::vector<int>{2, 3});
  CHECK(parts.get_weights() == whole.get_weights());
}

TEST_CASE("steps_per_epoch draws on through the data") {
  Sequential model = network();
  const Dataset data = dataset_from_tensors(points.x, points.y, {.batch_size = 32, .shuffle = true});
  auto recorder = std::make_shared<Recorder>();
  model.fit(data, {.epochs = 2,
                   .steps_per_epoch = 10,
                   .validation_data = data,
                   .validation_steps = 2,
                   .callbacks = {recorder},
                   .verbose = 0});
  CHECK(std::count(recorder->events.begin(), recorder->events.end(), '[') == 20);
}

TEST_CASE(
    "validation_data takes tensors beside any training data, with weights too, in batches of batch_size") {
  const Tensor<float> x = points.x.rows(0, 150), y = points.y.rows(0, 150);
  const Tensor<float> val_x = points.x.rows(150, 200), val_y = points.y.rows(150, 200);
  Tensor<float> weight({50});
  for (int i = 0; i < 50; ++i) weight.data()[i] = i < 20 ? 0.5F : 2;
  const Dataset train = dataset_from_tensors(x, y, {.batch_size = 10});
  const auto val_losses = [&](const ValidationData& validation, std::int64_t batch_size) {
    FitOptions options{.epochs = 3, .validation_data = validation, .verbose = 0};
    options.batch_size = batch_size;
    return network().fit(train, options)["val_loss"];
  };
  const auto as_dataset = [&](const Tensor<float>& weights, std::int64_t batch_size) {
    return val_losses(
        dataset_from_tensors(val_x, val_y, {.batch_size = batch_size, .sample_weight = weights}), 32);
  };
  CHECK(network().fit(train, {.epochs = 3, .validation_data = {val_x, val_y}, .verbose = 0})["val_loss"] ==
        as_dataset({}, 32));
  CHECK(val_losses({val_x, val_y}, 50) == as_dataset({}, 50));
  CHECK(val_losses({val_x, val_y, weight}, 7) == as_dataset(weight, 7));
  CHECK(as_dataset({}, 50) != as_dataset(weight, 50));

  Sequential of_tensors = network(), of_split = network();
  const FitOptions options{.epochs = 2, .validation_data = {val_x, val_y}, .shuffle = false, .verbose = 0};
  const FitOptions split{.epochs = 2, .validation_split = 0.25, .shuffle = false, .verbose = 0};
  CHECK(of_tensors.fit(x, y, options)["val_accuracy"] ==
        of_split.fit(points.x, points.y, split)["val_accuracy"]);

  CHECK_THROWS_AS(val_losses({val_x, y}, 32), ShapeError);
  CHECK_THROWS_AS(val_losses({val_x, val_y}, 0), ConfigError);
  CHECK_THROWS_WITH(
      network().fit(x, y, {.validation_data = {val_x, val_y}, .validation_split = 0.5, .verbose = 0}),
      Contains("expected validation_data or a validation_split, found both"));
}

TEST_CASE("A model that was never made, or was moved from, trains with an error", "[training]") {
  const auto fails = [](Model model) {
    const Dataset data = dataset_from_tensors(points.x, points.y);
    CHECK_THROWS_WITH(model.fit(points.x, points.y, {}), Contains("this model was never made"));
    CHECK_THROWS_AS(model.fit(data, {}), ConfigError);
    CHECK_THROWS_AS(model.fit(std::vector{points.x}, std::vector{points.y}, {}), ConfigError);
    CHECK_THROWS_AS(model.evaluate(points.x, points.y), ConfigError);
    CHECK_THROWS_AS(model.evaluate(data), ConfigError);
    CHECK_THROWS_AS(model.compile({.loss = "mse"}), ConfigError);
    CHECK_THROWS_AS(model.compiled(), ConfigError);
    CHECK_THROWS_AS(model.trainer(), ConfigError);
    CHECK_THROWS_AS(model.train_on_batch(points.x, points.y), ConfigError);
    CHECK_THROWS_AS(model.test_on_batch(points.x, points.y), ConfigError);
    CHECK_THROWS_AS(model.predict(data), ConfigError);
    CHECK_THROWS_AS(model.predict_all(data), ConfigError);
    CHECK_THROWS_AS(model.plan(), ConfigError);
    CHECK_THROWS_AS(save_model(model, "none.safetensors"), ConfigError);
  };
  fails(Model());
  Sequential from = network();
  const Model to = std::move(from);
  fails(from);
  CHECK_THROWS_AS(from.add(Dense(1)), ConfigError);
}

TEST_CASE("Sample weights scale losses; a weight of zero silences a sample") {
  Sequential model = network();
  Tensor<float> weight({200});
  std::fill(weight.values().begin(), weight.values().end(), 2.0F);
  const double plain = model.test_on_batch(points.x, points.y)["loss"];
  CHECK(model.test_on_batch(points.x, points.y, weight)["loss"] == Approx(2 * plain));
  std::fill(weight.values().begin(), weight.values().end(), 0.0F);
  const auto before = model.get_weights();
  model.train_on_batch(points.x, points.y, weight);
  CHECK(model.get_weights() == before);
}

TEST_CASE("A kernel_regularizer adds to the loss until its layer is frozen") {
  Sequential model(
      {Input({.shape = {2}}),
       Dense({.units = 1, .kernel_initializer = initializers::constant(3), .kernel_regularizer = L2(0.5)})});
  model.compile({.optimizer = SGD({.learning_rate = 0}), .loss = MeanSquaredError()});
  const double with = model.test_on_batch(points.x, points.y)["loss"];
  CHECK(model.train_on_batch(points.x, points.y)["loss"] == Approx(with));
  model.set_trainable(false);
  CHECK(model.test_on_batch(points.x, points.y)["loss"] == Approx(with - 0.5 * 18));
}

TEST_CASE("A loss that is not finite is traced to the first layer that shows it") {
  Sequential model = network();
  auto weights = model.get_weights();
  weights[2](0, 0) = std::numeric_limits<float>::quiet_NaN();
  model.set_weights(weights);
  const History history = model.fit(points.x, points.y, {.epochs = 2, .verbose = 0});
  CHECK(history.size() == 2);  // it goes on, as Keras does
  CHECK(std::isnan(history["loss"][1]));
  CHECK(model.trainer().first_non_finite() == "layer 'dense_1'");
}

TEST_CASE("An optimizer is named by a text as Keras names it, and has its defaults") {
  Sequential model = network();
  const auto config = [&](const Optimizer& optimizer) {
    model.compile({.optimizer = optimizer, .loss = "mse"});
    return model.optimizer().config();
  };
  CHECK(config("sgd") == SGD().config());
  CHECK(config("rmsprop") == RMSprop().config());
  CHECK(config("RMSprop") == RMSprop().config());
  CHECK(config("Adam") == Adam().config());
  CHECK(config("adamw") == AdamW().config());
  CHECK(config("Adagrad") == Adagrad().config());
  CHECK(config("Nadam") == Nadam().config());
}

TEST_CASE("Activations, losses and metrics are named by texts as Keras names them") {
  Sequential model({Input({.shape = {2}}), Dense({.units = 3, .activation = "tanh"}), ActivationLayer("relu"),
                    Dense({.units = 1, .activation = "sigmoid"})});
  CHECK(model.layers()[1].impl()->final_activation() == Activation::tanh);
  CHECK(model.layers()[2].impl()->final_activation() == Activation::relu);
  CHECK_THROWS_AS(Dense({.units = 1, .activation = "sigmoidal"}), ConfigError);

  for (const auto& [name, loss] : {std::pair<const char*, Loss>{"mse", MeanSquaredError()},
                                   {"mean_squared_error", MeanSquaredError()},
                                   {"mae", MeanAbsoluteError()},
                                   {"mean_absolute_error", MeanAbsoluteError()},
                                   {"huber", Huber()}})
    CHECK(Loss(name).impl().name() == loss.impl().name());

  // A name is what the logs call it.
  const std::vector<std::string> names{"mae", "mse", "mean_absolute_error", "binary_accuracy", "acc", "auc"};
  std::vector<Metric> metrics;
  for (const std::string& name : names) metrics.push_back(name.c_str());
  model.compile({.loss = "mae", .metrics = metrics});
  const Logs logs = model.test_on_batch(points.x, points.y);
  for (const std::string& name : names) CHECK_NOTHROW(logs[name]);
  CHECK(logs["mae"] == Approx(logs["loss"]));
  CHECK(logs["mae"] == logs["mean_absolute_error"]);
  CHECK(logs["acc"] == logs["binary_accuracy"]);
  CHECK(Metric("mae").impl().mode() == MonitorMode::min);
  CHECK(Metric("top_k_categorical_accuracy").impl().mode() == MonitorMode::max);
}

TEST_CASE("What cannot be trained says why") {
  Sequential model{Input({.shape = {2}}),
                   Dense({.units = 3, .activation = Activation::softmax, .name = "out"})};
  CHECK_THROWS_WITH(model.fit(points.x, points.y, {}), Contains("must be compiled first"));
  CHECK_THROWS_WITH(model.compile({.optimizer = SGD()}), Contains("expected a loss, found none"));
  CHECK_THROWS_WITH(model.compile({.loss = "hinge"}),
                    Contains("'hinge' is not a loss") && Contains("binary_crossentropy"));
  CHECK_THROWS_WITH(model.compile({.optimizer = "adams", .loss = "mse"}),
                    Contains("'adams' is not an optimizer; there are sgd, rmsprop, adam, adamw, "
                             "adagrad, nadam"));
  CHECK_THROWS_WITH(model.compile({.optimizer = "", .loss = "mse"}), Contains("'' is not an optimizer"));
  CHECK_THROWS_WITH(model.compile({.loss = "mse", .metrics = {"f1"}}), Contains("'f1' is not a metric"));
  model.compile({.loss = CategoricalCrossentropy()});
  CHECK_THROWS_WITH(model.fit(points.x, points.y, {.verbose = 0}),
                    Contains("[categorical_crossentropy] a target of shape [32,1] does not belong to "
                             "predictions of shape [32,3] of layer 'out'"));
  CHECK_THROWS_WITH(model.train_on_batch(Tensor<float>({4, 5}), points.y),
                    Contains("expected an input of shape [4,2], found [4,5]"));
  CHECK_THROWS_AS(model.fit(points.x, Tensor<float>({3, 1}), {}), ShapeError);
  CHECK_THROWS_AS(model.fit(points.x, points.y, {.validation_split = 1}), ConfigError);
  CHECK_THROWS_WITH(model.fit(points.x, points.y, {.validation_split = 1e-17}),
                    Contains("a validation_split of 1e-17 leaves one side of 200 samples empty"));
  CHECK_THROWS_AS(model.fit(points.x, points.y, {.validation_split = 0.999}), ConfigError);
  CHECK_THROWS_AS(SGD({.learning_rate = -1}), ConfigError);
  CHECK_THROWS_WITH(Adam({.clipnorm = 1, .clipvalue = 1}),
                    Contains("only one of clipnorm, clipvalue and global_clipnorm"));
  CHECK_THROWS_AS(BinaryCrossentropy({.label_smoothing = 2}), ConfigError);
  CHECK_THROWS_WITH(Huber({.delta = 0}), "[huber] expected a delta above 0, found 0");
  CHECK_THROWS_WITH(TopKCategoricalAccuracy({.k = 0}),
                    "[top_k_categorical_accuracy] expected a k of at least 1, found 0");
  CHECK_THROWS_WITH(
      TopKCategoricalAccuracy().impl().update(Tensor<float>({2, 3}), Tensor<float>({2}), nullptr),
      "[top_k_categorical_accuracy] a target of shape [2] does not belong to predictions of shape "
      "[2,3]");
  CHECK_THROWS_AS(
      SparseTopKCategoricalAccuracy().impl().update(Tensor<float>({2, 3}), Tensor<float>({2, 3}), nullptr),
      ShapeError);
}
