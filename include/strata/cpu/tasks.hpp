#pragma once

#include <algorithm>
#include <cstdint>

#include <strata/cpu/kernel_table.hpp>
#include <strata/tensor/backend.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// a / b, rounded up.
constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// Elements per task: large enough to hide the hand-over, small enough to balance. A multiple of every vector
/// width and of Philox's block.
inline constexpr std::int64_t elementwise_grain = 1 << 15;

/// Tasks that are enough to balance a few threads.
inline constexpr std::int64_t wanted_tasks = 16;

inline Function function_of(const Activation& f) {
  return static_cast<Function>(f.kind);  // the same order, up to softmax
}
/// The epilogue from (row, column) of a result [rows,channels] on.
inline ProductEpilogue part_of(ProductEpilogue e, std::int64_t channels, std::int64_t row,
                               std::int64_t column) {
  if (e.scale) e.scale += column;
  if (e.bias) e.bias += column;
  if (e.residual) e.residual += row * channels + column;
  return e;
}
/// Softmax needs whole rows, and is left out.
inline ProductEpilogue epilogue_of(const Epilogue<float>& e, std::int64_t channels, std::int64_t row = 0,
                                   std::int64_t column = 0) {
  const bool softmax = e.activation.kind == Activation::Kind::softmax;
  return part_of({softmax ? Function::linear : function_of(e.activation),
                  static_cast<float>(e.activation.negative_slope), e.scale, e.bias, e.residual},
                 channels, row, column);
}
/// Rows of `columns` elements that make one task.
inline std::int64_t row_grain(std::int64_t columns) {
  return std::max<std::int64_t>(1, elementwise_grain / std::max<std::int64_t>(1, columns));
}

}}}  // namespace strata::STRATA_ABI::cpu
