#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/cuda.hpp>

#include "support/device_training.hpp"

using namespace strata;

TEST_CASE("Models do on the CUDA device what they do on the CPU, its libraries stood in for") {
  const DevicePtr device = cuda::device({.tf32 = false});
  SECTION("layer by layer") {
    strata_test::check_layers(device, cpu::device(), 1e-5);
  }
  SECTION("training") {
    strata_test::check_training<float>(device, cpu::device(), 1e-4);
  }
  SECTION("fit") {
    strata_test::check_fit(device, cpu::device(), 1e-3);
  }
  SECTION("saving") {
    strata_test::check_saving(device, cpu::device());
  }
}
