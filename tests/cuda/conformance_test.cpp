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
  SECTION("many pixels") {
    check_conformance(device, {"many pixels", many_pixels_cases});
  }
  SECTION("NaN, packed weights, dropout") {
    check_nan_propagation(device);
    check_packed_weights(device);
    check_dropout_mask(device);
  }
}

TEST_CASE("With TF32 the CUDA device fuses bias and relu into convolutions") {
  // What stands in for cuDNN computes in double all the same.
  check_conformance(strata::cuda::device({.tf32 = true}), conformance_groups[0], {.large = false});
  check_nan_propagation(strata::cuda::device({.tf32 = true}));
}
