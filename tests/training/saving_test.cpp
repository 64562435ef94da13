#include <catch2/catch.hpp>

#include <cmath>

#include <strata/training/saving.hpp>

#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/paths.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;
using strata_test::random_tensor;

namespace {

Tensor<float> values(const Shape& shape, std::uint64_t seed = 1) {
  return random_tensor(shape, seed).cast<float>();
}

struct PowerOptions {
  double exponent = 2;
  std::string name = {};
  template <class Fields>
  void fields(Fields& f) {
    f("exponent", exponent);
  }
};
class PowerImpl final : public LayerBase<PowerImpl, float, PowerOptions> {
 public:
  static constexpr const char* type = "Power";
  explicit PowerImpl(PowerOptions options) : LayerBase(std::move(options)) {}
  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  void forward(Inputs x, Output y, Context&) const override {
    for (std::int64_t i = 0; i < y.size(); ++i)
      y.data()[i] = std::pow(x[0].data()[i], static_cast<float>(options().exponent));
  }
  void backward(Inputs, View, View, InputGradients, Context&) const override {}
};

/// Nested, branching, with a shared layer and one of everything that has state.
Model network(std::uint64_t seed) {
  Sequential base({Input({.shape = {8, 8, 3}}),
                   Conv2D({.filters = 4,
                           .kernel_size = 3,
                           .padding = Padding::same,
                           .kernel_regularizer = L2(0.01),
                           .name = "c1"}),
                   BatchNormalization(), LeakyReLU(0.1), ZeroPadding2D({.padding = {1, 0, 2, 1}}),
                   MaxPooling2D({.pool_size = 2, .padding = Padding::same})},
                  {.name = "base", .seed = seed});
  auto in = Input({.shape = {8, 8, 3}});
  const Conv2D shared({.filters = 4,
                       .kernel_size = {1, 3},
                       .padding = Padding::same,
                       .activation = Activation::leaky_relu(0.2),
                       .name = "twice"});
  const Symbol x = base(Rescaling({.scale = 2, .offset = -1})(in));
  const Symbol y = Add()({shared(x), shared(shared(x))});
  const Symbol z = Concatenate()({GlobalAveragePooling2D()(y), Flatten()(AveragePooling2D(2)(y))});
  return Model(in, Dense({.units = 2, .activation = Activation::softmax})(Dropout(0.2)(z)), {.seed = seed});
}

void train(Model& model, int steps) {
  Tensor<float> y({5});
  for (int i = 0; i < 5; ++i) y(i) = static_cast<float>(i % 2);
  for (int i = 0; i < steps; ++i) model.train_on_batch(values({5, 8, 8, 3}, 9), y);
}

}  // namespace

TEST_CASE("A saved model comes back whole and trains on as if it had never stopped") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  const std::vector<Optimizer> optimizers{RMSprop({.momentum = 0.5, .centered = true}),
                                          SGD({.momentum = 0.9, .nesterov = true}), Adam({.amsgrad = true}),
                                          AdamW({.clipnorm = 1})};
  for (const Optimizer& optimizer : optimizers) {
    Model model = network(11);
    model.layer("base").set_trainable(true);
    model.compile({.optimizer = optimizer, .loss = SparseCategoricalCrossentropy()});
    train(model, 3);
    save_model(model, file);
    Model again = load_model(file, {.loss = SparseCategoricalCrossentropy()});
    const Tensor<float> x = values({3, 8, 8, 3}, 4);
    CHECK(again.predict(x) == model.predict(x));
    CHECK(again.summary_text() == model.summary_text());
    CHECK(again.trainer().optimizer().config() == optimizer.config());
    CHECK(again.trainer().iterations() == 3);
    train(model, 2);
    train(again, 2);
    CHECK(again.get_weights() == model.get_weights());
  }
}

TEST_CASE("What is frozen stays frozen in the file") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  Model model = network(1);
  model.layer("base").set_trainable(false);
  save_model(model, file);
  const Model again = load_model(file);
  CHECK_FALSE(again.layer("base").trainable());
  CHECK(again.trainable_weights().size() == model.trainable_weights().size());
  CHECK(again.trainable_weights().size() == 4);
}

