#include <catch2/catch.hpp>

#include "support/conformance/conformance.hpp"
#include "support/reference/reference.hpp"

using namespace strata_test;

// The oracle in float against itself in double, on memory that the host cannot touch: the tables and the
// harness are sound, and what float costs is known.
TEST_CASE("The reference device conforms") {
  const strata::DevicePtr device = reference_device({.host_accessible = false});
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance(device, group, {.tolerance = 1e-6, .large = false});
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
