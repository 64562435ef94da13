#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>

#include "support/conformance/conformance.hpp"

using namespace strata_test;

TEST_CASE("The CPU device conforms, with the same bits for any number of threads") {
  const strata::DevicePtr device = strata::cpu::device({.threads = 1});
  ConformanceOptions options;
  for (const int threads : {2, 3, 7}) options.variants.push_back(strata::cpu::device({.threads = threads}));
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance(device, group, options);
    }
  for (const strata::DevicePtr& any : {device, options.variants[1]}) {
    DYNAMIC_SECTION("NaN, " << any->description()) {
      check_nan_propagation(any);
    }
    DYNAMIC_SECTION("packed weights, " << any->description()) {
      check_packed_weights(any);
    }
    DYNAMIC_SECTION("dropout, " << any->description()) {
      check_dropout_mask(any);
    }
  }
}
