#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>

#include "support/conformance/conformance.hpp"

using namespace strata_test;

TEST_CASE("The CPU device conforms, with the same bits for any number of threads") {
  const strata::DevicePtr device = strata::cpu::device({.threads = 2});
  ConformanceOptions options;
  for (const int threads : {1, 3, 7}) options.variants.push_back(strata::cpu::device({.threads = threads}));
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance(device, group, options);
    }
  SECTION("NaN") {
    check_nan_propagation(device);
  }
  SECTION("packed weights") {
    check_packed_weights(device);
  }
  SECTION("dropout") {
    check_dropout_mask(device);
  }
}
