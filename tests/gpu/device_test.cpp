#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/cuda.hpp>

#include "support/device_training.hpp"
#include "support/skip.hpp"

using namespace strata;

TEST_CASE("Models do on a card what they do on the CPU") {
  if (cuda::device_count() == 0) STRATA_SKIP("no NVIDIA card");
  strata_test::check_device(cuda::device({.tf32 = false}), cpu::device());
}

TEST_CASE("A card says what it is and what it cannot do") {
  if (cuda::device_count() == 0) STRATA_SKIP("no NVIDIA card");
  const DevicePtr device = cuda::device();
  CHECK_THAT(device->description(), Catch::StartsWith("cuda:0 ("));
  CHECK_FALSE(device->host_accessible());
  CHECK_THROWS_WITH(device->make_backend<double>(), Catch::Contains("does not compute in double"));
  CHECK_THROWS_WITH(cuda::device(cuda::device_count()),
                    Catch::Contains("expected the index of a card from 0"));
  CHECK_THROWS_WITH(device->allocate(std::size_t{1} << 50),
                    Catch::Contains("bytes of memory") && Catch::Contains("free"));
  // The device goes on after that.
  CHECK(Tensor<float>({2}, {1, 2}).to(device).to(nullptr) == Tensor<float>({2}, {1, 2}));
}
