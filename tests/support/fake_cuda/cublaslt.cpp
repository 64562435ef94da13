#include <cublasLt.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "support/fake_cuda/device.hpp"
#include "support/fake_cuda/emulator.hpp"

using fake_cuda::entry;

namespace {

using Int = std::int64_t;

struct Layout {
  Int rows = 0, columns = 0, stride = 0;  // column-major: element (i, j) is at i + j * stride
  Int elements() const { return rows && columns ? (columns - 1) * stride + rows : 0; }
};
struct Operation {
  bool transpose_a = false, transpose_b = false;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const float* bias = nullptr;

  bool has_bias() const {
    return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  }
  bool has_relu() const {
    return epilogue == CUBLASLT_EPILOGUE_RELU || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  }
};
/// How operands lie in memory, in bytes: what the caller promised when it asked for an algorithm.
struct Preference {
  std::uint32_t a = 16, b = 16, c = 16, d = 16;
};

// The opaque types of the library are only ever pointed to, and point to these.
template <class Real, class Opaque>
Real& real(Opaque* opaque) {
  return *reinterpret_cast<Real*>(opaque);
}
template <class Real, class Opaque, class... Arguments>
cublasStatus_t create(Opaque** to, Arguments... arguments) {
  *to = reinterpret_cast<Opaque*>(new Real{arguments...});
  return CUBLAS_STATUS_SUCCESS;
}
template <class Real, class Opaque>
cublasStatus_t destroy(Opaque* opaque) {
  delete reinterpret_cast<Real*>(opaque);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t read(T& to, const void* from, std::size_t bytes) {
  if (bytes != sizeof to || !from) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

/// d [m,n] = activation(alpha op(a) op(b) + beta c + bias)
struct Product {
  Operation operation;
  Layout a_layout, b_layout, c_layout, d_layout;
  Int m, n, k;
  float alpha = 1, beta = 0;
  const float *a = nullptr, *b = nullptr, *c = nullptr;
  float* d = nullptr;

  /// Nothing if the operands do not fit together.
  static std::optional<Product> of(const Operation& operation, const Layout& a, const Layout& b,
                                   const Layout& c, const Layout& d) {
    const auto swapped = [](const Layout& l, bool yes) {
      return yes ? Layout{l.columns, l.rows, l.stride} : l;
    };
    const Layout left = swapped(a, operation.transpose_a), right = swapped(b, operation.transpose_b);
    if (left.columns != right.rows || left.rows != d.rows || right.columns != d.columns) return std::nullopt;
    if (c.rows != d.rows || c.columns != d.columns) return std::nullopt;
    return Product{operation, a, b, c, d, d.rows, d.columns, left.columns};
  }

  void run() const {
    const auto require = [](const float* p, Int elements, const char* what) {
      fake_cuda::require_device(p, static_cast<std::size_t>(elements) * sizeof(float), what);
    };
    require(a, a_layout.elements(), "a product's first operand");
    require(b, b_layout.elements(), "a product's second operand");
    if (beta != 0) require(c, c_layout.elements(), "what a product is added to");
    require(d, d_layout.elements(), "a product");
    if (operation.has_bias()) require(operation.bias, m, "a product's bias");
    constexpr Int tile = 512;
    const Int tiles = (m + tile - 1) / tile;
    emulator::parallel_for(
        tiles * n, [&](Int i) { part(i / tiles, i % tiles * tile, std::min(m, i % tiles * tile + tile)); });
  }

  /// Rows [begin, end) of column j.
  void part(Int j, Int begin, Int end) const {
    std::vector<double> factors(k), sums(end - begin);
    for (Int p = 0; p < k; ++p)
      factors[p] = operation.transpose_b ? b[j + p * b_layout.stride] : b[p + j * b_layout.stride];
    if (operation.transpose_a) {
      for (Int i = begin; i < end; ++i)
        for (Int p = 0; p < k; ++p) sums[i - begin] += factors[p] * double(a[p + i * a_layout.stride]);
    } else {
      for (Int p = 0; p < k; ++p)
        for (Int i = begin; i < end; ++i) sums[i - begin] += factors[p] * double(a[i + p * a_layout.stride]);
    }
    for (Int i = begin; i < end; ++i) {
      double value = alpha * sums[i - begin];
      if (beta != 0) value += double(beta) * double(c[i + j * c_layout.stride]);
      if (operation.has_bias()) value += double(operation.bias[i]);
      if (operation.has_relu() && value < 0) value = 0;
      d[i + j * d_layout.stride] = static_cast<float>(value);
    }
  }
};

bool aligned(const void* pointer, std::uint32_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

}  // namespace

std::size_t cublasLtGetVersion() {
  return CUBLAS_VERSION;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the operation completed successfully";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "resource allocation failed inside the cuBLAS library";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
    default:
      return "the library was not initialized, or something else";
  }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return entry<cublasStatus_t>(__func__, [&] {
    *handle = reinterpret_cast<cublasLtHandle_t>(new int{});
    return CUBLAS_STATUS_SUCCESS;
  });
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return destroy<int>(handle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return entry<cublasStatus_t>(__func__, [&] {
    if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) || scale != CUDA_R_32F)
      return CUBLAS_STATUS_NOT_SUPPORTED;
    return create<Operation>(operation);
  });
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return destroy<Operation>(operation);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t name, const void* from,
                                              std::size_t bytes) {
  return entry<cublasStatus_t>(__func__, [&] {
    Operation& to = real<Operation>(operation);
    cublasOperation_t transpose{};
    switch (name) {
      case CUBLASLT_MATMUL_DESC_TRANSA:
      case CUBLASLT_MATMUL_DESC_TRANSB:
        if (read(transpose, from, bytes) || (transpose != CUBLAS_OP_N && transpose != CUBLAS_OP_T))
          return CUBLAS_STATUS_INVALID_VALUE;
        (name == CUBLASLT_MATMUL_DESC_TRANSA ? to.transpose_a : to.transpose_b) = transpose == CUBLAS_OP_T;
        return CUBLAS_STATUS_SUCCESS;
      case CUBLASLT_MATMUL_DESC_EPILOGUE:
        if (read(to.epilogue, from, bytes)) return CUBLAS_STATUS_INVALID_VALUE;
        return to.has_bias() || to.has_relu() || to.epilogue == CUBLASLT_EPILOGUE_DEFAULT
                   ? CUBLAS_STATUS_SUCCESS
                   : CUBLAS_STATUS_NOT_SUPPORTED;
      case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return read(to.bias, from, bytes);
      default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t columns, std::int64_t stride) {
  return entry<cublasStatus_t>(__func__, [&] {
    if (type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (rows == 0 || columns == 0 || stride < Int(rows)) return CUBLAS_STATUS_INVALID_VALUE;
    return create<Layout>(layout, Int(rows), Int(columns), stride);
  });
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy<Layout>(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return entry<cublasStatus_t>(__func__, [&] { return create<Preference>(preference); });
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy<Preference>(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* from, std::size_t bytes) {
  return entry<cublasStatus_t>(__func__, [&] {
    Preference& to = real<Preference>(preference);
    std::uint64_t workspace = 0;  // none is needed
    switch (name) {
      case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return read(workspace, from, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return read(to.a, from, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return read(to.b, from, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return read(to.c, from, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return read(to.d, from, bytes);
      default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  return entry<cublasStatus_t>(__func__, [&] {
    *count = 0;
    if (requested < 1 || !Product::of(real<Operation>(operation), real<Layout>(a), real<Layout>(b),
                                      real<Layout>(c), real<Layout>(d)))
      return CUBLAS_STATUS_INVALID_VALUE;
    *count = 1;
    results[0] = {};
    static_assert(sizeof(Preference) <= sizeof results[0].algo);
    std::memcpy(&results[0].algo, &real<Preference>(preference), sizeof(Preference));
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void*, std::size_t,
                              cudaStream_t stream) {
  return entry<cublasStatus_t>(__func__, [&] {
    auto product = Product::of(real<Operation>(operation), real<Layout>(a_layout), real<Layout>(b_layout),
                               real<Layout>(c_layout), real<Layout>(d_layout));
    Preference promised{4, 4, 4, 4};
    if (algorithm) std::memcpy(static_cast<void*>(&promised), algorithm, sizeof promised);
    if (!product || !alpha || !beta || !aligned(a, promised.a) || !aligned(b, promised.b) ||
        !aligned(c, promised.c) || !aligned(d, promised.d) ||
        (product->operation.has_bias() && !product->operation.bias))
      return CUBLAS_STATUS_INVALID_VALUE;
    if (!fake_cuda::valid_stream(stream)) return CUBLAS_STATUS_EXECUTION_FAILED;
    product->alpha = *static_cast<const float*>(alpha);
    product->beta = *static_cast<const float*>(beta);
    product->a = static_cast<const float*>(a);
    product->b = static_cast<const float*>(b);
    product->c = static_cast<const float*>(c);
    product->d = static_cast<float*>(d);
    fake_cuda::enqueue(stream, [product = *product] { product.run(); });
    ++fake_cuda::counts().products;
    return CUBLAS_STATUS_SUCCESS;
  });
}
