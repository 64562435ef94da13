#pragma once

#include <memory>

#include <strata/cuda/products.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

namespace detail {

STRATA_COLD inline void check(cublasStatus_t status, const char* what) {
  require<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "[cuda] cuBLAS, ", what, ": ",
                       cublasLtGetStatusString(status));
}

template <class Object>
using Owned = std::unique_ptr<std::remove_pointer_t<Object>, cublasStatus_t (*)(Object)>;

}  // namespace detail

/// cuBLAS is column-major: it sees the transposed equation, c' = op(b)' op(a)', and gets b first.
struct Products::Plan {
  detail::Owned<cublasLtMatmulDesc_t> operation{nullptr, cublasLtMatmulDescDestroy};
  detail::Owned<cublasLtMatrixLayout_t> a{nullptr, cublasLtMatrixLayoutDestroy};
  detail::Owned<cublasLtMatrixLayout_t> b{nullptr, cublasLtMatrixLayoutDestroy};
  detail::Owned<cublasLtMatrixLayout_t> c{nullptr, cublasLtMatrixLayoutDestroy};
  cublasLtMatmulHeuristicResult_t choice{};
};

STRATA_INLINE Products::Products(bool tf32, cudaStream_t stream) : tf32_(tf32), stream_(stream) {
  detail::check(cublasLtCreate(&handle_), "a handle");
}
STRATA_INLINE Products::~Products() {
  plans_.clear();
  (void)cublasLtDestroy(handle_);
}

STRATA_COLD STRATA_INLINE const Products::Plan& Products::plan(const Product& p) {
  const Key key{p.m,
                p.n,
                p.k,
                p.transpose_a,
                p.transpose_b,
                p.bias != nullptr,
                p.beta != 0,
                alignment(p.a),
                alignment(p.b),
                alignment(p.c)};
  if (const auto found = plans_.find(key); found != plans_.end()) return found->second;

  Plan plan;
  cublasLtMatmulDesc_t operation = nullptr;
  detail::check(cublasLtMatmulDescCreate(
                    &operation, tf32_ ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                "a product");
  plan.operation.reset(operation);
  const auto set = [&](cublasLtMatmulDescAttributes_t name, const auto& value) {
    detail::check(cublasLtMatmulDescSetAttribute(operation, name, &value, sizeof value), "an attribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (p.bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
  const auto layout = [](auto& owner, std::int64_t rows, std::int64_t columns) {
    cublasLtMatrixLayout_t made = nullptr;
    detail::check(cublasLtMatrixLayoutCreate(&made, CUDA_R_32F, static_cast<std::uint64_t>(columns),
                                             static_cast<std::uint64_t>(rows), columns),
                  "a matrix");
    owner.reset(made);
  };
  layout(plan.a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k);
  layout(plan.b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n);
  layout(plan.c, p.m, p.n);

  cublasLtMatmulPreference_t preference = nullptr;
  detail::check(cublasLtMatmulPreferenceCreate(&preference), "a preference");
  const detail::Owned<cublasLtMatmulPreference_t> owner(preference, cublasLtMatmulPreferenceDestroy);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
    detail::check(cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof value),
                  "a preference");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::size_t{32} << 20);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.b));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.a));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.c));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p.c));
  int count = 0;
  detail::check(cublasLtMatmulAlgoGetHeuristic(handle_, operation, plan.b.get(), plan.a.get(), plan.c.get(),
                                               plan.c.get(), preference, 1, &plan.choice, &count),
                "its choice of an algorithm");
  require<DeviceError>(count > 0, "[cuda] cuBLAS has no algorithm for a product of [", p.m, ",", p.k,
                       "] and [", p.k, ",", p.n, "]");
  return plans_.emplace(key, std::move(plan)).first->second;
}

STRATA_INLINE void Products::run(const Product& p) {
  const Plan& found = plan(p);
  if (p.bias)
    detail::check(cublasLtMatmulDescSetAttribute(found.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                 &p.bias, sizeof p.bias),
                  "a bias");
  const Scratch<std::byte> workspace(static_cast<std::int64_t>(found.choice.workspaceSize), stream_);
  const float alpha = 1;
  detail::check(cublasLtMatmul(handle_, found.operation.get(), &alpha, p.b, found.b.get(), p.a, found.a.get(),
                               &p.beta, p.c, found.c.get(), p.c, found.c.get(), &found.choice.algo,
                               workspace.data(), found.choice.workspaceSize, stream_),
                "a product");
}

}}}  // namespace strata::STRATA_ABI::cuda
