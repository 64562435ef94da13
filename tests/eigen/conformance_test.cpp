#include <catch2/catch.hpp>

#include <strata/eigen.hpp>

#include "support/conformance/conformance.hpp"

using namespace strata_test;

TEST_CASE("The Eigen device conforms in float") {
  const auto device = [](int threads) { return strata::eigen::device({.threads = threads}); };
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance(device(2), group, {.any_alignment = false, .variants = {device(1), device(3)}});
    }
  SECTION("NaN, packed weights, dropout") {
    check_nan_propagation(device(2));
    check_packed_weights(device(2));
    check_dropout_mask(device(2));
  }
}

TEST_CASE("The Eigen device conforms in double") {
  const strata::DevicePtr device = strata::eigen::device({.threads = 2});
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance<double>(device, group, {.tolerance = 1e-12, .large = false, .any_alignment = false});
    }
}
