#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

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

/// Items of a task, at most `most` and at least half of that, where each of `runs` has `count` of them: so
/// many that threads which take one task after the other finish together.
inline std::int64_t fair_share(std::int64_t count, std::int64_t most, std::int64_t threads,
                               std::int64_t runs = 1) {
  std::int64_t best = most, least = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t share = most; share >= divide_up(most, 2) && threads > 1; --share) {
    const std::int64_t parts = divide_up(count, share), rounds = divide_up(runs * parts, threads);
    const bool rest_alone = runs == 1 && parts % threads == 1;
    const std::int64_t time = rounds * share - (rest_alone ? share * parts - count : 0);
    if (time < least) best = share, least = time;
  }
  return best;
}

inline Function function_of(const Activation& f) {
  return static_cast<Function>(f.kind);  // the same order, up to softmax
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