TEST_CASE("A file holds optimizer state of what was trained, not of what was frozen") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  Model model = network(1);
  model.layer("base").set_trainable(false);
  model.compile({.optimizer = Adam(), .loss = SparseCategoricalCrossentropy()});
  train(model, 1);
  save_model(model, file);
  std::size_t slots = 0;
  for (const std::string& name : SafetensorsFile(file).names()) {
    slots += name.starts_with("optimizer/");
    CHECK_FALSE((name.starts_with("optimizer/") && name.find("base") != std::string::npos));
  }
  CHECK(slots == 2 * model.trainable_weights().size());
}

TEST_CASE("A layer of one's own comes back through registration") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  Sequential model{Input({.shape = {3}}), LayerHandle<PowerImpl>({.exponent = 3})};
  save_model<float>(model, file);
  CHECK_THROWS_WITH(load_model(file),
                    Contains("there is no layer class 'Power'") && Contains("register_layer"));
  const Model again = load_model(file, {.custom_layers = {register_layer<PowerImpl>()}});
  CHECK(again.predict(Tensor<float>({1, 3}, {1, 2, 3})) == Tensor<float>({1, 3}, {1, 8, 27}));
}

TEST_CASE("Files that are no models are refused") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  Sequential model{Input({.shape = {3}}), Dense({.units = 2})};
  save_weights<float>(model, file);
  CHECK_THROWS_WITH(load_model(file),
                    Contains("is not a saved model") && Contains("strata-weights/1") && Contains(file));
  save_model<float>(model, file);
  CHECK_THROWS_WITH(load_model(file, {.loss = MeanSquaredError()}), Contains("no 'optimizer'"));

  std::string bytes = read_file(file);
  bytes.replace(bytes.find("crc32c"), 6, "unread");  // whoever edits a file leaves its checksums out
  const auto damaged = [&](std::string from, const std::string& to) {
    std::string text = bytes;
    REQUIRE(text.find(from) != std::string::npos);
    REQUIRE(from.size() == to.size());
    text.replace(text.find(from), from.size(), to);
    write_file_atomically(file, text);
    return file;
  };
  CHECK_THROWS_AS(load_model(damaged("\\\"units\\\":2", "\\\"units\\\":3")), WeightError);
  CHECK_THROWS_AS(load_model(damaged("\\\"units\\\":2", "\\\"unets\\\":2")), DataError);
  CHECK_THROWS_AS(load_model(damaged("\\\"units\\\":2", "\\\"units\\\":x")), DataError);
  CHECK_THROWS_AS(load_model(damaged("\\\"Dense\\\"", "\\\"Dance\\\"")), DataError);
  for (std::size_t length = 0; length < bytes.size(); length += 7) {
    write_file_atomically(file, bytes.substr(0, length));
    CHECK_THROWS_AS(load_model(file), DataError);
  }
}

namespace {
/// The file with `from` in its model's config replaced; as many tensors, no checksums.
void edit(const std::string& path, const std::string& from, const std::string& to) {
  const SafetensorsFile file(path);
  SafetensorsMetadata metadata = file.metadata();
  metadata.erase("crc32c");
  std::string& config = metadata.at("model");
  REQUIRE(config.find(from) != std::string::npos);
  config.replace(config.find(from), from.size(), to);
  std::vector<Tensor<float>> tensors;
  for (const auto& name : file.names()) tensors.push_back(file.read<float>(name));
  std::vector<SafetensorsEntry> entries;
  for (std::size_t i = 0; i < tensors.size(); ++i) entries.emplace_back(file.names()[i], tensors[i]);
  write_safetensors(path, entries, metadata);
}
}  // namespace

TEST_CASE("Sizes in a hostile file do not wrap") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  const Sequential model{Input({.shape = {4, 4, 1}}), ZeroPadding2D({.padding = 1}),
                         MaxPooling2D({.padding = Padding::same})};
  for (const char* padding : {"[[9223372036854775807,1]", "[[4611686018427387904,4611686018427387904]"}) {
    save_model<float>(model, file);
    edit(file, "[[1,1]", padding);
    CHECK_THROWS_AS(load_model(file), Error);
  }
  save_model<float>(model, file);
  edit(file, "\"strides\":[0,0]", "\"strides\":[9223372036854775807,1]");
  CHECK(load_model(file).output_shape() == Shape{1, 6, 1});
}

