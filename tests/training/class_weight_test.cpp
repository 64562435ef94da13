#include <catch2/catch.hpp>

#include <cmath>

#include <strata/layers/layers.hpp>
#include <strata/training/backup.hpp>
#include <strata/training/saving.hpp>

#include "support/golden_training.hpp"
#include "support/reference/reference.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using namespace strata_test;
using Catch::Contains;

namespace {

Tensor<float> rows(const Tensor<float>& all, std::int64_t begin, std::int64_t end) {
  const auto part = all.slice(begin, end);
  return {part.shape(), {part.data(), static_cast<std::size_t>(part.size())}};
}

/// The mean weight of samples, gathered on the host.
class MeanWeight final : public MetricBase<MeanWeight> {
 public:
  std::string name() const override { return "mean_weight"; }
  void reset() override { sum_ = count_ = 0; }
  void update(View prediction, View, const float* weight) override {
    for (std::int64_t i = 0; i < prediction.shape()[0]; ++i, ++count_) sum_ += weight ? weight[i] : 1;
  }
  double result() const override { return sum_ / count_; }

 private:
  double sum_ = 0, count_ = 0;
};

const Tensor<float> x({6, 1}, {1, 2, 3, 4, 5, 6}), y({6}, {0, 1, 2, 0, 0, 1});

Sequential classifier(const DevicePtr& device = default_device()) {
  Sequential model({Input({.shape = {1}}), Dense({.units = 3, .activation = Activation::softmax})},
                   {.seed = 5});
  model.to(device);
  model.compile({.optimizer = SGD(),
                 .loss = SparseCategoricalCrossentropy(),
                 .metrics = {Accuracy(), std::make_shared<MeanWeight>()},
                 .weighted_metrics = {std::make_shared<MeanWeight>(), Accuracy()}});
  return model;
}

}  // namespace

TEST_CASE("Class weights give Keras's history", "[training][golden]") {
  const Golden golden("class_weight");
  for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})})
    for (const Json& golden_case : golden.cases()) {
      INFO(device->description() << ", " << Golden::name(golden_case));
      const auto tensor = [&](const char* name) { return golden.read<float>(golden_case, name); };
      const bool binary = Golden::name(golden_case).starts_with("binary");
      Sequential model{
          Input({.shape = {3}}),
          Dense({.units = binary ? 1 : 4, .activation = binary ? Activation::sigmoid : Activation::softmax})};
      model.to(device);
      model.set_weights({tensor("weights/kernel"), tensor("weights/bias")});
      std::vector<Metric> metrics;
      if (golden_case.at("metrics").size()) metrics = {"accuracy"};
      model.compile({.optimizer = SGD({.learning_rate = 0.1}),
                     .loss = loss_from<float>(golden_case.at("loss")),
                     .metrics = metrics,
                     .weighted_metrics = metrics});
      FitOptions options{.batch_size = 6, .epochs = 3, .shuffle = false, .verbose = 0};
      for (const Json& entry : golden_case.at("class_weight").as_array())
        options.class_weight[entry.at(0).as_int()] = entry.at(1).as_double();
      const auto all_x = tensor("x"), all_y = tensor("y");
      const std::int64_t n = all_x.shape()[0];
      options.validation_data = dataset_from_tensors(rows(all_x, 20, n), rows(all_y, 20, n));
      const History history = model.fit(rows(all_x, 0, 20), rows(all_y, 0, 20), options);

      const auto figures = golden.list(golden_case, "history");
      CHECK(history.names().size() == figures.size());
      for (const std::string& figure : figures) {
        INFO(figure);
        const auto expected = golden.read<double>(golden_case, "history/" + figure);
        for (std::int64_t epoch = 0; epoch < 3; ++epoch)
          CHECK(history[figure][static_cast<std::size_t>(epoch)] == Approx(expected(epoch)).epsilon(1e-6));
      }
      const auto weights = model.get_weights();
      check_close("kernel", weights[0], tensor("final/kernel"), 1e-6);
      check_close("bias", weights[1], tensor("final/bias"), 1e-6);
    }
}

