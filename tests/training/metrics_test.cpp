#include <catch2/catch.hpp>

#include <strata/training/metrics.hpp>

using namespace strata;

namespace {
double result(const Metric& metric, std::initializer_list<float> prediction,
              std::initializer_list<float> target) {
  const auto rows = static_cast<std::int64_t>(target.size());
  metric.impl().reset();
  metric.impl().update(Tensor<float>({rows, 1}, prediction), Tensor<float>({rows, 1}, target), nullptr);
  return metric.impl().result();
}
}  // namespace

TEST_CASE("A prediction equal to the threshold, rounded to float, is not above it") {
  // In double 0.3f is above 0.3.
  CHECK(result(Precision({.threshold = 0.3}), {0.3F, 0.4F}, {0, 1}) == 1);
  CHECK(result(Recall({.threshold = 0.3}), {0.3F, 0.4F}, {1, 1}) == 0.5);
  CHECK(result(Accuracy({.threshold = 0.3}), {0.3F, 0.4F}, {0, 1}) == 1);
}

TEST_CASE("AUC puts predictions on thresholds where Keras puts them") {
  // Thresholds 0, 1/4, ..., 1. 1/2 counts as up to 1/2: above three of five thresholds no more than 0.3 is.
  CHECK(result(AUC({.num_thresholds = 5}), {0.3F, 0.5F}, {0, 1}) == 0.5);
  CHECK(result(AUC({.num_thresholds = 5}), {0.5F, 0.51F}, {0, 1}) == 1);
  // 0.7f * 10 rounds to 7 in float: bucket 6, that of 0.65f.
  CHECK(result(AUC({.num_thresholds = 11}), {0.65F, 0.7F}, {0, 1}) == 0.5);
  // Beyond [0, 1] counts as its end.
  CHECK(result(AUC({.num_thresholds = 3}), {-7, 0, 1, 9}, {0, 1, 0, 1}) == 0.5);
}

TEST_CASE("Targets are what Keras takes them for") {
  // A cast to bool in counts, an equality in accuracy.
  CHECK(result(Precision(), {0.9F, 0.8F}, {0.25F, 0}) == 0.5);
  CHECK(result(Accuracy(), {0.9F, 0.8F}, {0.75F, 1}) == 0.5);
}
