#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/products.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

STRATA_INLINE void CudaBackend::dense(const DenseGeometry& g, const float* x, WeightView<float> kernel,
                                      const Epilogue<float>& epilogue, float* y) {
  if (g.rows * g.out == 0) return;
  enter();
  Epilogue<float> rest = epilogue;
  Product product{.m = g.rows, .n = g.out, .k = g.in, .a = x, .b = kernel.data, .c = y};
  // cuBLAS adds a bias that lies on 16 bytes. Its relu would swallow NaN.
  if (g.in && !epilogue.scale && aligned(epilogue.bias)) product.bias = std::exchange(rest.bias, nullptr);
  multiply(product);
  apply(rest, g.rows, g.out, y, y);
}

STRATA_INLINE void CudaBackend::dense_backward_input(const DenseGeometry& g, const float* dy,
                                                     WeightView<float> kernel, Gradient<float> dx) {
  enter();
  multiply({.m = g.rows,
            .n = g.in,
            .k = g.out,
            .transpose_b = true,
            .a = dy,
            .b = kernel.data,
            .c = dx.data,
            .beta = dx.accumulate ? 1.0f : 0.0f});
}

STRATA_INLINE void CudaBackend::dense_backward_kernel(const DenseGeometry& g, const float* x, const float* dy,
                                                      Gradient<float> dkernel) {
  enter();
  multiply({.m = g.in,
            .n = g.out,
            .k = g.rows,
            .transpose_a = true,
            .a = x,
            .b = dy,
            .c = dkernel.data,
            .beta = dkernel.accumulate ? 1.0f : 0.0f});
}

STRATA_INLINE void CudaBackend::multiply(const Product& product) {
  if (product.m * product.n == 0) return;
  if (product.k > 0)
    products_->run(product);
  else if (product.beta == 0)
    zero(product.c, static_cast<std::size_t>(product.m * product.n) * sizeof(float));
}

}}}  // namespace strata::STRATA_ABI::cuda