TEST_CASE("Class weights are sample weights; metrics see them where they are weighted") {
  const std::map<std::int64_t, double> class_weight{{0, 2}, {2, 0.5}};
  const Tensor<float> same({6}, {2, 1, 0.5F, 2, 2, 1});
  for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})}) {
    Sequential by_class = classifier(device), by_sample = classifier(device), split = classifier(device);
    const FitOptions options{.batch_size = 4, .epochs = 2, .seed = 3, .verbose = 0};
    FitOptions classes = options, samples = options;
    classes.class_weight = class_weight;
    samples.sample_weight = same;
    const History a = by_class.fit(x, y, classes), b = by_sample.fit(x, y, samples);
    CHECK(a.names() == std::vector<std::string>{"loss", "accuracy", "mean_weight", "weighted_mean_weight",
                                                "weighted_accuracy"});
    for (const std::string& name : a.names()) CHECK(a[name] == b[name]);
    CHECK(by_class.get_weights() == by_sample.get_weights());
    CHECK(a["mean_weight"][0] == 1);
    CHECK(a["weighted_mean_weight"][0] == Approx(8.5 / 6));
    // The part that is split off is not weighted.
    classes.validation_split = 0.5;
    const History c = split.fit(x, y, classes);
    CHECK(c["weighted_mean_weight"][0] == Approx(3.5 / 3));
    CHECK(c["val_weighted_mean_weight"][0] == 1);
  }
}

TEST_CASE("Class weights that are none are refused before the first step") {
  Sequential model = classifier();
  const auto fit = [&](const std::map<std::int64_t, double>& weights, const Tensor<float>& samples = {}) {
    model.fit(x, y, {.sample_weight = samples, .class_weight = weights, .verbose = 0});
  };
  CHECK_THROWS_WITH(fit({{0, 1}, {3, 2}}), Contains("class_weight names class 3, expected one of 3 classes"));
  CHECK_THROWS_WITH(fit({{-1, 2}}), Contains("names class -1"));
  CHECK_THROWS_WITH(fit({{1, -2}}), Contains("expected a class_weight of 0 or more for class 1, found -2"));
  CHECK_THROWS_WITH(fit({{1, std::nan("")}}), Contains("for class 1, found nan"));
  CHECK_THROWS_WITH(fit({{1, 2}}, Tensor<float>({6})),
                    Contains("class_weight or sample weights, found both"));
  CHECK(model.optimizer().iterations() == 0);

  Sequential pixels({Input({.shape = {2, 2, 1}}), Conv2D({.filters = 3, .kernel_size = 1})});
  pixels.compile({.loss = SparseCategoricalCrossentropy({.from_logits = true})});
  CHECK_THROWS_WITH(pixels.fit(Tensor<float>({1, 2, 2, 1}), Tensor<float>({1, 2, 2}),
                               {.class_weight = {{0, 2}}, .verbose = 0}),
                    Contains("class_weight is for one prediction per sample") && Contains("[2,2,3]"));
}

TEST_CASE("A run that resumes must have the same class weights") {
  const TemporaryDirectory folder;
  const auto fit = [&](const std::map<std::int64_t, double>& weights, int epochs) {
    Sequential model = classifier();
    model.fit(x, y,
              {.epochs = epochs,
               .class_weight = weights,
               .callbacks = {BackupAndRestore({.backup_dir = folder / "backup", .delete_checkpoint = false})},
               .verbose = 0});
    return model.get_weights();
  };
  fit({{1, 3}}, 1);
  CHECK_THROWS_WITH(fit({{1, 2}}, 2), Contains("another class_weight"));
  Sequential whole = classifier();
  whole.fit(x, y, {.epochs = 2, .class_weight = {{1, 3}}, .verbose = 0});
  CHECK(fit({{1, 3}}, 2) == whole.get_weights());
}
