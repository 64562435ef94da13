#include <Eigen/Core>

#include "../products.hpp"

int main(int argc, char** argv) {
  const std::string version = std::to_string(EIGEN_WORLD_VERSION) + '.' +
                              std::to_string(EIGEN_MAJOR_VERSION) + '.' + std::to_string(EIGEN_MINOR_VERSION);
  return strata_bench::contend_by_products(
      argc, argv, version,
      [](std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c) {
        using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
        Eigen::Map<Matrix>(c, m, n).noalias() =
            Eigen::Map<const Matrix>(a, m, k) * Eigen::Map<const Matrix>(b, k, n);
      });
}
