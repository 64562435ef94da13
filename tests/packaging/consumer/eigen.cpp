#include <cstdio>

#include <strata/eigen.hpp>

// A dense product on the Eigen device against Eigen's own.
int main() {
  const Eigen::MatrixXd x = Eigen::MatrixXd::Random(5, 7), kernel = Eigen::MatrixXd::Random(7, 3);
  const auto rows = strata::eigen::to_tensor(x), weights = strata::eigen::to_tensor(kernel);
  strata::Tensor<double> y({5, 3});
  const strata::DevicePtr device = strata::eigen::device();
  device->make_backend<double>()->dense({5, 7, 3}, rows.data(), {weights.data()}, {}, y.data());
  const double error = (strata::eigen::map(y) - x * kernel).norm();
  std::printf("%s: error %g\n", device->description().c_str(), error);
  return error < 1e-13 ? 0 : 1;
}
