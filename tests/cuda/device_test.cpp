#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/cuda.hpp>

#include "support/device_gradients.hpp"
#include "support/device_training.hpp"

using namespace strata;

TEST_CASE("Models do on the CUDA device what they do on the CPU, its libraries stood in for") {
  strata_test::check_device(cuda::device({.tf32 = false}), cpu::device());
}

TEST_CASE("Gradients are those of Keras's tape, on the CUDA device", "[golden]") {
  strata_test::check_gradients_golden<float>(cuda::device({.tf32 = false}), 3e-6);
}
