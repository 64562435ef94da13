#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/ops/ops.hpp>

#include "support/reference/reference.hpp"

using namespace strata;
using Catch::Contains;

TEST_CASE("Functions on tensors, on any device") {
  for (const DevicePtr& device : {default_device(), strata_test::reference_device(),
                                  strata_test::reference_device({.host_accessible = false})}) {
    const auto here = [&](const Shape& shape, std::initializer_list<float> values) {
      return Tensor<float>(shape, values).to(device);
    };
    CHECK(ops::matmul(device, here({2, 3}, {1, 2, 3, 4, 5, 6}), here({3, 1}, {1, 10, 100})) ==
          Tensor<float>({2, 1}, {321, 654}));
    const auto x = here({1, 2, 3, 1}, {1, -2, 3, 4, 5, 6});
    CHECK(ops::pool2d(device, PoolKind::max, x, 2) == Tensor<float>({1, 1, 1, 1}, {5}));
    CHECK(ops::pool2d(device, PoolKind::average, x, {2, 1}, {.strides = 1}) ==
          Tensor<float>({1, 1, 3, 1}, {2.5, 1.5, 4.5}));
    CHECK(ops::activate(device, Activation::relu, x) == Tensor<float>({1, 2, 3, 1}, {1, 0, 3, 4, 5, 6}));
    CHECK(ops::conv2d(device, here({1, 1, 1, 2}, {3, 5}), here({1, 1, 1, 2}, {10, 100}), {}, {.groups = 2}) ==
          Tensor<float>({1, 1, 1, 2}, {30, 500}));
    const auto y = ops::conv2d(device, x, here({1, 2, 1, 1}, {1, 10}), here({1}, {100}),
                               {.padding = Padding::same, .activation = Activation::relu});
    CHECK(y == Tensor<float>({1, 2, 3, 1}, {81, 128, 103, 154, 165, 106}));
  }
}

TEST_CASE("Shapes that do not fit are named") {
  const DevicePtr device = default_device();
  const Tensor<float> x({1, 4, 4, 2});
  CHECK_THROWS_WITH(ops::conv2d(device, x, Tensor<float>({3, 3, 3, 8})),
                    Contains("expected a kernel of shape [height,width,2,filters], found [3,3,3,8]"));
  CHECK_THROWS_WITH(ops::conv2d(device, x, Tensor<float>({5, 5, 2, 8})),
                    Contains("a window of 5 does not fit into an input of height 4 without padding"));
  CHECK_THROWS_WITH(ops::conv2d(device, x, Tensor<float>({1, 1, 2, 8}), Tensor<float>({2})),
                    Contains("expected a bias of shape [8], found [2]"));
  CHECK_THROWS_WITH(ops::conv2d(device, x, Tensor<float>({1, 1, 2, 8}), {}, {.groups = 2}),
                    Contains("expected a kernel of shape [height,width,1,filters], found [1,1,2,8]"));
  CHECK_THROWS_AS(ops::conv2d(device, x, Tensor<float>({1, 1, 2, 8}), {}, {.groups = 0}), ConfigError);
  CHECK_THROWS_AS(ops::pool2d(device, PoolKind::max, x, 2, {.strides = {1, 0}}), ConfigError);
  CHECK_THROWS_AS(ops::matmul(device, Tensor<float>({2, 0}), Tensor<float>({0, 3})), ShapeError);
  CHECK_THROWS_WITH(ops::matmul(device, Tensor<float>({2, 3}), Tensor<float>({2, 3})),
                    Contains("found [2,3] and [2,3]"));
}
