#include <catch2/catch.hpp>

#include <strata/cuda.hpp>

#include "support/conformance/conformance.hpp"
#include "support/skip.hpp"

using namespace strata_test;
namespace cuda = strata::cuda;

TEST_CASE("The CUDA device conforms on every card") {
  if (cuda::device_count() == 0) STRATA_SKIP("no NVIDIA card");
  for (int index = 0; index < cuda::device_count(); ++index) {
    const strata::DevicePtr device = cuda::device({.index = index, .tf32 = false});
    for (const ConformanceGroup& group : conformance_groups)
      DYNAMIC_SECTION("card " << index << ' ' << group.name) {
        check_conformance(device, group);
      }
    DYNAMIC_SECTION("card " << index << " NaN, packed weights, dropout") {
      check_nan_propagation(device);
      check_packed_weights(device);
      check_dropout_mask(device);
    }
  }
}

TEST_CASE("With TF32 convolutions and products keep three digits") {
  if (cuda::device_count() == 0) STRATA_SKIP("no NVIDIA card");
  const strata::DevicePtr device = cuda::device();
  for (const ConformanceGroup& group : conformance_groups)
    if (std::string_view(group.name) == "convolution" || std::string_view(group.name) == "dense")
      DYNAMIC_SECTION(group.name) {
        check_conformance(device, group, {.tolerance = 2e-3});
      }
}

TEST_CASE("Without a driver the device says so") {
  if (cuda::device_count() > 0) STRATA_SKIP("there is a card");
  CHECK_THROWS_WITH(cuda::device(),
                    Catch::Matchers::Contains("no card can be used") && Catch::Matchers::Contains("driver"));
}
