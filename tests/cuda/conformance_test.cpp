#include <catch2/catch.hpp>

#include <strata/cuda.hpp>

#include "support/conformance/conformance.hpp"

using namespace strata_test;

// CUDA's libraries are stood in for by support/fake_cuda, which runs the kernels on the host.

TEST_CASE("The CUDA device conforms without a card, its kernels emulated") {
  const strata::DevicePtr device = strata::cuda::device({.tf32 = false});
  for (const ConformanceGroup& group : conformance_groups) DYNAMIC_SECTION(group.name) {
      check_conformance(device, group, {.large = false});
    }
  SECTION("NaN, packed weights, dropout") {
    check_nan_propagation(device);
    check_packed_weights(device);
    check_dropout_mask(device);
  }
}
