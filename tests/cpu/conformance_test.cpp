#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>

#include "support/conformance/conformance.hpp"

using namespace strata_test;

TEST_CASE("The CPU device conforms") {
  const strata::DevicePtr device = strata::cpu::device({.threads = 2});
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance(
          device, group,
          {.variants = {strata::cpu::device({.threads = 1}), strata::cpu::device({.threads = 3})}});
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
