#pragma once

#include <cublasLt.h>

#include <array>
#include <cstdint>
#include <map>

#include <strata/cuda/runtime.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// c [m,n] = op(a) op(b) + beta c (+ bias [n]), row-major; op(a) is [m,k], op(b) [k,n].
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  const float *a = nullptr, *b = nullptr;
  float* c = nullptr;
  float beta = 0;
  const float* bias = nullptr;
};

/// Matrix products of cuBLASLt on one stream. Its choice of an algorithm is kept per shape.
class Products {
 public:
  Products(bool tf32, cudaStream_t stream);
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;
  ~Products();

  void run(const Product& product);

 private:
  struct Plan;
  using Key = std::array<std::int64_t, 10>;
  const Plan& plan(const Product& product);

  bool tf32_;
  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, Plan> plans_;
};

}}}  // namespace strata::STRATA_ABI::cuda