TEST_CASE("A file gets no memory for weights that it does not hold") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  const Sequential base({Input({.shape = {3}}), Dense({.units = 2, .name = "wide"})}, {.name = "base"});
  const Sequential nested{base, Dense({.units = 1})};
  const auto refuses = [&](const Sequential& model, const char* units, const std::string& message) {
    save_model<float>(model, file);
    edit(file, "\"units\":2", concat("\"units\":", units));
    CHECK_THROWS_WITH(load_model(file), Contains(message));
  };
  for (const char* units : {"1000000000000", "1099511627776", "3"}) {
    refuses(base, units, concat("expected the weight 'wide/kernel' of shape [3,", units, "], found [3,2]"));
    refuses(nested, units, concat("expected the weight 'base/wide/kernel' of shape [3,", units, "]"));
  }
  save_model<float>(base, file);
  edit(file, "\"wide\"", "\"more\"");
  CHECK_THROWS_AS(load_model(file), Error);
}

TEST_CASE("A flipped bit anywhere in the weights is found") {
  const TemporaryDirectory folder;
  const std::string file = folder.path() + "/model.safetensors";
  Sequential model{Input({.shape = {3}}), Dense({.units = 2})};
  model.compile({.optimizer = Adam(), .loss = MeanSquaredError()});
  model.train_on_batch(values({4, 3}), values({4, 2}));
  for (const bool whole : {true, false}) {
    whole ? save_model<float>(model, file) : save_weights<float>(model, file);
    const std::string bytes = read_file(file);
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    const auto load = [&] {
      if (whole)
        (void)load_model(file, {.loss = MeanSquaredError()});
      else
        load_weights<float>(model, file);
    };
    load();
    for (std::size_t at = 8 + header; at < bytes.size(); ++at) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << at % 8);
      write_file_atomically(file, flipped);
      CHECK_THROWS_WITH(load(), Contains("is damaged: it does not have its checksum"));
    }
    std::string flipped = bytes;
    flipped.replace(flipped.find("strata-"), 7, "stratb-");
    write_file_atomically(file, flipped);
    CHECK_THROWS_WITH(load(), Contains("the metadata is damaged"));
    // A converted read is compared too.
    flipped = bytes;
    flipped.back() = static_cast<char>(flipped.back() ^ 1);
    write_file_atomically(file, flipped);
    const SafetensorsFile damaged(file);
    CHECK_THROWS_AS(damaged.read<double>(damaged.names().back()), DataError);
    CHECK_NOTHROW(damaged.read<double>(damaged.names().front()));
  }
}

TEST_CASE("A Keras model whose architecture was converted opens whole and predicts what Keras does") {
  const std::string folder = strata_test::golden_folder();
  for (const std::string name : {"branches", "sequence", "efficient"}) {
    INFO(name);
    const SafetensorsFile golden(folder + (name == "efficient" ? name : "keras_models") + ".safetensors");
    const std::string path = folder + name + ".converted.safetensors";
    const Model model = load_model(path);
    CHECK(model.name() == name);
    const auto all = [&](const std::string& kind) {
      std::vector<Tensor<float>> out;
      while (golden.contains(concat(name, "/", kind, out.size())))
        out.push_back(golden.read<float>(concat(name, "/", kind, out.size())));
      return out;
    };
    const std::vector<Tensor<float>> expected = all("y"), found = model.predict(all("x"));
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      strata_test::check_close(concat("output ", i), found[i], expected[i], 5e-6);

    // It is a model like any other; and a file of weights like any other.
    const TemporaryDirectory directory;
    save_model(model, directory / "m.safetensors");
    const Model again = load_model(directory / "m.safetensors");
    CHECK(again.predict(all("x")) == found);
    Model other = model.clone();
    for (const auto& [path_of_weight, weight] : named_weights(other))
      weight->mutate() = Tensor<float>(weight->shape());
    load_weights(other, path);
    CHECK(other.predict(all("x")) == found);
    CHECK_THROWS_WITH(load_model(path, {.loss = MeanSquaredError()}),
                      Contains(path) && Contains("no optimizer") && Contains("compile"));
  }
  // The frozen model inside is frozen here, too.
  const Model branches = load_model(folder + "branches.converted.safetensors");
  std::int64_t trained = 0;
  for (const auto& weight : branches.model().trainable_weights()) trained += weight->value().size();
  CHECK(trained == 223);
}

