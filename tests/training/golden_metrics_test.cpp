#include <catch2/catch.hpp>

#include <strata/training/metrics.hpp>

#include "support/golden.hpp"

using namespace strata;
using namespace strata_test;

namespace {

/// The metric of a description.
template <class T>
BasicMetric<T> metric_from(const Json& json) {
  const auto& class_name = json.at("class_name").as_string();
  const Json& config = json.at("config");
  const double threshold = config.get("threshold", config.get("thresholds", 0.5));
  if (class_name == "Precision") return BasicPrecision<T>({.threshold = threshold});
  if (class_name == "Recall") return BasicRecall<T>({.threshold = threshold});
  if (class_name == "AUC")
    return BasicAUC<T>({.num_thresholds = config.get("num_thresholds", 200),
                        .curve = config.get("curve", "ROC") == "PR" ? Curve::PR : Curve::ROC});
  const TopKOptions top{.k = config.get("k", TopKOptions().k)};
  if (class_name == "TopKCategoricalAccuracy") return BasicTopKCategoricalAccuracy<T>(top);
  if (class_name == "SparseTopKCategoricalAccuracy") return BasicSparseTopKCategoricalAccuracy<T>(top);
  if (class_name == "BinaryAccuracy") return BasicBinaryAccuracy<T>({.threshold = threshold});
  if (class_name == "CategoricalAccuracy") return BasicCategoricalAccuracy<T>();
  if (class_name == "SparseCategoricalAccuracy") return BasicSparseCategoricalAccuracy<T>();
  if (class_name == "MeanAbsoluteError") return metrics::BasicMeanAbsoluteError<T>();
  REQUIRE(class_name == "MeanSquaredError");
  return metrics::BasicMeanSquaredError<T>();
}

}  // namespace

TEMPLATE_TEST_CASE("Metrics are Keras's, update by update", "[training][golden]", float, double) {
  using T = TestType;
  const Golden golden("metrics");
  for (const Json& golden_case : golden.cases()) {
    const BasicMetric<T> metric = metric_from<T>(golden_case.at("metric"));
    // "accuracy" finds by itself which of the three it is.
    const auto& class_name = golden_case.at("metric").at("class_name").as_string();
    std::vector<BasicMetric<T>> automatic;
    if (class_name.ends_with("Accuracy") && class_name.find("TopK") == std::string::npos)
      automatic.push_back(
          BasicAccuracy<T>({.threshold = golden_case.at("metric").at("config").get("threshold", 0.5)}));
    const bool sparse = golden_case.at("metric").get<std::string>("class_name").starts_with("Sparse");
    const auto results = golden.read<double>(golden_case, "results");
    for (int update = 0; update < golden_case.get<int>("updates"); ++update) {
      INFO(Golden::name(golden_case) << ", update " << update);
      const std::string y_true = concat("y_true", update);
      const auto target = sparse ? golden.read<std::int32_t>(golden_case, y_true).template cast<T>()
                                 : golden.read<T>(golden_case, y_true);
      const auto prediction = golden.read<T>(golden_case, concat("y_pred", update));
      Tensor<T> weight;
      if (golden.contains(golden_case, concat("sample_weight", update)))
        weight = golden.read<T>(golden_case, concat("sample_weight", update));
      metric.impl().update(prediction, target, weight.data());
      CHECK(metric.impl().result() == Approx(results(update)).epsilon(1e-12));
      for (const BasicMetric<T>& accuracy : automatic) {
        accuracy.impl().update(prediction, target, weight.data());
        CHECK(accuracy.impl().result() == metric.impl().result());
      }
    }
    metric.impl().reset();
    CHECK(metric.impl().result() == 0);
  }
}
