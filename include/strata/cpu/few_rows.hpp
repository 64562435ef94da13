#pragma once

#include <strata/cpu/engine.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// y [rows,out] = x [rows,in] * kernel [in,out], read once, as it lies and front to back; then finish(first
/// column, columns) for every finished part of y. For what `few_rows_forward` allows.
void few_rows_product(const Engine& engine, const DenseGeometry& g, const float* x, const float* kernel,
                      float* y, FunctionRef<void(std::int64_t, std::int64_t)> finish);

/// Floats of scratch that `few_rows_product` takes.
std::int64_t few_rows_scratch(const Engine& engine, const DenseGeometry& g);

}}}  // namespace strata::STRATA_ABI::cpu

#if STRATA_HEADER_ONLY
#include <strata/cpu/few_rows.ipp>
#endif