TEST_CASE("A Keras model comes back as it was compiled, evaluates and trains as Keras does") {
  const std::string folder = strata_test::golden_folder();
  const SafetensorsFile golden(folder + "compiled.safetensors");
  for (const std::string name : {"compiled_sgd", "compiled_adamw", "compiled_rmsprop"}) {
    INFO(name);
    const std::string path = folder + name + ".converted.safetensors";
    const auto x = golden.read<float>(name + "/x0"), target = golden.read<float>(name + "/target");
    Model model = load_model(path);
    REQUIRE(model.compiled());
    const Logs logs = model.evaluate(x, target);
    std::size_t metrics = 0;
    for (const std::string& key : golden.names())
      if (const std::string prefix = name + "/evaluate/"; key.starts_with(prefix)) {
        INFO(key);
        CHECK(logs[key.substr(prefix.size())] ==
              Approx(double(golden.read<float>(key).data()[0])).epsilon(2e-6));
        ++metrics;
      }
    CHECK(std::size_t(std::distance(logs.begin(), logs.end())) == metrics);
    const auto losses = golden.read<float>(name + "/losses");
    for (std::int64_t step = 0; step < losses.size(); ++step)
      CHECK(model.train_on_batch(x, target)["loss"] == Approx(double(losses(step))).epsilon(5e-6));
    for (const auto& [weight_name, weight] : named_weights(model))
      strata_test::check_close(weight_name, weight->value(),
                               golden.read<float>(name + "/after/" + weight_name), 2e-5);

    // A loss of one's own takes the place of loss and metrics, with Keras's optimizer.
    Model other = load_model(path, {.loss = MeanAbsoluteError()});
    const Logs alone = other.evaluate(x, target);
    CHECK(std::distance(alone.begin(), alone.end()) == 1);
    CHECK(other.optimizer().config() == model.optimizer().config());
  }
}

TEST_CASE("Losses and metrics are read from text, and what is none is named") {
  const auto loss = [](const char* text) { return Loss::from_config(Json::parse(text, "test")); };
  const auto metric = [](const char* text) { return Metric::from_config(Json::parse(text, "test")); };
  CHECK(loss(R"("mse")").impl().name() == "mean_squared_error");
  CHECK(loss(R"({"class_name": "Huber", "config": {}})").impl().name() == "huber");
  CHECK_THROWS_WITH(loss(R"({"class_name": "Hinge", "config": {}})"), Contains("'Hinge' is not a loss"));
  CHECK_THROWS_AS(loss(R"("hinge")"), DataError);
  CHECK_THROWS_AS(loss(R"({"class_name": "Huber", "config": {"delta": 0}})"), DataError);
  CHECK_THROWS_AS(loss("7"), DataError);
  for (const char* name : {"BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy",
                           "TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "MeanAbsoluteError",
                           "MeanSquaredError", "Precision", "Recall", "AUC"}) {
    const std::string config = concat(R"({"class_name": ")", name, R"(", "config": {)");
    CHECK(metric((config + "}}").c_str()).impl().name() == snake_case(name));
    CHECK(metric((config + R"("name": "mine"}})").c_str()).impl().name() == "mine");
  }
  CHECK(metric(R"("acc")").impl().name() == "acc");
  CHECK_THROWS_WITH(metric(R"({"class_name": "F1", "config": {}})"), Contains("'F1' is not a metric"));
  CHECK_THROWS_AS(metric(R"("f1")"), DataError);
  CHECK_THROWS_AS(metric(R"({"class_name": "AUC", "config": {"curve": "XY"}})"), DataError);
  CHECK_THROWS_AS(metric(R"({"class_name": "AUC", "config": {"num_thresholds": 1}})"), DataError);
}
