#include <catch2/catch.hpp>

#include <strata/cpu/device.hpp>
#include <strata/eigen.hpp>
#include <strata/model/compare_devices.hpp>

#include "support/device_gradients.hpp"
#include "support/device_training.hpp"
#include "support/reference/reference.hpp"

using namespace strata;
using strata_test::check_training;
using strata_test::small_convnet;
using strata_test::SmallPictures;

TEST_CASE("A tensor as a matrix of Eigen") {
  Tensor<float> t({2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  auto matrix = eigen::map(t);
  REQUIRE(matrix.rows() == 4);
  REQUIRE(matrix.cols() == 3);
  CHECK(matrix(3, 1) == 10);
  matrix(1, 2) = 50;
  CHECK(t(0, 1, 2) == 50);

  const Tensor<float>& constant = t;
  const auto read_only = eigen::map(constant);
  STATIC_REQUIRE(std::is_same_v<decltype(read_only), const eigen::MatrixMap<const float>>);
  CHECK(read_only.data() == t.data());
  CHECK(eigen::map(t.slice(1, 2))(0, 0) == 6);

  const Tensor<double> vector({5}), scalar({}, {2.5}), none({0, 7}), hollow({7, 0});
  CHECK((eigen::map(vector).rows() == 1 && eigen::map(vector).cols() == 5));
  CHECK(eigen::map(scalar)(0, 0) == 2.5);
  CHECK((eigen::map(none).rows() == 0 && eigen::map(none).cols() == 7));
  CHECK((eigen::map(hollow).rows() == 7 && eigen::map(hollow).cols() == 0));

  const Tensor<float> apart = t.to(strata_test::reference_device({.host_accessible = false}));
  CHECK_THROWS_AS(eigen::map(apart), DeviceError);
}

TEST_CASE("Eigen's data as a tensor") {
  Eigen::MatrixXf columns(2, 3);  // column-major, as Eigen's own matrices are
  columns << 1, 2, 3, 4, 5, 6;
  CHECK(eigen::to_tensor(columns) == Tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(eigen::to_tensor(columns.transpose() * 2) == Tensor<float>({3, 2}, {2, 8, 4, 10, 6, 12}));
  CHECK(eigen::to_tensor(columns * columns.transpose()) == Tensor<float>({2, 2}, {14, 32, 32, 77}));
  CHECK(eigen::to_tensor(Eigen::ArrayXd::Constant(3, 0.5)) == Tensor<double>({3, 1}, {0.5, 0.5, 0.5}));
  CHECK(eigen::to_tensor(columns.topRows(0)).shape() == Shape{0, 3});
  const Tensor<float> t({2, 2}, {1, 2, 3, 4});
  CHECK(eigen::to_tensor(eigen::map(t)) == t);
}

TEST_CASE("The Eigen device is host memory") {
  const DevicePtr device = eigen::device({.threads = 1});
  CHECK(device->host_accessible());
  CHECK_THAT(device->description(), Catch::StartsWith("eigen 3.") && Catch::EndsWith("(1 thread)"));
  CHECK_THAT(eigen::device({.threads = 2})->description(), Catch::EndsWith("(2 threads)"));
  CHECK_THROWS_AS(eigen::device({.threads = -1}), ConfigError);
  CHECK(Tensor<float>({3}, device).device() == nullptr);
}

TEST_CASE("A convnet trains on Eigen as on other devices") {
  const DevicePtr device = eigen::device();
  check_training<double>(device, strata_test::reference_device(), 1e-11);
  check_training<float>(device, strata_test::reference_device(), 1e-4);
  check_training<float>(device, cpu::device(), 1e-4);
  strata_test::check_inference<double>(device, strata_test::reference_device(), 1e-12);
  strata_test::check_inference<float>(device, cpu::device(), 1e-5);
}

TEST_CASE("Training on Eigen gives the same bits for any number of threads") {
  std::vector<std::vector<Tensor<float>>> results;
  for (const int threads : {1, 2, 3}) {
    Sequential model = small_convnet<float>();
    strata_test::train_small_convnet<float>(model, eigen::device({.threads = threads}));
    results.push_back(model.get_weights());
  }
  for (const auto& result : results) CHECK(result == results[0]);
}

TEST_CASE("A model goes on where it was saved, on another device") {
  strata_test::check_saving(eigen::device(), cpu::device());
}

TEST_CASE("Every layer, and fit with augmentation, on Eigen as on the CPU") {
  strata_test::check_layers(eigen::device(), cpu::device(), 1e-5);
  strata_test::check_fit(eigen::device(), cpu::device(), 1e-4);
}

TEST_CASE("Gradients, several outputs and frozen prefixes, on Eigen as on the CPU") {
  strata_test::check_gradients(eigen::device(), cpu::device(), 1e-4);
  strata_test::check_several_outputs(eigen::device(), cpu::device(), 1e-4);
  strata_test::check_frozen_prefix(eigen::device(), cpu::device(), 1e-4);
}

TEST_CASE("Layer by layer, Eigen computes what the CPU does") {
  const SmallPictures<float> data;
  const DeviceComparison found =
      compare_devices(small_convnet<float>(), data.x, eigen::device(), cpu::device());
  INFO(found.text());
  CHECK(found.layers.size() == 7);  // batch normalization does the work of the activation behind it
  CHECK(found.worst().largest() < 1e-5);
  const DeviceComparison in_double = compare_devices(small_convnet<double>(), SmallPictures<double>().x,
                                                     eigen::device(), strata_test::reference_device());
  CHECK(in_double.worst().largest() < 1e-13);
}

TEST_CASE("Gradients are those of Keras's tape, on Eigen", "[golden]") {
  strata_test::check_gradients_golden<float>(eigen::device(), 3e-6);
  strata_test::check_gradients_golden<double>(eigen::device(), 3e-7);
}
