#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/tensor/backend.hpp>
#include <strata/tensor/tensor.hpp>

#include "support/gradient_check.hpp"

using namespace strata;
using strata_test::random_tensor;

TEST_CASE("Nothing flows back through the statistics of one row") {
  for (const std::int64_t channels : {1, 3, 40}) {
    const Tensor<float> x = random_tensor({channels}, 1).cast<float>(),
                        dy = random_tensor({channels}, 2).cast<float>();
    const Tensor<float> gamma = random_tensor({channels}, 3).cast<float>(), variance({channels});
    Tensor<float> dx({channels}), dgamma({channels}), dbeta({channels});
    const DevicePtr device = cpu::device({.threads = 1});
    device->make_backend<float>()->batch_norm_backward({1, channels, 1e-3, gamma.data()}, x.data(),
                                                       {x.data(), variance.data()}, false, dy.data(),
                                                       dx.data(), {dgamma.data()}, {dbeta.data()});
    CHECK(dx == Tensor<float>({channels}));
    CHECK(dgamma == Tensor<float>({channels}));
    CHECK(dbeta == dy);
  }
}
